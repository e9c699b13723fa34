// expected: 4
// Temperature and light on the display, and the key that is pressed as the result: 4 is none.

#include <bpf/helpers.h>

#define KEYPAD_LINE 2

/* A reading as text with its unit behind it, and a NUL. */
BPF_INLINE void put(char *text, int16_t value, int scale, const char *unit) {
    size_t length = bpf_fmt_s16_dfp(text, value, scale);

    bpf_memcpy(text + length, unit, 3);
}

int64_t show(void) {
    uint32_t display = bpf_hd44780_init();
    phydat_t reading;
    char text[20];

    if (display == 0) {
        return -BPF_ENODEV;
    }
    bpf_hd44780_clear(display);
    bpf_saul_reg_read(bpf_saul_reg_find_type(BPF_SAUL_SENSE_TEMP), &reading);
    put(text, reading.val[0], reading.scale, " C");
    bpf_hd44780_print(display, text);
    bpf_saul_reg_read(bpf_saul_reg_find_type(BPF_SAUL_SENSE_LIGHT), &reading);
    put(text, reading.val[0], reading.scale, " %");
    bpf_hd44780_set_cursor(display, 0, 1);
    bpf_hd44780_print(display, text);
    return bpf_keypad_get_input(KEYPAD_LINE);
}
