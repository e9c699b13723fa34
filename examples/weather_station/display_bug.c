// expected: OUT_OF_INSTRUCTIONS
// The display with a bug: RIGHT is to show the reading of an hour ago, which nobody keeps.

#include "menu.h"

#define NOT_FOUND ((const volatile uint32_t *)-1)

/* Looks for an old reading, finds none, and does not ask whether it has. */
BPF_INLINE void an_hour_ago(uint32_t *entry) {
    const volatile uint32_t *found = NOT_FOUND;

    bpf_printf("looking for %s an hour ago\n", name_of(*entry));
    *entry = *found % ENTRIES;
}

int64_t display_bug(void) { return show_menu(an_hour_ago); }
