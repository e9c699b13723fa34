// expected: 32742
// The Fletcher-16 checksum of 320 bytes.

#include "fletcher16.h"
#include "pattern.h"

int64_t fletcher16_of_320_bytes(void) {
    return fletcher16(PATTERN_4 "07>ELSZahov29@GNU\\" "\x01\x5e");
}
