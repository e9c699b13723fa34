// expected: -22
// Answers a request with temperature and humidity, indoors and outdoors; without packet -BPF_EINVAL.

#include "reply.h"

int64_t climate_reply(bpf_coap_ctx_t *context) {
    reply_t reply;

    if (!reply_begin(&reply, context)) {
        return -BPF_EINVAL;
    }
    reply_text(&reply, "{\"indoor\":{\"temperature\":");
    reply_tenths(&reply, reading(INDOOR_TEMPERATURE));
    reply_text(&reply, ",\"humidity\":");
    reply_tenths(&reply, reading(INDOOR_HUMIDITY));
    reply_text(&reply, "},\"outdoor\":{\"temperature\":");
    reply_tenths(&reply, reading(OUTDOOR_TEMPERATURE));
    reply_text(&reply, ",\"humidity\":");
    reply_tenths(&reply, reading(OUTDOOR_HUMIDITY));
    reply_text(&reply, "}}");
    return reply.length;
}
