// expected: -22
// Answers a request with light in percent and sound in dB; without packet -BPF_EINVAL.

#include "reply.h"

int64_t light_sound_reply(bpf_coap_ctx_t *context) {
    reply_t reply;

    if (!reply_begin(&reply, context)) {
        return -BPF_EINVAL;
    }
    reply_text(&reply, "{\"light\":");
    reply_number(&reply, reading(LIGHT));
    reply_text(&reply, ",\"sound\":");
    reply_number(&reply, reading(SOUND));
    reply_text(&reply, "}");
    return reply.length;
}
