// expected: 0
// Text with up to four arguments: constants, literals, and what the program found out.

#include <bpf/helpers.h>

int64_t print_values(void *context __attribute__((unused)), size_t length) {
    bpf_printf("%s has %u bytes of context\n", "This run", (uint32_t)length);
    bpf_printf("%d %5u|%-5x|%c\n", -1, 42u, 0xbeefu, 'z');
    bpf_printf("100%%\n");
    return 0;
}
