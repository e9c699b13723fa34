// expected: 7
// 49 / 7; the divisor is in a register.

#include <bpf/helpers.h>

int64_t divide_reg(void) {
    volatile uint32_t a = 49;
    volatile uint32_t b = 7;

    return a / b;
}
