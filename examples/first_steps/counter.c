// expected: 1, 2, 3
// Static variables live in .data and .bss. They are kept from run to run, and start anew with a deploy.

#include <bpf/helpers.h>

static uint32_t runs;

int64_t counter(void) {
    runs += 1;
    bpf_printf("run %u since the deploy\n", runs);
    return runs;
}
