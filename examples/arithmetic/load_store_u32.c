// expected: 118
// 100 written to the stack and read from there as 32 bits, + 18.

#include <bpf/helpers.h>

int64_t load_store_u32(void) {
    volatile uint32_t a = 100;

    return a + 18;
}
