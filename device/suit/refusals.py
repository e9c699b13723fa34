"""Why an update is refused: the classes of suit.md section 10 with the codes that other tools know.

The class is the truth. RIOT's numbers overlap (a bad signature and a 4.xx download are both -6) and are
shown for familiarity; the report reasons are those of draft-ietf-suit-report.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from device.errors import SuitError


class Refusal(Enum):
    """A class: RIOT's code, the suit-report reason, the CoAP code of a synchronous answer."""

    MALFORMED = (-1, 1, "4.00", "not what the format allows")
    FORMAT = (-1, 1, "4.15", "no SUIT envelope of a profile that this device takes")
    TOO_LARGE = (-105, 1, "4.13", "larger than the device takes")
    TOO_COMPLEX = (-9, 1, "4.13", "nested or long beyond the limits")
    UNSIGNED = (-6, 4, "4.03", "without a signature")
    BAD_SIGNATURE = (-6, 4, "4.03", "no trusted key made this signature")
    ALG_UNSUPPORTED = (-6, 3, "4.03", "the signature algorithm is not in the profile")
    MANIFEST_DIGEST = (-7, 4, "4.03", "the signature is for another manifest")
    SEVERED_DIGEST = (-7, 4, "4.03", "a severed member is not the one that was signed")
    VERSION = (-5, 1, "4.00", "the manifest version is not 1")
    ROLLBACK = (-5, 10, "4.12", "the sequence number does not advance")
    UNSUPPORTED = (-2, 5, "4.00", "a command or parameter that this device does not know")
    UNKNOWN_COMPONENT = (-2, 6, "4.04", "the device has no such component")
    TOO_MANY_COMPONENTS = (-2, 6, "4.13", "more components than the device takes")
    NOTHING_INSTALLED = (-1, 11, "4.00", "the manifest installs nothing")
    VENDOR_MISMATCH = (-4, 10, "4.12", "made for another vendor's devices")
    CLASS_MISMATCH = (-4, 10, "4.12", "made for another board")
    CONDITION_FAILED = (-4, 10, "4.12", "a condition of the manifest does not hold")
    POLICY = (-8, 7, "4.03", "the manifest leaves out what the device insists on")
    CAPABILITY = (-8, 7, "4.03", "it asks for more than the device grants")
    COMPONENT_FORBIDDEN = (-8, 7, "4.03", "the key may not write this slot")
    SLOT_MISMATCH = (-8, 7, "4.09", "the manifest is for another slot")
    SLOT_BUSY = (-50, 11, "4.09", "a job holds the slot")
    URI_FORBIDDEN = (-8, 11, "4.03", "the device does not fetch from there")
    STORAGE_EXCEEDED = (-51, 11, "4.13", "the image does not fit into a slot")
    STORAGE = (-50, 11, "5.00", "the image could not be stored")
    TRANSPORT = (-6, 11, "5.02", "the download failed")
    IMAGE_SIZE = (-1, 11, "4.12", "the image has not the size that was signed")
    IMAGE_DIGEST = (-7, 10, "4.12", "the image is not the one that was signed")
    PROGRAM = (-8, 11, "4.22", "the program is refused")
    BUSY = (-11, 0, "5.03", "another update is under way")

    def __init__(self, riot_code: int, report_reason: int, coap: str, meaning: str) -> None:
        self.riot_code = riot_code
        self.report_reason = report_reason
        self.coap = coap
        self.meaning = meaning


def refuse(
    refusal: Refusal,
    detail: str,
    *,
    where: str = "",
    hint: str = "",
    extra: Mapping[str, Any] | None = None,
) -> SuitError:
    """The error of a class; `where` is section and command, `hint` what to try."""
    return SuitError(detail, code=refusal.name, where=where, hint=hint or refusal.meaning, extra=extra)
