// expected: 16
// 64 >> 2.

#include <bpf/helpers.h>

int64_t shift_right_2(void) {
    volatile uint32_t a = 64;

    return a >> 2;
}
