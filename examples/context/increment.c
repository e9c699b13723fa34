// expected: 1
// The smallest program with an input.

#include <bpf/helpers.h>

int64_t increment(const uint64_t *value) {
    return *value + 1;
}
