// 32-bit arithmetic: a linear congruential generator, its output turned and summed.
#include <stdint.h>

uint64_t arith32(const uint8_t *data, uint64_t length) {
    uint32_t x = (uint32_t)length;
    uint32_t sum = (uint32_t)(data != 0);

    for (uint32_t i = 0; i < 10000; i++) {
        x = x * 1664525 + 1013904223;
        sum += (x << 7 | x >> 25) ^ i;
    }
    return sum;
}
