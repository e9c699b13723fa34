// expected: 10
// Stores 0 to 10 under one key, one after the other. The last one stays.

#include <bpf/helpers.h>

int64_t for_loop(void) {
    uint32_t value = 0;

    BPF_KEEP_LOOP
    for (uint32_t i = 0; i <= 10; i++) {
        bpf_store_global(0, i);
    }
    bpf_fetch_global(0, &value);
    return value;
}
