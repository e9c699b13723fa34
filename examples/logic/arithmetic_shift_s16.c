// expected: 16
// -(-64 >> 2) in 16 bits: the sign comes in from the left.

#include <bpf/helpers.h>

int64_t arithmetic_shift_s16(void) {
    volatile int16_t a = -64;

    return -(a >> 2);
}
