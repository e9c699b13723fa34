// expected: 829540382
// The Fletcher-32 checksum of a string, whose length the program asks for.

#include "fletcher32.h"
#include "pattern.h"

static const char text[] __attribute__((aligned(2))) = PATTERN_4 "07>ELSZahov29@GN" "\x3a\x4c\x70\x1a";

int64_t fletcher32_of_text(void) {
    size_t length = bpf_strlen(text);
    uint32_t checksum = fletcher32((const uint16_t *)text, length / 2);

    bpf_printf("checksum of %u bytes: %u\n", (uint32_t)length, checksum);
    return checksum;
}
