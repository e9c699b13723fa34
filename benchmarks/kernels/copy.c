// Copies the first half of the context over the second, eight bytes at a time and then byte by byte.
#include <stdint.h>

uint64_t copy(uint8_t *data, uint64_t length) {
    uint64_t half = length / 2;
    uint64_t sum = 0;

    for (uint32_t round = 0; round < 4; round++) {
        for (uint64_t i = 0; i + 8 <= half; i += 8) {
            *(uint64_t *)(data + half + i) = *(const uint64_t *)(data + i);
        }
        for (uint64_t i = 0; i < half; i++) {
            data[half + i] = data[i];
        }
    }
    for (uint64_t i = half; i < length; i++) {
        sum = sum * 31 + data[i];
    }
    return sum;
}
