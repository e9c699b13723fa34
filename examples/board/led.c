// expected: 1
// Switches the first device of the registry, which is an LED, on, and reads what became of it.

#include <bpf/helpers.h>

int64_t led(void) {
    bpf_saul_reg_t *led = bpf_saul_reg_find_nth(0);
    phydat_t state = {{1, 0, 0}, BPF_UNIT_BOOL, 0};

    if (bpf_saul_reg_write(led, &state) < 0) {
        return -BPF_ENOTSUP;
    }
    bpf_saul_reg_read(led, &state);
    bpf_print_debug((uint32_t)state.val[0]);
    return state.val[0];
}
