// expected: -22
// Answers any request with a temperature. Without a packet, as here, there is nothing to answer: -BPF_EINVAL.

#include <bpf/helpers.h>

int64_t gcoap_response_format(bpf_coap_ctx_t *context) {
    int error = bpf_gcoap_resp_init(context, BPF_COAP_CONTENT);
    int64_t length;
    char *payload;

    if (error < 0) {
        return error;
    }
    bpf_coap_add_format(context, BPF_COAP_FORMAT_TEXT);
    length = bpf_coap_opt_finish(context, BPF_COAP_OPT_FINISH_PAYLOAD);
    payload = (char *)(uintptr_t)context->pkt->payload_p;

    size_t at = sizeof("{\"temperature\": ") - 1;
    bpf_memcpy(payload, "{\"temperature\": ", at);
    at += bpf_fmt_s16_dfp(payload + at, -123, -1);
    bpf_memcpy(payload + at, "}", 2);
    bpf_printf("%s\n", payload);
    return length + (int64_t)at + 2;
}
