// expected: OUT_OF_INSTRUCTIONS
// Never ends: temperature and humidity, indoors and outdoors, two seconds apart, into keys 0 to 3.

#include "readings.h"

#define FIRST_SENSOR 1 /* the four DHT readings follow each other in the registry */
#define PERIOD_US 2000000

int64_t climate(void) {
    uint32_t last = bpf_ztimer_now();

    for (;;) {
        BPF_KEEP_LOOP
        for (uint32_t key = INDOOR_TEMPERATURE; key <= OUTDOOR_HUMIDITY; key++) {
            uint32_t value;

            /* A sensor that fails leaves the last good reading where it is. */
            if (bpf_saul_read_temp(bpf_saul_reg_find_nth(FIRST_SENSOR + key), &value) > 0) {
                bpf_store_global(key, value);
            }
            bpf_ztimer_periodic_wakeup(&last, PERIOD_US);
        }
    }
}
