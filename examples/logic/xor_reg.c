// expected: 27
// 21 ^ 14, both from registers.

#include <bpf/helpers.h>

int64_t bitwise_xor_reg(void) {
    volatile uint32_t a = 21;
    volatile uint32_t b = 14;

    return a ^ b;
}
