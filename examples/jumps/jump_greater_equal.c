// expected: 123
// 100 >= 50: taken.

#include <bpf/helpers.h>

int64_t jump_greater_equal(void) {
    volatile uint32_t x = 100;

    if (x >= 50) {
        return 123;
    }
    return 20;
}
