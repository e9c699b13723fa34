// expected: OUT_OF_INSTRUCTIONS
// Never ends: light and sound twenty times a second into keys 4 and 5.

#include "readings.h"

#define PERIOD_US 50000

BPF_INLINE void keep(uint8_t type, uint32_t key) {
    phydat_t data;

    if (bpf_saul_reg_read(bpf_saul_reg_find_type(type), &data) > 0) {
        bpf_store_global(key, (uint32_t)data.val[0]);
    }
}

int64_t light_sound(void) {
    uint32_t last = bpf_ztimer_now();

    for (;;) {
        keep(BPF_SAUL_SENSE_LIGHT, LIGHT);
        keep(BPF_SAUL_SENSE_SOUND, SOUND);
        bpf_ztimer_periodic_wakeup(&last, PERIOD_US);
    }
}
