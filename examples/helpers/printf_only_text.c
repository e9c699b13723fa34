// expected: 100
// The same without .rodata: the text is put together on the stack, so that code is all there is.

#include <bpf/helpers.h>

int64_t print_from_stack(void) {
    char format[] = "%u and %u\n";
    uint32_t number = 100;

    bpf_printf(format, number, number + 1);
    return number;
}
