// expected: 43
// Three numbers from the context: a·b + c.

#include <bpf/helpers.h>

struct input {
    uint64_t a;
    uint64_t b;
    uint64_t c;
};

int64_t multiply_add_three(const struct input *input) {
    return input->a * input->b + input->c;
}
