// expected: 5
// An unsigned number as text.

#include <bpf/helpers.h>

int64_t format_unsigned(void) {
    char format[] = "%s\n";
    char text[12];
    size_t length = bpf_fmt_u32_dec(text, 12345);

    text[length] = '\0';
    bpf_printf(format, text);
    return length;
}
