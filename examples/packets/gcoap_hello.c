// expected: -22
// Answers `hello`, byte by byte, and counts in local key 1 how often; without packet -BPF_EINVAL.

#include <bpf/helpers.h>

#define RUNS 1

int64_t gcoap_hello(bpf_coap_ctx_t *context) {
    int error = bpf_gcoap_resp_init(context, BPF_COAP_CONTENT);
    uint32_t runs = 0;

    if (error < 0) {
        return error;
    }
    bpf_fetch_local(RUNS, &runs);
    bpf_store_local(RUNS, runs + 1);

    int64_t length = bpf_coap_opt_finish(context, BPF_COAP_OPT_FINISH_PAYLOAD);
    volatile char *payload = (volatile char *)(uintptr_t)context->pkt->payload_p;

    payload[0] = 'h';
    payload[1] = 'e';
    payload[2] = 'l';
    payload[3] = 'l';
    payload[4] = 'o';
    return length + 5;
}
