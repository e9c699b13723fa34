"""Which CoAP code an error is answered with: the classes of device/errors.py, and the refusals of updates.

The table of classes is `device.resource.problems.STATUS`; updates have one of their own, which follows
suit.md section 10 and is kept beside the refusals themselves (device/suit/refusals.py).
"""

from __future__ import annotations

from aiocoap import Code

from device.errors import SuitError
from device.suit.refusals import Refusal


def code_of(error: BaseException) -> Code | None:
    """The code of a refused update; None where the table of classes decides."""
    if not isinstance(error, SuitError) or error.code not in Refusal.__members__:
        return None
    return coap_code(Refusal[error.code].coap)


def coap_code(dotted: str) -> Code:
    """A code from its usual notation, such as `4.03`."""
    major, minor = dotted.split(".")
    return Code(int(major) << 5 | int(minor))
