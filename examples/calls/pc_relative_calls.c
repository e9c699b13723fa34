// expected: 12345
// Static functions are called relative to the call itself; nothing has to be linked. Every function has
// its own 512 bytes of stack, and finds r6 to r9 as they were when a call comes back.

#include <bpf/helpers.h>

static BPF_NOINLINE uint32_t append(uint32_t number, volatile uint32_t *digit) {
    return number * 10 + (*digit)++;
}

static BPF_NOINLINE uint32_t append_two(uint32_t number, volatile uint32_t *digit) {
    return append(append(number, digit), digit);
}

int64_t pc_relative_calls(void) {
    char format[] = "number: %u\n";
    volatile uint32_t digit = 1;
    uint32_t number = append_two(append_two(append(0, &digit), &digit), &digit);

    bpf_printf(format, number);
    return number;
}
