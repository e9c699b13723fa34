/*
 * Where the compartments of the weather station meet: the keys of the global store. Temperatures and
 * humidities are in tenths of a degree and of a percent, light in percent, sound in dB.
 */
#ifndef READINGS_H
#define READINGS_H

#include <bpf/helpers.h>

enum { INDOOR_TEMPERATURE, INDOOR_HUMIDITY, OUTDOOR_TEMPERATURE, OUTDOOR_HUMIDITY, LIGHT, SOUND };

/* What is under a key; 0 when nothing has been read yet. */
BPF_INLINE uint32_t reading(uint32_t key) {
    uint32_t value = 0;

    bpf_fetch_global(key, &value);
    return value;
}

#endif
