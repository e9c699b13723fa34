// expected: 20
// 100 > 100: not taken.

#include <bpf/helpers.h>

int64_t jump_greater_not_taken(void) {
    volatile uint32_t x = 100;

    if (x > 100) {
        return 123;
    }
    return 20;
}
