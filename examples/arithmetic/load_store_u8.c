// expected: 118
// 100 written to the stack and read from there as 8 bits, + 18.

#include <bpf/helpers.h>

int64_t load_store_u8(void) {
    volatile uint8_t a = 100;

    return a + 18;
}
