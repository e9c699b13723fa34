"""What RIOT prints while it carries out an update, line by line (suit.md section 11).

People and scripts that watch a RIOT board know these lines; they say nothing that `/suit/status` does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from device.errors import SuitError
from device.suit.identity import Identity, uuid_text
from device.suit.plan import ImageOperation, Plan
from device.suit.progress import riot_code
from device.suit.refusals import Refusal

_BAR: Final = "█" * 25
_COMPARED: Final = {Refusal.VENDOR_MISMATCH.name: "vendor ID", Refusal.CLASS_MISMATCH.name: "class id"}


class Console:
    """RIOT's words for what happens; `say` gets each line."""

    def __init__(self, say: Callable[[str], None], identity: Identity) -> None:
        self._say = say
        self._identity = identity
        self._several = False

    def started(self) -> None:
        """An update begins."""
        self._say("suit_worker: started.")

    def downloading(self, url: str) -> None:
        """Its manifest is fetched; one that is posted is not."""
        self._say(f'suit_worker: downloading "{url}"')

    def no_manifest(self) -> None:
        """It did not come."""
        self._say("suit_worker: error getting manifest")

    def got_manifest(self, size: int) -> None:
        """It came."""
        self._say(f"suit_worker: got manifest with size {size}")
        self._say("suit: verifying manifest signature")

    def not_verified(self, error: SuitError) -> None:
        """Nobody whom the device trusts signed it."""
        self._say(f"Unable to validate signature: {Refusal[error.code].riot_code}")

    def not_planned(self, error: SuitError) -> None:
        """It is not for this device, or not now."""
        if error.code == Refusal.ROLLBACK.name:
            self._say("seq_nr <= running image")
        elif error.code == Refusal.POLICY.name:
            self._say("SUIT policy check failed!")
        elif error.code in _COMPARED:
            self._compare(_COMPARED[error.code], error.extra["device"], error.extra["manifest"])

    def planned(self, plan: Plan, stored: int) -> None:
        """It is; `stored` is the sequence number so far."""
        self._say("suit: validated manifest version")
        self._say(f"Retrieved sequence number: {stored}")
        self._say(f"Manifest seq_no: {plan.sequence_number}, highest available: {stored}")
        self._say("suit: validated sequence number")
        self._several = len(plan.operations) > 1
        for operation in sorted(plan.operations, key=lambda operation: operation.component):
            self._index(operation)
            self._say(f"Formatted component name: .ram.{operation.slot}")
            # A plan is made only when what the manifest asks for is what the device is.
            for what, raw in (("vendor ID", self._identity.vendor_id), ("class id", self._identity.class_id)):
                self._compare(what, uuid_text(raw), uuid_text(raw))

    def begins_image(self, operation: ImageOperation) -> None:
        """An image is next."""
        self._index(operation)
        self._say("SUIT policy check OK.")
        self._say(f"Formatted component name: .ram.{operation.slot}")

    def fetched(self) -> None:
        """It was downloaded; what the update brought itself is not."""
        self._say(f"Fetching firmware |{_BAR}| 100%")

    def not_fetched(self, operation: ImageOperation, error: SuitError) -> None:
        """It did not come."""
        self._say(f"image download ({operation.uri}) failed with code {riot_code(error)}")

    def matches_image(self) -> None:
        """It is complete, and now compared."""
        self._say("Finalizing payload store")
        self._verify()

    def bad_image(self) -> None:
        """It is not what was signed, or may not run; here only memory has to be given back."""
        self._say("Erasing bad payload")

    def commits(self) -> None:
        """Everything that was signed is here."""
        self._say("Install correct payload")

    def stored(self, plan: Plan) -> None:
        """It lies in the slots."""
        self._say(f"Stored sequence number: {plan.sequence_number}")
        self._say("Verified installed payload")

    def matches_slot(self, operation: ImageOperation) -> None:
        """What is in a slot is compared once more, for the validate section."""
        self._index(operation)
        self._verify()

    def slot_verified(self) -> None:
        """It is what was signed."""
        self._say("Verified installed payload")

    def successful(self) -> None:
        """The end."""
        self._say("suit_worker: update successful")

    def failed(self, error: SuitError) -> None:
        """The other end."""
        self._say(f"suit_worker: suit_parse() failed. res={riot_code(error)}")
        self._say("suit_worker: update failed, hdr invalid")

    def _index(self, operation: ImageOperation) -> None:
        """Before each group of commands, where there are several components."""
        if self._several:
            self._say(f"Setting component index to {operation.component}")

    def _verify(self) -> None:
        self._say("Verifying image digest")
        self._say("Starting digest verification against image")

    def _compare(self, what: str, ours: str, theirs: str) -> None:
        self._say(f"validating {what}")
        self._say(f"Comparing {ours} to {theirs} from manifest")
        if ours == theirs:
            self._say(f"validating {what}: OK")
