// expected: 1234
// As much as one call can carry: the format and four values, in r1 to r5.

#include <bpf/helpers.h>

int64_t five_arguments(void) {
    bpf_printf("%d %d %d %d\n", 1, 2, 3, 4);
    return 1234;
}
