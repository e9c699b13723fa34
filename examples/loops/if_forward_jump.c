// expected: 500500
// 1000 + 999 + … + 1, with a jump over the line that is printed only now and then.

#include <bpf/helpers.h>

int64_t if_forward_jump(void) {
    volatile uint32_t counter = 1000;
    uint32_t sum = 0;

    while (counter > 0) {
        sum += counter;
        if (counter % 250 == 0) {
            bpf_printf("%u to go, sum so far: %u\n", counter, sum);
        }
        counter = counter - 1;
    }
    return sum;
}
