// expected: 150
// 10 · 5 · 3, all from registers.

#include <bpf/helpers.h>

int64_t multiply_three(void) {
    volatile uint32_t a = 10;
    volatile uint32_t b = 5;
    volatile uint32_t c = 3;

    return a * b * c;
}
