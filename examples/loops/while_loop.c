// expected: 5050
// 100 + 99 + … + 1. The counter is volatile, or the compiler would know the sum.

#include <bpf/helpers.h>

int64_t while_loop(void) {
    volatile uint32_t counter = 100;
    uint32_t sum = 0;

    while (counter > 0) {
        sum += counter;
        counter = counter - 1;
    }
    bpf_printf("sum: %u\n", sum);
    return sum;
}
