// Fletcher-16 of the context: two sums of bytes, both modulo 255.
#include <stdint.h>

uint64_t fletcher16(const uint8_t *data, uint64_t length) {
    uint32_t sum = 0;
    uint32_t sum_of_sums = 0;

    for (uint32_t i = 0; i < (uint32_t)length; i++) {
        sum = (sum + data[i]) % 255;
        sum_of_sums = (sum_of_sums + sum) % 255;
    }
    return sum_of_sums << 8 | sum;
}
