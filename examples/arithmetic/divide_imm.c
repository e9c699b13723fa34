// expected: 7
// 49 / 7; the divisor is part of the instruction. With -O2 alone the compiler
// would multiply by its inverse; `minsize` keeps the division.

#include <bpf/helpers.h>

__attribute__((minsize)) int64_t divide_imm(void) {
    volatile uint32_t a = 49;

    return a / 7;
}
