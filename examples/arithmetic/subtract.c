// expected: 123
// 144 - 21.

#include <bpf/helpers.h>

int64_t subtract(void) {
    volatile uint32_t a = 144;

    return a - 21;
}
