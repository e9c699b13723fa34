// expected: 0
// The shortest way to see a number.

#include <bpf/helpers.h>

int64_t print_debug(void) {
    return bpf_print_debug(4000000000u);
}
