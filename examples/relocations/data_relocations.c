// expected: 123
// A pointer in .data to a constant in .rodata: the loader has to put the constant's address into it.

#include <bpf/helpers.h>

const uint32_t constant = 123;
const uint32_t *volatile pointer = &constant;

int64_t data_relocations(void) {
    if (pointer != &constant) {
        bpf_printf("the pointer leads to %p\n", (const void *)pointer);
        return -1;
    }
    return *pointer;
}
