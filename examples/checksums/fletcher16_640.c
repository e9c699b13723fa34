// expected: 40362
// The Fletcher-16 checksum of 640 bytes.

#include "fletcher16.h"
#include "pattern.h"

int64_t fletcher16_of_640_bytes(void) {
    return fletcher16(PATTERN_4 PATTERN_4 "07>ELSZahov29@GNU\\cjqx4;BIPW^elsz6=DKR" "\xd3\x81");
}
