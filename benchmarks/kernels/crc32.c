// CRC-32 of the context, with a table in .rodata.
#include "crc32_table.h"

uint64_t crc32(const uint8_t *data, uint64_t length) {
    uint32_t crc = 0xffffffff;

    for (uint64_t i = 0; i < length; i++) {
        crc = CRC32_TABLE[(crc ^ data[i]) & 0xff] ^ crc >> 8;
    }
    return crc ^ 0xffffffff;
}
