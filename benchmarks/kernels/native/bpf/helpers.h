/*
 * The helpers that kernels call, for native code: what is a call by number in eBPF is a function here, which
 * asks for the same service in the same way as compiled eBPF does (calls.s).
 */
#ifndef BPF_HELPERS_H
#define BPF_HELPERS_H

#include <stddef.h>
#include <stdint.h>

int bpf_store_global(uint32_t key, uint32_t value);
int bpf_fetch_global(uint32_t key, uint32_t *value);
size_t bpf_strlen(const char *text);

#endif
