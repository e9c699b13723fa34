/*
 * The helper functions of the device, for programs in C and C++.
 *
 *     #include <bpf/helpers.h>
 *
 *     int64_t hello(void *context, size_t length) {
 *         bpf_printf("Hello, %u bytes of context\n", (uint32_t)length);
 *         return 0;
 *     }
 *
 * A program starts at the function that comes first in the file, or at its only function that is not
 * static. Its arguments are the address of the context, or 0, and the length in bytes. Return int64_t:
 * the result is all 64 bits of r0, and a narrower type leaves the upper ones to chance.
 *
 * A helper is known by its number. The declarations below are constant function pointers whose address
 * is that number; the compiler turns every use into a plain `call <number>`, which needs -O1 or more.
 * Arguments go in r1 to r5, so there are at most five, and they are not changed by the call.
 *
 * Pointers are checked by the device before a helper does anything: memory that the program may not
 * read or write ends the run with ILLEGAL_MEM, naming the helper and the argument.
 *
 * There is no C library. <stdint.h>, <stddef.h> and <stdbool.h> are the compiler's own.
 */
#ifndef BPF_HELPERS_H
#define BPF_HELPERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BPF_HELPER(id, result, name, arguments) \
    static result(*const name) arguments __attribute__((unused)) = (result(*) arguments)(id)

/* For functions that have to become part of their caller, or have to stay what is called. */
#define BPF_INLINE static inline __attribute__((always_inline))
#define BPF_NOINLINE __attribute__((noinline))

/* In front of a loop that has to stay a loop: short ones are otherwise written out, which takes space. */
#define BPF_KEEP_LOOP _Pragma("clang loop unroll(disable)")

/* Makes the compiler take a pointer, and what is behind it, for something that it does not know. */
#define BPF_UNKNOWN(pointer) __asm__ volatile("" : "+r"(pointer) : : "memory")

/* What helpers return when they cannot, negative: `if (result == -BPF_ENODEV)`. */
enum {
    BPF_ENODEV = 19,     /* no such device */
    BPF_EINVAL = 22,     /* not now, or not with these arguments */
    BPF_ENOSPC = 28,     /* does not fit into the buffer */
    BPF_ENOTSUP = 95,    /* the device cannot do that */
    BPF_ECANCELED = 125, /* the sensor failed */
};

/* ---- Console and memory ------------------------------------------------------------------------ */

/*
 * Prints on the device's console, which is also the `output` of a run. Up to four arguments, of 32 bits
 * each: %d %i %u %o %x %X %c %s %p %%, with flags, width and precision. A long is cut to 32 bits.
 * Returns the number of bytes, or -BPF_EINVAL for a conversion that ends in the middle.
 *
 * A literal lies in .rodata. An array on the stack, `char text[] = "..."`, needs no .rodata, so that the
 * program also fits the layout that is text only.
 */
__attribute__((format(printf, 1, 2)))
BPF_HELPER(0x01, int, bpf_printf, (const char *format, ...));

/* Copies n bytes; the two may overlap. Returns the destination. */
BPF_HELPER(0x02, void *, bpf_memcpy, (void *destination, const void *source, size_t n));

/* Prints the line `[DEBUG]: value`. */
BPF_HELPER(0x03, int, bpf_print_debug, (uint32_t value));

/* ---- Key-value stores -------------------------------------------------------------------------- */

/*
 * The local store belongs to the program's slot, the global one to all programs of the device. Both
 * outlive a run. Storing returns 0, or -1 when the store is full; fetching returns 0 and gives the
 * value 0 for a key that is not there.
 */
BPF_HELPER(0x10, int, bpf_store_local, (uint32_t key, uint32_t value));
BPF_HELPER(0x11, int, bpf_store_global, (uint32_t key, uint32_t value));
BPF_HELPER(0x12, int, bpf_fetch_local, (uint32_t key, uint32_t *value));
BPF_HELPER(0x13, int, bpf_fetch_global, (uint32_t key, uint32_t *value));

/* ---- Time -------------------------------------------------------------------------------------- */

/* Since the device's start; both begin again at 0 after 2^32. */
BPF_HELPER(0x20, uint32_t, bpf_now_ms, (void));
BPF_HELPER(0x60, uint32_t, bpf_ztimer_now, (void)); /* microseconds */

/*
 * Sleeps until *last + period (microseconds) and puts that time into *last: a loop around it runs at a
 * steady pace. When that time is over already it does not sleep, and *last becomes the present.
 */
BPF_HELPER(0x61, int, bpf_ztimer_periodic_wakeup, (uint32_t *last, uint32_t period));

/* ---- Sensors and actuators (SAUL) -------------------------------------------------------------- */

/* A handle; there is nothing to read behind it. */
typedef struct bpf_saul_reg bpf_saul_reg_t;

/* A reading: val[] times ten to the power of scale, in that unit. 234, scale -1 and °C are 23.4 °C. */
typedef struct {
    int16_t val[3];
    uint8_t unit;
    int8_t scale;
} phydat_t;

enum {
    BPF_UNIT_NONE = 1,
    BPF_UNIT_TEMP_C = 2,
    BPF_UNIT_DB = 18,
    BPF_UNIT_BOOL = 26,
    BPF_UNIT_PERCENT = 28,
};

enum {
    BPF_SAUL_ACT_ANY = 0x40,
    BPF_SAUL_ACT_LED_RGB = 0x41,
    BPF_SAUL_ACT_SERVO = 0x42,
    BPF_SAUL_ACT_MOTOR = 0x43,
    BPF_SAUL_ACT_SWITCH = 0x44, /* the LEDs */
    BPF_SAUL_ACT_DIMMER = 0x45,
    BPF_SAUL_SENSE_ANY = 0x80,
    BPF_SAUL_SENSE_BTN = 0x81,
    BPF_SAUL_SENSE_TEMP = 0x82,
    BPF_SAUL_SENSE_HUM = 0x83,
    BPF_SAUL_SENSE_LIGHT = 0x84,
    BPF_SAUL_SENSE_SOUND = 0x85,
    BPF_SAUL_SENSE_ACCEL = 0x86,
    BPF_SAUL_SENSE_MAG = 0x87,
    BPF_SAUL_SENSE_GYRO = 0x88,
    BPF_SAUL_SENSE_COLOR = 0x89,
    BPF_SAUL_SENSE_PRESS = 0x8a,
    BPF_SAUL_SENSE_ANALOG = 0x8b,
};

/* The device at a position, from 0, or the first one of a class; 0 when there is none. */
BPF_HELPER(0x30, bpf_saul_reg_t *, bpf_saul_reg_find_nth, (int position));
BPF_HELPER(0x31, bpf_saul_reg_t *, bpf_saul_reg_find_type, (uint8_t type));

/* Number of values read or written; -BPF_ENODEV, -BPF_ENOTSUP or -BPF_ECANCELED, and *data as it was. */
BPF_HELPER(0x32, int, bpf_saul_reg_read, (bpf_saul_reg_t * device, phydat_t *data));
BPF_HELPER(0x33, int, bpf_saul_reg_write, (bpf_saul_reg_t * device, phydat_t *data));

/* val[0] of a reading alone, sign-extended; 0 on error. Returns what bpf_saul_reg_read does. */
BPF_HELPER(0x34, int, bpf_saul_read_temp, (bpf_saul_reg_t * device, uint32_t *value));

/* ---- CoAP replies ------------------------------------------------------------------------------ */

/* Where a program that answers a CoAP request finds it. The helpers keep this view up to date. */
typedef struct {
    uint32_t hdr_p;       /* address of the header: the start of the buffer */
    uint32_t payload_p;   /* address of the payload */
    uint32_t token_p;     /* address of the token, 0 when there is none */
    uint16_t payload_len; /* bytes of a request's payload; once a reply is begun, the bytes that are free */
    uint16_t options_len; /* number of options */
} bpf_coap_pkt_t;

/* The context of such a program, which must pass its own address to the helpers below. */
typedef struct {
    const bpf_coap_pkt_t *pkt;
    uint8_t *buf;
    uint64_t buf_len;
} bpf_coap_ctx_t;

#define BPF_COAP_CODE(class, detail) (((class) << 5) | (detail))

enum {
    BPF_COAP_CHANGED = 0x44,       /* 2.04 */
    BPF_COAP_CONTENT = 0x45,       /* 2.05 */
    BPF_COAP_BAD_REQUEST = 0x80,   /* 4.00 */
    BPF_COAP_NOT_FOUND = 0x84,     /* 4.04 */
    BPF_COAP_INTERNAL_ERROR = 0xa0 /* 5.00 */
};

enum {
    BPF_COAP_FORMAT_TEXT = 0,
    BPF_COAP_FORMAT_LINK = 40,
    BPF_COAP_FORMAT_OCTET = 42,
    BPF_COAP_FORMAT_JSON = 50,
    BPF_COAP_FORMAT_CBOR = 60,
};

enum {
    BPF_COAP_OPT_FINISH_NONE = 0,    /* the reply ends here */
    BPF_COAP_OPT_FINISH_PAYLOAD = 1, /* a payload follows */
};

/*
 * In this order: begin the reply, add its format, finish the options, write the payload; then return the
 * length in bytes of the whole message, which is what bpf_coap_opt_finish gave plus the payload.
 */
BPF_HELPER(0x40, int, bpf_gcoap_resp_init, (bpf_coap_ctx_t * context, unsigned code));
BPF_HELPER(0x41, int64_t, bpf_coap_opt_finish, (bpf_coap_ctx_t * context, unsigned flags));
BPF_HELPER(0x42, int, bpf_coap_add_format, (bpf_coap_ctx_t * context, uint32_t format));

/* Where the payload begins. */
BPF_HELPER(0x43, uint8_t *, bpf_coap_get_pdu, (bpf_coap_ctx_t * context));

/* ---- Text -------------------------------------------------------------------------------------- */

/*
 * Write a number as text, without a NUL at the end, and return the number of characters. With 0 for
 * `out` they only count.
 */
BPF_HELPER(0x50, size_t, bpf_fmt_s16_dfp, (char *out, int16_t value, int fp_digits)); /* value·10^fp_digits */
BPF_HELPER(0x51, size_t, bpf_fmt_u32_dec, (char *out, uint32_t value));

BPF_HELPER(0x52, size_t, bpf_strlen, (const char *text));

/* ---- Pins, display, keypad --------------------------------------------------------------------- */

/* The level of a pin, 0 or 1. The first makes the pin an input before it reads. */
BPF_HELPER(0x70, uint64_t, bpf_gpio_read_input, (uint32_t port, uint32_t pin));
BPF_HELPER(0x71, uint64_t, bpf_gpio_read_raw, (uint32_t port, uint32_t pin));

/* Makes the pin an output, high unless value is 0. Returns 1, or 0 when there is no such pin. */
BPF_HELPER(0x72, int, bpf_gpio_write, (uint32_t port, uint32_t pin, uint32_t value));

/* The display: init gives its handle, or 0 without display; the others 0 or -BPF_ENODEV. */
BPF_HELPER(0x80, uint32_t, bpf_hd44780_init, (void));
BPF_HELPER(0x81, int, bpf_hd44780_clear, (uint32_t display));
BPF_HELPER(0x82, int, bpf_hd44780_print, (uint32_t display, const char *text));
BPF_HELPER(0x83, int, bpf_hd44780_set_cursor, (uint32_t display, uint32_t column, uint32_t row));

enum { BPF_KEY_RIGHT, BPF_KEY_UP, BPF_KEY_DOWN, BPF_KEY_LEFT, BPF_KEY_NONE };

/* The key that is pressed, from the voltage on an analog line. */
BPF_HELPER(0x84, uint32_t, bpf_keypad_get_input, (uint32_t adc_line));

#ifdef __cplusplus
}
#endif

#endif
