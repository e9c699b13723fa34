// expected: 105
// A character of a string on the stack; the context says which. Characters are signed.

#include <bpf/helpers.h>

int64_t stack_string(const uint32_t *position) {
    char text[] = "Test string to try things out";
    const char *characters = text;

    BPF_UNKNOWN(characters);
    return (signed char)characters[*position];
}
