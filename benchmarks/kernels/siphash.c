// SipHash-2-4 of the context, with the key 00 01 ... 0f: 64-bit additions and rotations.
#include <stdint.h>

static inline uint64_t rotate(uint64_t x, uint32_t by) {
    return x << by | x >> (64 - by);
}

#define ROUND                                                                                                \
    do {                                                                                                     \
        a += b, b = rotate(b, 13) ^ a, a = rotate(a, 32);                                                    \
        c += d, d = rotate(d, 16) ^ c;                                                                       \
        a += d, d = rotate(d, 21) ^ a;                                                                       \
        c += b, b = rotate(b, 17) ^ c, c = rotate(c, 32);                                                    \
    } while (0)

uint64_t siphash(const uint8_t *data, uint64_t length) {
    uint64_t k0 = 0x0706050403020100, k1 = 0x0f0e0d0c0b0a0908;
    uint64_t a = k0 ^ 0x736f6d6570736575, b = k1 ^ 0x646f72616e646f6d;
    uint64_t c = k0 ^ 0x6c7967656e657261, d = k1 ^ 0x7465646279746573;
    uint64_t last = length << 56;
    uint64_t at = 0;

    for (; at + 8 <= length; at += 8) {
        uint64_t word = *(const uint64_t *)(data + at);

        d ^= word;
        ROUND;
        ROUND;
        a ^= word;
    }
    for (uint32_t shift = 0; at < length; at++, shift += 8) {
        last |= (uint64_t)data[at] << shift;
    }
    d ^= last;
    ROUND;
    ROUND;
    a ^= last;
    c ^= 0xff;
    ROUND;
    ROUND;
    ROUND;
    ROUND;
    return a ^ b ^ c ^ d;
}
