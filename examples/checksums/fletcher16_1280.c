// expected: 58709
// The Fletcher-16 checksum of 1280 bytes.

#include "fletcher16.h"
#include "pattern.h"

int64_t fletcher16_of_1280_bytes(void) {
    return fletcher16(PATTERN_16 PATTERN "07>" "\x03\xac");
}
