// expected: 5
// A string that can be changed, in .data, and a literal, which cannot, in .rodata.

#include <bpf/helpers.h>

char text[] = "hello";

int64_t strings_in_two_sections(void) {
    bpf_printf("%s\n", text);
    return bpf_strlen(text);
}
