/*
 * The display of the weather station: a name in the first row, a number and its unit in the second; the
 * keys UP and DOWN choose among four values. What RIGHT does is the program's own.
 */
#ifndef MENU_H
#define MENU_H

#include "readings.h"

#define KEYPAD_LINE 2
#define PERIOD_US 25000
#define COLUMNS 16

enum { TEMPERATURE_ENTRY, HUMIDITY_ENTRY, LIGHT_ENTRY, SOUND_ENTRY, ENTRIES };

BPF_INLINE uint32_t key_of(uint32_t entry) {
    static const uint8_t keys[ENTRIES] = {INDOOR_TEMPERATURE, INDOOR_HUMIDITY, LIGHT, SOUND};

    return keys[entry];
}

BPF_INLINE const char *name_of(uint32_t entry) {
    static const char names[ENTRIES][COLUMNS] = {"Temperature", "Humidity", "Light", "Sound"};

    return names[entry];
}

BPF_INLINE const char *unit_of(uint32_t entry) {
    static const char units[ENTRIES][4] = {" C", " %", " %", " dB"};

    return units[entry];
}

/* Both rows anew. The number is in tenths for the first two entries. */
BPF_NOINLINE static void draw(uint32_t display, uint32_t entry, uint32_t value) {
    char text[COLUMNS];
    size_t length;

    if (entry <= HUMIDITY_ENTRY) {
        length = bpf_fmt_s16_dfp(text, (int16_t)value, -1);
    } else {
        length = bpf_fmt_u32_dec(text, value);
    }
    text[length] = 0;
    bpf_hd44780_clear(display);
    bpf_hd44780_print(display, name_of(entry));
    bpf_hd44780_set_cursor(display, 0, 1);
    bpf_hd44780_print(display, text);
    bpf_hd44780_print(display, unit_of(entry));
}

/* Looks at the keypad forty times a second; a key counts once, however long it is held. */
BPF_INLINE int64_t show_menu(void (*on_right)(uint32_t *entry)) {
    uint32_t display = bpf_hd44780_init();
    uint32_t last = bpf_ztimer_now();
    uint32_t entry = TEMPERATURE_ENTRY, before = BPF_KEY_NONE;
    uint32_t shown_entry = ENTRIES, shown_value = 0;

    if (display == 0) {
        return -BPF_ENODEV;
    }
    for (;;) {
        uint32_t key = bpf_keypad_get_input(KEYPAD_LINE);

        if (key != before) {
            before = key;
            if (key == BPF_KEY_UP) {
                entry = (entry + ENTRIES - 1) % ENTRIES;
            } else if (key == BPF_KEY_DOWN) {
                entry = (entry + 1) % ENTRIES;
            } else if (key == BPF_KEY_RIGHT) {
                on_right(&entry);
            }
        }

        uint32_t value = reading(key_of(entry));

        if (entry != shown_entry || value != shown_value) {
            shown_entry = entry;
            shown_value = value;
            draw(display, entry, value);
        }
        bpf_ztimer_periodic_wakeup(&last, PERIOD_US);
    }
}

#endif
