// expected: 123
// 100 == y, which is 100: taken.

#include <bpf/helpers.h>

int64_t jump_equal_reg(void) {
    volatile uint32_t x = 100;
    volatile uint32_t y = 100;

    if (x == y) {
        return 123;
    }
    return 20;
}
