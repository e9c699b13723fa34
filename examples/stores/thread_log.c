// expected: 0, 0, 0
// Counts how often each thread was switched to. The scheduler calls it with the thread that it leaves
// and the one that comes next, 0 for none.

#include <bpf/helpers.h>

struct thread_switch {
    uint64_t previous;
    uint64_t next;
};

int64_t thread_log(const struct thread_switch *context) {
    uint32_t thread = (uint32_t)context->next;

    if (thread != 0) {
        uint32_t count = 0;

        bpf_fetch_global(thread, &count);
        bpf_store_global(thread, count + 1);
    }
    return 0;
}
