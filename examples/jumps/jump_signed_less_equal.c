// expected: 20
// -100 <= -200: not taken.

#include <bpf/helpers.h>

int64_t jump_signed_less_equal(void) {
    volatile int16_t x = -100;

    if (x <= -200) {
        return 123;
    }
    return 20;
}
