// expected: 7
// 2 ^ 5.

#include <bpf/helpers.h>

int64_t bitwise_xor(void) {
    volatile uint32_t a = 2;

    return a ^ 5;
}
