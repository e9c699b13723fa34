// expected: 84
// 100,000 steps of a counter on the stack. It is volatile, so that every step reads and writes it.

#include <bpf/helpers.h>

const char *volatile message = "The end";

int64_t looping(void) {
    volatile uint32_t counter = 0;

    while (counter < 100000) {
        counter = counter + 1;
    }
    return message[0];
}
