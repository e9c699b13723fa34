// expected: 45
// Two numbers from the context: a·b + 5.

#include <bpf/helpers.h>

struct input {
    uint64_t a;
    uint64_t b;
};

int64_t multiply_add(const struct input *input) {
    return input->a * input->b + 5;
}
