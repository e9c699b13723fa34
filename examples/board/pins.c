// expected: 6
// Pin B3 as an output that is high, then low, then as an input that nothing drives: a bit for each reading.

#include <bpf/helpers.h>

#define PORT_B 1
#define PIN 3

int64_t pins(void) {
    int64_t seen = bpf_gpio_write(PORT_B, PIN, 128);

    seen = seen << 1 | (int64_t)bpf_gpio_read_raw(PORT_B, PIN);
    bpf_gpio_write(PORT_B, PIN, 0);
    return seen << 1 | (int64_t)bpf_gpio_read_input(PORT_B, PIN);
}
