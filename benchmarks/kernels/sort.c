// Insertion sort of 32-bit numbers in the context, and a sum that tells their order.
#include <stdint.h>

uint64_t sort(uint32_t *numbers, uint64_t length) {
    uint32_t count = (uint32_t)length / 4;
    uint64_t sum = 0;

    for (uint32_t i = 1; i < count; i++) {
        uint32_t number = numbers[i];
        uint32_t place = i;

        while (place > 0 && numbers[place - 1] > number) {
            numbers[place] = numbers[place - 1];
            place--;
        }
        numbers[place] = number;
    }
    for (uint32_t i = 0; i < count; i++) {
        sum += (uint64_t)numbers[i] * (i + 1);
    }
    return sum;
}
