// expected: 32
// 4 << 3, the count from a register.

#include <bpf/helpers.h>

int64_t shift_left_3(void) {
    volatile uint32_t a = 4;
    volatile uint32_t count = 3;

    return a << count;
}
