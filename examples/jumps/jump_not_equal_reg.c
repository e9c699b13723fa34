// expected: 300
// 100 != y, which is 100: not taken.

#include <bpf/helpers.h>

int64_t jump_not_equal_reg(void) {
    volatile uint32_t x = 100;
    volatile uint32_t y = 100;

    if (x != y) {
        return 123;
    }
    return 300;
}
