// Loads and stores at an address that the context holds: it may lie in any region.
#include <stdint.h>

struct input {
    uint64_t address;
    uint64_t count;
};

uint64_t access(const struct input *input, uint64_t length) {
    volatile uint32_t *place = (volatile uint32_t *)(uintptr_t)input->address;
    uint64_t sum = length;

    for (uint64_t i = input->count; i > 0; i--) {
        sum += *place;
        *place = (uint32_t)sum;
    }
    return sum;
}
