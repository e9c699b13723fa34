// expected: 8
// 64 >> 3, the count from a register.

#include <bpf/helpers.h>

int64_t shift_right_3(void) {
    volatile uint32_t a = 64;
    volatile uint32_t count = 3;

    return a >> count;
}
