// expected: 1
// The same, but only as long as there is nothing but 0 in the key. The first other one stays.

#include <bpf/helpers.h>

int64_t for_loop_2(void) {
    uint32_t value = 0;

    BPF_KEEP_LOOP
    for (uint32_t i = 0; i <= 10; i++) {
        bpf_fetch_global(0, &value);
        if (value == 0) {
            bpf_store_global(0, i);
        }
    }
    bpf_fetch_global(0, &value);
    return value;
}
