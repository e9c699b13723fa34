// expected: 123
// 100 == 100: taken.

#include <bpf/helpers.h>

int64_t jump_equal(void) {
    volatile uint32_t x = 100;

    if (x == 100) {
        return 123;
    }
    return 20;
}
