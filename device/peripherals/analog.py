"""Analog lines of 10 bits, and what boards make of their values (helpers.md section 3.4)."""

from __future__ import annotations

from typing import Final

MAX_VALUE: Final = 1023

SOUND_LINE: Final = 0
LIGHT_LINE: Final = 1
KEYPAD_LINE: Final = 2

_KEY_LIMITS: Final = (200, 500, 700, 900)
"""Values below these are: right, up, down, left; none from the last one on."""


def line_value(value: int) -> int:
    """What the converter can say: 0 to 1023."""
    return min(max(value, 0), MAX_VALUE)


def light_percent(value: int) -> int:
    """Brightness in percent from the photoresistor's line."""
    return min(max((value - 12) * 100, 0) // 1011, 100)


def sound_decibels(peak: int) -> int:
    """trunc(49.5 + (p - 20) * 40.5 / 880) for a peak-to-peak amplitude over 50 ms, in whole numbers."""
    return (880 * 99 + (peak - 20) * 81) // (2 * 880)


def key_of(value: int) -> int:
    """0 right, 1 up, 2 down, 3 left, 4 none."""
    return sum(value >= limit for limit in _KEY_LIMITS)
