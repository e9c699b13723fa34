// expected: 239
// The mean of the last six readings. Somebody else puts the readings into key 15 of the global store;
// the keys 0 to 5 are a ring of the last ones, key 13 says which of them is written next.

#include <bpf/helpers.h>

enum { READINGS = 6, NEXT_KEY = 13, INPUT_KEY = 15 };

static void take_reading(void) {
    uint32_t reading = 0;
    uint32_t next = 0;

    bpf_fetch_global(INPUT_KEY, &reading);
    bpf_fetch_global(NEXT_KEY, &next);
    bpf_store_global(next, reading);
    bpf_store_global(NEXT_KEY, (next + 1) % READINGS);
}

int64_t sensor_processing_from_storage(void) {
    uint32_t sum = 0;

    BPF_KEEP_LOOP
    for (uint32_t i = 0; i < READINGS; i++) {
        take_reading();
    }
    BPF_KEEP_LOOP
    for (uint32_t key = 0; key < READINGS; key++) {
        uint32_t value = 0;

        bpf_fetch_global(key, &value);
        sum += value;
    }
    return sum / READINGS;
}
