// expected: 3, 8
// The slot's own store: what one run leaves there, the next one finds.

#include <bpf/helpers.h>

int64_t storage(void) {
    uint32_t a;
    uint32_t b;

    bpf_fetch_local(5, &a);
    bpf_fetch_local(15, &b);
    a = a + 1;
    b = (b + 1) * 2;
    bpf_store_local(5, a);
    bpf_store_local(15, b);
    bpf_store_local(3, a + b);
    return a + b;
}
