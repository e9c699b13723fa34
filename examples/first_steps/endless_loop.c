// expected: OUT_OF_INSTRUCTIONS
// A program that never ends. Its budget of instructions does.

#include <bpf/helpers.h>

int64_t endless_loop(void) {
    volatile uint32_t ticks = 0;

    for (;;) {
        ticks = ticks + 1;
    }
}
