// expected: 4
// 13 & 6.

#include <bpf/helpers.h>

int64_t bitwise_and(void) {
    volatile uint32_t a = 13;

    return a & 6;
}
