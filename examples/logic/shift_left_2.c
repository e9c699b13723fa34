// expected: 52
// 13 << 2.

#include <bpf/helpers.h>

int64_t shift_left_2(void) {
    volatile uint32_t a = 13;

    return a << 2;
}
