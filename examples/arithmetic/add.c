// expected: 123
// 100 + 23; the second number is part of the instruction.

#include <bpf/helpers.h>

int64_t add(void) {
    volatile uint32_t a = 100;

    return a + 23;
}
