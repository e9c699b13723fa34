// expected: 44620
// The Fletcher-16 checksum of 80 bytes.

#include "fletcher16.h"
#include "pattern.h"

int64_t fletcher16_of_80_bytes(void) {
    return fletcher16(PATTERN "07>" "\xde\xc7");
}
