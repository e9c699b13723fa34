// expected: 1
// 50 % 7; the divisor is in a register.

#include <bpf/helpers.h>

int64_t modulo_reg(void) {
    volatile uint32_t a = 50;
    volatile uint32_t b = 7;

    return a % b;
}
