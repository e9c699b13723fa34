// Next to nothing, as a handler of requests would be: what is measured is all around it.
#include <stdint.h>

uint64_t small(const uint8_t *data, uint64_t length) {
    uint32_t reading = 0;

    for (uint32_t i = 0; i < 4 && i < (uint32_t)length; i++) {
        reading = reading << 8 | data[i];
    }
    if (reading > 0x40000000) {
        return reading / 3;
    }
    return reading * 7 + 1;
}
