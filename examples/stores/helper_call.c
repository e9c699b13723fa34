// expected: 1000
// What was stored comes back.

#include <bpf/helpers.h>

int64_t helper_call(void) {
    uint32_t value = 0;

    bpf_store_global(1, 1000);
    bpf_fetch_global(1, &value);
    return value;
}
