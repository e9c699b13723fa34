// expected: 3
// Three steps, a millisecond apart; whatever a step takes, the next one begins when it should.

#include <bpf/helpers.h>

#define PERIOD_US 1000

int64_t pace(void) {
    uint32_t begin = bpf_ztimer_now();
    uint32_t last = begin;
    int64_t steps = 0;

    BPF_KEEP_LOOP
    while (steps < 3) {
        bpf_ztimer_periodic_wakeup(&last, PERIOD_US);
        steps++;
    }
    return bpf_ztimer_now() - begin >= 3 * PERIOD_US ? steps : -1;
}
