// expected: -22
// Answers with the mean of keys 0 to 9 of the global store, in tenths of a degree; without packet -BPF_EINVAL.

#include <bpf/helpers.h>

#define READINGS 10

int64_t gcoap_temperature(bpf_coap_ctx_t *context) {
    int error = bpf_gcoap_resp_init(context, BPF_COAP_CONTENT);
    uint32_t sum = 0;

    if (error < 0) {
        return error;
    }
    BPF_KEEP_LOOP
    for (uint32_t key = 0; key < READINGS; key++) {
        uint32_t value = 0;

        bpf_fetch_global(key, &value);
        sum += value;
    }
    bpf_coap_add_format(context, BPF_COAP_FORMAT_JSON);

    int64_t length = bpf_coap_opt_finish(context, BPF_COAP_OPT_FINISH_PAYLOAD);
    char *payload = (char *)bpf_coap_get_pdu(context);
    size_t at = sizeof("{\"temperature\": ") - 1;

    bpf_memcpy(payload, "{\"temperature\": ", at);
    at += bpf_fmt_s16_dfp(payload + at, (int16_t)(sum / READINGS), -1);
    bpf_memcpy(payload + at, "}", 2);
    return length + (int64_t)at + 2;
}
