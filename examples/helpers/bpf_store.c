// expected: 1234
// Fetch, store, and fetch again.

#include <bpf/helpers.h>

int64_t store(void) {
    char format[] = "before: %u, after: %u\n";
    uint32_t before = 1;
    uint32_t after = 0;

    bpf_fetch_global(1, &before);
    bpf_store_global(1, 1234);
    bpf_fetch_global(1, &after);
    bpf_printf(format, before, after);
    return after;
}
