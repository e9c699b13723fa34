// expected: 829540382
// The same with a length that the compiler knows.

#include "fletcher32.h"
#include "pattern.h"

static const char text[] __attribute__((aligned(2))) = PATTERN_4 "07>ELSZahov29@GN" "\x3a\x4c\x70\x1a";

int64_t fletcher32_of_320_bytes(void) {
    uint32_t checksum = fletcher32((const uint16_t *)text, 160);

    bpf_printf("checksum: %u\n", checksum);
    return checksum;
}
