// Divisions, unsigned: Euclid's algorithm over pairs of neighbours.
#include <stdint.h>

uint64_t divide(const uint8_t *data, uint64_t length) {
    uint64_t sum = 0;

    for (uint64_t i = 0; i + 8 <= length; i += 4) {
        uint64_t a = *(const uint32_t *)(data + i);
        uint64_t b = *(const uint32_t *)(data + i + 4);

        while (b != 0) {
            uint64_t rest = a % b;
            a = b;
            b = rest;
        }
        sum += a;
    }
    return sum;
}
