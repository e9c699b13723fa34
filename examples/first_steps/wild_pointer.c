// expected: ILLEGAL_MEM
// A program with a mistake: it follows a pointer that nobody has set. The run ends with a fault that
// names the instruction and this line; the device and its other programs go on.

#include <bpf/helpers.h>

struct reading {
    uint32_t time;
    uint32_t value;
};

struct reading *latest;

int64_t wild_pointer(void) {
    bpf_printf("reading the latest value\n");
    return latest->value;
}
