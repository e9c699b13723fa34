// expected: 16
// Changes the context in its place, prints it and returns it.

#include <bpf/helpers.h>

int64_t add_eight(uint32_t *value) {
    *value += 8;
    bpf_printf("Test print %u\n", *value);
    return *value;
}
