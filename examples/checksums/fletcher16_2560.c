// expected: 30378
// The Fletcher-16 checksum of 2560 bytes.

#include "fletcher16.h"
#include "pattern.h"

int64_t fletcher16_of_2560_bytes(void) {
    return fletcher16(PATTERN_16 PATTERN_16 PATTERN PATTERN "07>ELSZa" "\x1b\x49");
}
