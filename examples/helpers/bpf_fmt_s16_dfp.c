// expected: 5
// A fixed-point number as text: -125 tenths are -12.5. The text has no NUL, so that it is put there.

#include <bpf/helpers.h>

int64_t format_fixed_point(void) {
    char format[] = "%s\n";
    char text[8];
    size_t length = bpf_fmt_s16_dfp(text, -125, -1);

    text[length] = '\0';
    bpf_printf(format, text);
    return length;
}
