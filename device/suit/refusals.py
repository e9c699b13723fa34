"""Why an update is refused: the classes of suit.md section 10 with the codes that other tools know.

The class is the truth. RIOT's numbers overlap (a bad signature and a 4.xx download are both -6) and are
shown for familiarity; the report reasons are those of draft-ietf-suit-report.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from device.errors import SuitError

PARAMETER: Final = 8
SEVERING: Final = 9
"""Report reasons of an UNSUPPORTED that is about no command."""


class Refusal(Enum):
    """A class: RIOT's code, the suit-report reason, the CoAP code of a synchronous answer, what to try."""

    MALFORMED = (-1, 1, "4.00", "make the manifest anew with `client publish`")
    FORMAT = (-1, 1, "4.15", "make the envelope with `client sign`")
    TOO_LARGE = (
        -105,
        1,
        "4.13",
        "leave out what the update does not need, or start the device with a larger --limit envelope",
    )
    TOO_COMPLEX = (-9, 1, "4.13", "use fewer and flatter commands")
    UNSIGNED = (-6, 4, "4.03", "sign it with `client sign`")
    BAD_SIGNATURE = (-6, 4, "4.03", "sign with a key whose public half is in the device's --keys folder")
    ALG_UNSUPPORTED = (-6, 3, "4.03", "sign with Ed25519, by an algorithm that the profile has")
    MANIFEST_DIGEST = (-7, 4, "4.03", "sign again: the manifest is not the one that was signed")
    SEVERED_DIGEST = (-7, 4, "4.03", "deliver the member that was signed")
    VERSION = (-5, 1, "4.00", "write manifest version 1")
    ROLLBACK = (-5, 10, "4.12", "sign with a higher number; the client asks the device for it")
    UNSUPPORTED = (-2, 5, "4.00", "leave it out, or update the device")
    UNKNOWN_COMPONENT = (-2, 6, "4.04", "name a slot that the device has")
    TOO_MANY_COMPONENTS = (
        -2,
        6,
        "4.13",
        "sign one manifest per slot, or start the device with a larger --limit components",
    )
    NOTHING_INSTALLED = (-1, 11, "4.00", "fetch an image for every component")
    VENDOR_MISMATCH = (-4, 10, "4.12", "sign for this vendor's devices")
    CLASS_MISMATCH = (-4, 10, "4.12", "sign for the board that `client show` names")
    CONDITION_FAILED = (-4, 10, "4.12", "leave the condition out, or choose another device")
    POLICY = (-8, 7, "4.03", "put vendor and class condition before the fetch, and an image match behind it")
    CAPABILITY = (-8, 7, "4.03", "ask for less, or have the device grant more")
    COMPONENT_FORBIDDEN = (-8, 7, "4.03", "sign with a key that may write this slot")
    SLOT_MISMATCH = (-8, 7, "4.09", "sign a manifest for the slot that is asked for")
    SLOT_BUSY = (-50, 11, "4.09", "end the job first")
    URI_FORBIDDEN = (
        -8,
        11,
        "4.03",
        "serve it from a host that the device allows; more with --limit allowed_hosts=HOST",
    )
    STORAGE_EXCEEDED = (
        -51,
        11,
        "4.13",
        "make the image smaller, or start the device with a larger --limit slot_size",
    )
    STORAGE = (-50, 11, "5.00", "look at the device's log and at its disk, then deploy again")
    TRANSPORT = (-6, 11, "5.02", "see whether the file server is up and has the file")
    IMAGE_SIZE = (-1, 11, "4.12", "publish the image that belongs to this manifest")
    IMAGE_DIGEST = (-7, 10, "4.12", "publish the image that belongs to this manifest")
    PROGRAM = (-8, 11, "4.22", "`client verify` shows every finding")
    BUSY = (-11, None, "5.03", "wait for the update that is under way")

    def __init__(self, riot_code: int, report_reason: int | None, coap: str, advice: str) -> None:
        self.riot_code = riot_code
        self.report_reason = report_reason
        self.coap = coap
        self.advice = advice


def refuse(
    refusal: Refusal,
    detail: str,
    *,
    where: str = "",
    hint: str = "",
    extra: Mapping[str, Any] | None = None,
    reason: int | None = None,
) -> SuitError:
    """The error of a class; `where` is section and command, `hint` what to try, or the class's advice.

    `reason` is the report reason where it is another than the class's usual one.
    """
    if reason is not None:
        extra = {**(extra or {}), "report_reason": reason}
    return SuitError(detail, code=refusal.name, where=where, hint=hint or refusal.advice, extra=extra)
