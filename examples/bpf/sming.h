/*
 * The helpers that only profile `sming` has, the application's own in Sming's rBPF sample.
 *
 *     #include <bpf/sming.h>
 *
 * In that profile 0x10 to 0x13 are store_global, store_local, fetch_global and fetch_local: the names of
 * <bpf/helpers.h> then mean the other store.
 */
#ifndef BPF_SMING_H
#define BPF_SMING_H

#include <bpf/helpers.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A number that all programs of the device share, 1234 at boot. */
BPF_HELPER(0x100, int, bpf_user_get_magic, (void));
BPF_HELPER(0x101, void, bpf_user_set_magic, (int value));

/* Prints SEND and the bytes in hexadecimal; returns length. */
BPF_HELPER(0x102, size_t, bpf_user_send_packet, (const char *data, size_t length));

/* Copies the device's test packet, at most length bytes of it, without NUL; returns how many. */
BPF_HELPER(0x103, size_t, bpf_user_read_packet, (char *buffer, size_t length));

#ifdef __cplusplus
}
#endif

#endif
