// expected: 24
// 8 · 3. By 3, because a power of two would become a shift.

#include <bpf/helpers.h>

int64_t multiply_two(void) {
    volatile uint32_t a = 8;

    return a * 3;
}
