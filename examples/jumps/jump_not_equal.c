// expected: 123
// 100 != 99: taken.

#include <bpf/helpers.h>

int64_t jump_not_equal(void) {
    volatile uint32_t x = 100;

    if (x != 99) {
        return 123;
    }
    return 20;
}
