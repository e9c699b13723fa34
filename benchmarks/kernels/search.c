// Finds the last eight bytes of the context in it, one place after the other, several times.
#include <stdint.h>

uint64_t search(const uint8_t *data, uint64_t length) {
    const uint8_t *wanted = data + length - 8;
    uint64_t sum = 0;

    for (uint64_t round = 0; round < 4; round++) {
        for (uint64_t place = round; place + 8 <= length; place++) {
            uint64_t same = 0;

            while (same < 8 && data[place + same] == wanted[same]) {
                same++;
            }
            if (same == 8) {
                sum += place;
                break;
            }
        }
    }
    return sum;
}
