// expected: 1171
// The Fletcher-16 checksum of 160 bytes.

#include "fletcher16.h"
#include "pattern.h"

int64_t fletcher16_of_160_bytes(void) {
    return fletcher16(PATTERN PATTERN "07>ELSZa" "\xd3\x79");
}
