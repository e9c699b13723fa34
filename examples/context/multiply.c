// expected: 0
// The context is also the way back: the product of two 32-bit numbers, 64 bits wide, is written into it.

#include <bpf/helpers.h>

struct multiplication {
    uint32_t a;
    uint32_t b;
    int64_t product;
};

int64_t multiply(struct multiplication *task) {
    task->product = (int64_t)task->a * task->b;
    return 0;
}
