// expected: 31
// 21 | 10, both from registers.

#include <bpf/helpers.h>

int64_t bitwise_or_reg(void) {
    volatile uint32_t a = 21;
    volatile uint32_t b = 10;

    return a | b;
}
