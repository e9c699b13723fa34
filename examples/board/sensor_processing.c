// expected: 234, 234, 234
// The mean of the last 15 readings of the thermometer. They lie in keys 0 to 14 of the global store, the
// place of the next one in key 16; a place that was never filled counts as a reading like the present one.

#include <bpf/helpers.h>

#define READINGS 15
#define NEXT 16

int64_t sensor_processing(void) {
    uint32_t reading = 0, next = 0, sum = 0;

    bpf_saul_read_temp(bpf_saul_reg_find_type(BPF_SAUL_SENSE_TEMP), &reading);
    bpf_fetch_global(NEXT, &next);
    bpf_store_global(next % READINGS, reading);
    bpf_store_global(NEXT, (next + 1) % READINGS);
    BPF_KEEP_LOOP
    for (uint32_t key = 0; key < READINGS; key++) {
        uint32_t stored = 0;

        bpf_fetch_global(key, &stored);
        sum += stored != 0 ? stored : reading;
    }
    return sum / READINGS;
}
