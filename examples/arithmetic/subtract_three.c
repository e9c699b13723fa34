// expected: 77
// 100 - 18 - 5, all from registers.

#include <bpf/helpers.h>

int64_t subtract_three(void) {
    volatile uint32_t a = 100;
    volatile uint32_t b = 18;
    volatile uint32_t c = 5;

    return a - b - c;
}
