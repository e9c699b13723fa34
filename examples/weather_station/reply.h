/* JSON replies, written piece by piece into the packet. A piece that does not fit ends the run with a fault. */
#ifndef REPLY_H
#define REPLY_H

#include "readings.h"

typedef struct {
    bpf_coap_ctx_t *context;
    int64_t length; /* of the message so far */
} reply_t;

/* False when the program was not called by a request. */
BPF_INLINE bool reply_begin(reply_t *reply, bpf_coap_ctx_t *context) {
    reply->context = context;
    if (bpf_gcoap_resp_init(context, BPF_COAP_CONTENT) < 0) {
        return false;
    }
    bpf_coap_add_format(context, BPF_COAP_FORMAT_JSON);
    reply->length = bpf_coap_opt_finish(context, BPF_COAP_OPT_FINISH_PAYLOAD);
    return true;
}

BPF_INLINE char *reply_end(reply_t *reply) { return (char *)reply->context->buf + reply->length; }

#define reply_text(reply, literal)                                      \
    do {                                                                \
        bpf_memcpy(reply_end(reply), literal, sizeof(literal) - 1);     \
        (reply)->length += sizeof(literal) - 1;                         \
    } while (0)

BPF_INLINE void reply_tenths(reply_t *reply, uint32_t value) {
    reply->length += (int64_t)bpf_fmt_s16_dfp(reply_end(reply), (int16_t)value, -1);
}

BPF_INLINE void reply_number(reply_t *reply, uint32_t value) {
    reply->length += (int64_t)bpf_fmt_u32_dec(reply_end(reply), value);
}

#endif
