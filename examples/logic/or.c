// expected: 15
// 12 | 3.

#include <bpf/helpers.h>

int64_t bitwise_or(void) {
    volatile uint32_t a = 12;

    return a | 3;
}
