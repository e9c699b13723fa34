// expected: 4
// 15 & 12 & 7, all from registers.

#include <bpf/helpers.h>

int64_t bitwise_and_three(void) {
    volatile uint32_t a = 15;
    volatile uint32_t b = 12;
    volatile uint32_t c = 7;

    return a & b & c;
}
