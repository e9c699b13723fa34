// 64-bit arithmetic: Marsaglia's xorshift with a multiplication behind it.
#include <stdint.h>

uint64_t arith64(const uint8_t *data, uint64_t length) {
    uint64_t x = length + 0x9e3779b97f4a7c15;
    uint64_t sum = (uint64_t)(data != 0);

    for (uint32_t i = 0; i < 10000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        sum += x * 0x2545f4914f6cdd1d;
    }
    return sum;
}
