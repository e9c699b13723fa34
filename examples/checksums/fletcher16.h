/* The Fletcher-16 checksum of a string: two sums of bytes, both modulo 255. */
#include <bpf/helpers.h>

BPF_INLINE uint32_t fletcher16(const char *text) {
    size_t length = bpf_strlen(text);
    uint32_t sum = 0;
    uint32_t sum_of_sums = 0;

    for (size_t i = 0; i < length; i++) {
        sum = (sum + (uint8_t)text[i]) % 255;
        sum_of_sums = (sum_of_sums + sum) % 255;
    }
    return sum_of_sums << 8 | sum;
}
