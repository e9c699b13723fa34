// expected: 1
// The device's clock in milliseconds and in microseconds: the same clock, read one after the other.

#include <bpf/helpers.h>

int64_t uptime(void) {
    uint32_t milliseconds = bpf_now_ms();
    uint32_t microseconds = bpf_ztimer_now();

    bpf_printf("up for %u.%03u s\n", milliseconds / 1000, milliseconds % 1000);
    return microseconds - milliseconds * 1000 < 60u * 1000 * 1000;
}
