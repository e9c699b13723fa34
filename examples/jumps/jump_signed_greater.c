// expected: 123
// 100 > -100: taken. Without a sign it would not be.

#include <bpf/helpers.h>

int64_t jump_signed_greater(void) {
    volatile int16_t x = 100;

    if (x > -100) {
        return 123;
    }
    return 20;
}
