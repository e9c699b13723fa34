/* The Fletcher-32 checksum: two sums of 16-bit words, both modulo 65535. */
#include <bpf/helpers.h>

BPF_INLINE uint32_t fletcher32(const uint16_t *words, size_t count) {
    uint32_t sum = 0;
    uint32_t sum_of_sums = 0;

    for (size_t i = 0; i < count; i++) {
        sum = (sum + words[i]) % 65535;
        sum_of_sums = (sum_of_sums + sum) % 65535;
    }
    return sum_of_sums << 16 | sum;
}
