// expected: 23400
// A reading in thousandths of a degree, 2716 where the board has no thermometer.

#include <bpf/helpers.h>

int64_t temp_sens(void) {
    bpf_saul_reg_t *thermometer = bpf_saul_reg_find_type(BPF_SAUL_SENSE_TEMP);
    phydat_t reading;

    if (thermometer == 0 || bpf_saul_reg_read(thermometer, &reading) < 1) {
        return 2716;
    }
    return (int64_t)reading.val[0] * 100;
}
