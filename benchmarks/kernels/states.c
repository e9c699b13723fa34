// A state machine with many branches: counts the words, numbers and marks of a text.
#include <stdint.h>

enum state { BETWEEN, IN_WORD, IN_NUMBER };

uint64_t states(const uint8_t *text, uint64_t length) {
    uint64_t words = 0, numbers = 0, marks = 0, value = 0;
    enum state state = BETWEEN;

    for (uint64_t i = 0; i < length; i++) {
        uint8_t c = text[i];

        if (c >= '0' && c <= '9') {
            if (state == IN_WORD) {
                continue;
            }
            if (state == BETWEEN) {
                numbers++;
            }
            value = value * 10 + (c - '0');
            state = IN_NUMBER;
        } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_') {
            if (state != IN_WORD) {
                words++;
            }
            state = IN_WORD;
        } else {
            if (c != ' ') {
                marks++;
            }
            state = BETWEEN;
        }
    }
    return words << 48 | numbers << 32 | (marks & 0xffff) << 16 | (value & 0xffff);
}
