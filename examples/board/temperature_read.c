// expected: 468
// The sum of two readings of the first thermometer, in tenths of a degree.

#include <bpf/helpers.h>

int64_t temperature_read(void) {
    bpf_saul_reg_t *thermometer = bpf_saul_reg_find_type(BPF_SAUL_SENSE_TEMP);
    uint32_t first, second;

    if (bpf_saul_read_temp(thermometer, &first) < 0 || bpf_saul_read_temp(thermometer, &second) < 0) {
        return -BPF_ECANCELED;
    }
    bpf_printf("%d and %d\n", first, second);
    return first + second;
}
