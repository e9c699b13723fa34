// Fletcher-32 of the context, with folding after at most 359 words instead of a modulo.
#include <stdint.h>

static inline uint32_t fold(uint32_t sum) {
    return (sum & 0xffff) + (sum >> 16);
}

uint64_t fletcher32(const uint16_t *data, uint64_t length) {
    uint32_t words = (uint32_t)length / 2;
    uint32_t sum = 0xffff;
    uint32_t sum_of_sums = 0xffff;

    while (words > 0) {
        uint32_t block = words < 359 ? words : 359;

        words -= block;
        do {
            sum += *data++;
            sum_of_sums += sum;
        } while (--block > 0);
        sum = fold(sum);
        sum_of_sums = fold(sum_of_sums);
    }
    return (uint64_t)fold(sum_of_sums) << 16 | fold(sum);
}
