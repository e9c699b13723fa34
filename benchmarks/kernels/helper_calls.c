// A loop around a helper that does little.
#include <bpf/helpers.h>

uint64_t helper_calls(const uint8_t *data, uint64_t length) {
    uint64_t sum = (uint64_t)(data == 0) + length;

    for (uint32_t i = 0; i < 1000; i++) {
        sum += bpf_strlen("twelve bytes") + i;
    }
    return sum;
}
