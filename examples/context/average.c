// expected: 31, -22
// The mean of n numbers behind their count. What the count promises must also be there.

#include <bpf/helpers.h>

struct numbers {
    uint32_t count;
    uint32_t values[];
};

int64_t average(const struct numbers *numbers, size_t length) {
    uint32_t count = numbers->count;
    uint64_t sum = 0;

    if (count == 0 || length < sizeof(*numbers) + (uint64_t)count * sizeof(uint32_t)) {
        return -BPF_EINVAL;
    }
    for (uint32_t i = 0; i < count; i++) {
        sum += numbers->values[i];
    }
    return sum / count;
}
