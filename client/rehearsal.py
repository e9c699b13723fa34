"""The publisher as its own first device (suit.md section 7).

What it emits is verified and planned with the target's identity and limits before anybody else sees it.
"""

from __future__ import annotations

from client.keys import Signer
from client.manifest import Signed
from client.terms import usual_maximum
from device.api import DeviceInfo
from device.suit import envelope as envelopes
from device.suit import plan
from device.suit.identity import VENDOR_ID, Identity, class_id


def planned_state(info: DeviceInfo) -> plan.DeviceState:
    """What a device says of itself, as far as a plan depends on it.

    Its list of hosts, the maxima of its capabilities and how many components it takes it keeps to itself.
    """
    return plan.DeviceState(
        identity=Identity(info.vendor_id, info.class_id),
        sequence_number=info.sequence_number,
        slots=info.slots,
        slot_size=info.slot_size,
        allowed_hosts=None,
        max_components=info.slots,
        maximum=usual_maximum(*info.profiles[:1], store=2**32 - 1),
    )


def usual_state(board: str) -> plan.DeviceState:
    """A device of this board as it comes: the limits of suit.md section 5, nothing installed yet."""
    return plan.DeviceState(
        identity=Identity(VENDOR_ID, class_id(board)),
        sequence_number=0,
        slots=5,
        slot_size=4096,
        allowed_hosts=None,
        max_components=5,
        maximum=usual_maximum(),
    )


def rehearse(release: Signed, state: plan.DeviceState, signer: Signer) -> None:
    """Verify and plan a manifest as the device will. Raises SuitError with the class it would refuse with."""
    for key in signer.public_keys:  # a device may trust any one of them
        plan.plan(envelopes.verify(release.envelope, [key]), state)
