// expected: OUT_OF_INSTRUCTIONS
// Never ends: a menu of four values on the display, the keys UP and DOWN choose, RIGHT goes to the first.

#include "menu.h"

BPF_INLINE void to_the_first(uint32_t *entry) { *entry = TEMPERATURE_ENTRY; }

int64_t display(void) { return show_menu(to_the_first); }
