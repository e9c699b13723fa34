// expected: 84
// 100,000 steps of a counter in .bss, which is reached through a pointer in .data.

#include <bpf/helpers.h>

uint32_t counter;
volatile uint32_t *volatile steps = &counter;
const char *volatile message = "The end";

int64_t data_relocations_looping(void) {
    *steps = 0;
    while (*steps < 100000) {
        *steps = *steps + 1;
    }
    return message[0];
}
