// expected: -22
// Answers with keys 0 and 1 of the global store; without packet -BPF_EINVAL.

#include <bpf/helpers.h>

#define FIRST "{\"temperature\": "
#define SECOND ", \"humidity\": "

int64_t gcoap_temperature_humidity(bpf_coap_ctx_t *context) {
    int error = bpf_gcoap_resp_init(context, BPF_COAP_CONTENT);
    uint32_t first = 0, second = 0;

    if (error < 0) {
        return error;
    }
    bpf_fetch_global(0, &first);
    bpf_fetch_global(1, &second);
    bpf_coap_add_format(context, BPF_COAP_FORMAT_JSON);

    int64_t length = bpf_coap_opt_finish(context, BPF_COAP_OPT_FINISH_PAYLOAD);
    char *payload = (char *)(uintptr_t)context->pkt->payload_p;
    size_t at = sizeof(FIRST) - 1;

    bpf_memcpy(payload, FIRST, at);
    at += bpf_fmt_s16_dfp(payload + at, (int16_t)first, -1);
    bpf_memcpy(payload + at, SECOND, sizeof(SECOND) - 1);
    at += sizeof(SECOND) - 1;
    at += bpf_fmt_s16_dfp(payload + at, (int16_t)second, -1);
    bpf_memcpy(payload + at, "}", 2);
    bpf_printf("%s\n", payload);
    return length + (int64_t)at + 2;
}
