// expected: 0
// Fetching a key that was never stored gives 0.

#include <bpf/helpers.h>

int64_t fetch(void) {
    char format[] = "value: %u\n";
    uint32_t value = 1;

    bpf_fetch_global(0, &value);
    bpf_printf(format, value);
    return value;
}
