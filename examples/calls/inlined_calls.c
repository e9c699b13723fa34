// expected: 12345
// Functions that the compiler puts into their caller: no call is left but that of the helper.

#include <bpf/helpers.h>

BPF_INLINE uint32_t append(uint32_t number, volatile uint32_t *digit) {
    return number * 10 + (*digit)++;
}

BPF_INLINE uint32_t append_two(uint32_t number, volatile uint32_t *digit) {
    return append(append(number, digit), digit);
}

int64_t inlined_calls(void) {
    char format[] = "number: %u\n";
    volatile uint32_t digit = 1;
    uint32_t number = append_two(append_two(append(0, &digit), &digit), &digit);

    bpf_printf(format, number);
    return number;
}
