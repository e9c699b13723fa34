// expected: 32
// -(-64 >> 1) in 8 bits: the sign comes in from the left.

#include <bpf/helpers.h>

int64_t arithmetic_shift_s8(void) {
    volatile int8_t a = -64;

    return -(a >> 1);
}
