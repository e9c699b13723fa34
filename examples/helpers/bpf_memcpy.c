// expected: 7
// Copying within a buffer onto itself: source and destination may overlap.

#include <bpf/helpers.h>

int64_t copy(void) {
    char text[16] = "overlap";

    bpf_memcpy(text + 4, text, bpf_strlen(text) + 1);
    bpf_printf("%s\n", text);
    return bpf_strlen(text + 4);
}
