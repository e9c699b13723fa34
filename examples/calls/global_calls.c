// expected: 12345
// Functions that are not static are called through a relocation, in whatever section they are.
// The program starts at the function that comes first in the file.

#include <bpf/helpers.h>

uint32_t append(uint32_t number, volatile uint32_t *digit);
uint32_t append_two(uint32_t number, volatile uint32_t *digit);

int64_t global_calls(void) {
    volatile uint32_t digit = 1;
    uint32_t number = append_two(append_two(append(0, &digit), &digit), &digit);

    bpf_printf("number: %u\n", number);
    return number;
}

BPF_NOINLINE uint32_t append(uint32_t number, volatile uint32_t *digit) {
    return number * 10 + (*digit)++;
}

__attribute__((section("other_functions"))) BPF_NOINLINE uint32_t append_two(
    uint32_t number, volatile uint32_t *digit) {
    return append(append(number, digit), digit);
}
