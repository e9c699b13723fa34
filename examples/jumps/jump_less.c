// expected: 123
// 100 < 200: taken.

#include <bpf/helpers.h>

int64_t jump_less(void) {
    volatile uint32_t x = 100;

    if (x < 200) {
        return 123;
    }
    return 20;
}
