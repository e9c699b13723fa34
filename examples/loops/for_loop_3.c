// expected: 123
// Fills the keys 1 to 3 where they are empty, and reads the one in the middle.

#include <bpf/helpers.h>

int64_t for_loop_3(void) {
    uint32_t value = 0;

    BPF_KEEP_LOOP
    for (uint32_t key = 1; key <= 3; key++) {
        bpf_fetch_global(key, &value);
        if (value == 0) {
            bpf_store_global(key, 123);
        }
    }
    bpf_fetch_global(2, &value);
    return value;
}
