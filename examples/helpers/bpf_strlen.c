// expected: 21
// The length of a string on the stack.

#include <bpf/helpers.h>

int64_t length_of_text(void) {
    char text[] = "twenty-one characters";
    char format[] = "length: %u\n";
    size_t length = bpf_strlen(text);

    bpf_printf(format, (uint32_t)length);
    return length;
}
