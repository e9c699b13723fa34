// expected: 10400000
// 100,000 steps that each read a byte of a constant.

#include <bpf/helpers.h>

static const char text[] = "Test";

int64_t looping_data_accesses(void) {
    const volatile char *bytes = text;
    uint32_t sum = 0;

    for (uint32_t i = 0; i < 100000; i++) {
        sum += bytes[i % 4];
    }
    return sum;
}
