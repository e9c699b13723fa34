// Local calls, three frames deep.
#include <stdint.h>

static __attribute__((noinline)) uint64_t inner(uint64_t x, uint64_t y) {
    return x * 3 + (y ^ 5);
}

static __attribute__((noinline)) uint64_t middle(uint64_t x, uint64_t y) {
    return inner(x, y) + inner(y, x);
}

uint64_t calls(const uint8_t *data, uint64_t length) {
    uint64_t sum = length;

    for (uint64_t i = 0; i < 2000; i++) {
        sum = middle(sum, i) ^ (uint64_t)(data == 0);
    }
    return sum;
}
