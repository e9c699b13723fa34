// expected: 0
// The first program: it prints a line on the device's console and ends.

#include <bpf/helpers.h>

int64_t hello(void) {
    bpf_printf("Hello from eBPF\n");
    return 0;
}
