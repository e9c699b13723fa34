// expected: 781548972, 1538034749
// The Fletcher-32 checksum of data that the caller passes: the context holds its address and length.
// This is the usual form: the sums begin at 0xffff, and are folded to 16 bits after 359 words, which is
// as long as they cannot overflow.

#include <bpf/helpers.h>

struct input {
    const uint16_t *data;
    uint32_t words;
};

static inline uint32_t fold(uint32_t sum) {
    return (sum & 0xffff) + (sum >> 16);
}

int64_t fletcher32_of_context(const struct input *input) {
    const uint16_t *data = input->data;
    uint32_t words = input->words;
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
    return (int64_t)fold(sum_of_sums) << 16 | fold(sum);
}
