// expected: 20
// -100 >= 50: not taken. Without a sign it would be.

#include <bpf/helpers.h>

int64_t jump_signed_greater_equal(void) {
    volatile int16_t x = -100;

    if (x >= 50) {
        return 123;
    }
    return 20;
}
