// A moving average over readings in the key-value store of the device, 16 keys in a ring.
#include <bpf/helpers.h>

uint64_t average(const uint8_t *data, uint64_t length) {
    uint64_t sum = 0;

    for (uint32_t i = 0; i < (uint32_t)length; i++) {
        uint32_t mean = 0;

        bpf_store_global(i & 7, data[i]);
        for (uint32_t key = 0; key < 8; key++) {
            uint32_t value;

            bpf_fetch_global(key, &value);
            mean += value;
        }
        sum += mean >> 3;
    }
    return sum;
}
