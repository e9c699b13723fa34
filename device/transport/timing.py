"""How patient a sender is: acknowledgement timeouts and retransmissions (RFC 7252 section 4.8)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from aiocoap.numbers.constants import TransportTuning

RANDOM_FACTOR: Final = 1.5
"""ACK_RANDOM_FACTOR of RFC 7252: the first timeout lies between once and this often `ack_timeout_s`."""

EXCHANGE_LIFETIME_S: Final = 45.0
"""Seconds a server remembers a request with its answer, to recognise a repeated one.

RFC 7252 says 247, at 2.7 KB each: 2,000 requests a second would take more than a gigabyte. The longest
series of retransmissions with the RFC's own timing takes 45 seconds, so that no repetition is missed.
"""


@dataclass(frozen=True, slots=True)
class Timing:
    """When a confirmable message is repeated: after `ack_timeout_s`, then after twice that, and so on."""

    ack_timeout_s: float
    max_retransmit: int

    @property
    def stall_s(self) -> float:
        """Seconds without an answer after which a transfer under way is given up: five sendings at most."""
        return self.ack_timeout_s * float(2 ** min(self.max_retransmit + 1, 5) - 1) * RANDOM_FACTOR


LAN: Final = Timing(0.3, 6)
"""For a testbed: losses of 5 to 20 % cost seconds instead of minutes."""

RFC7252: Final = Timing(2.0, 4)
"""The standard's values, for the internet."""

TIMINGS: Final = {"lan": LAN, "rfc7252": RFC7252}


@lru_cache(maxsize=64)
def tuning(
    timing: Timing, *, reliable: bool | None = None, exchange_lifetime_s: float = EXCHANGE_LIFETIME_S
) -> TransportTuning:
    """The same for aiocoap, as a message's `transport_tuning`.

    `reliable` True makes a message confirmable, False non-confirmable, None leaves it to the request.
    """
    made = type(
        "Tuning",
        (TransportTuning,),
        {
            "ACK_TIMEOUT": timing.ack_timeout_s,
            "MAX_RETRANSMIT": timing.max_retransmit,
            "ACK_RANDOM_FACTOR": RANDOM_FACTOR,
            "EXCHANGE_LIFETIME": exchange_lifetime_s,
            "reliability": reliable,
        },
    )
    return made()
