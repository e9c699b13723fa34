"""The slots of one device with the programs in them: checked, loaded when first needed, refused, described.

An image is checked before a commit, so that a ready slot always holds a program that may run. After a start
the programs are still images: whoever needs one first has it loaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Final

from device.api import SlotInfo, SlotState
from device.engines.runner import Runner
from device.errors import MicroBpfError, NotFound, Unprocessable
from device.execution.access import Access
from device.execution.grants import Grant
from device.execution.programs import Checker, Prepared
from device.execution.requests import Spent
from device.execution.slot import Slot, slot_empty
from device.log import DeviceLog
from device.storage.slots import SlotTable, StoredImage
from device.storage.stores import MemoryStore
from device.suit.capabilities import Capabilities, decode
from device.vm.interpreter.discarded import bytecode_discarded
from device.vm.program import Engine, Layout, Program

_SAYABLE: Final = 10**6
"""From here on a number is not repeated: CBOR has some that Python does not print."""


class Slots:
    """The slots, and what is in them. Everything is to be called on the event loop's thread."""

    def __init__(
        self,
        images: SlotTable,
        checker: Checker,
        log: DeviceLog,
        count: int,
        engines: Mapping[str, Engine],
    ) -> None:
        self._images = images
        self._checker = checker
        self._log = log
        self._slots = [
            Slot(n, MemoryStore(self.grant(n, images.get(n)).store), engines) for n in range(count)
        ]

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots)

    def at(self, number: int) -> Slot:
        """The slot of that number. Raises NotFound."""
        if not 0 <= number < len(self._slots):
            named = f"slot {number}" if abs(number) < _SAYABLE else "such slot"
            raise NotFound(f"there is no {named}", hint=f"slots are 0 to {len(self._slots) - 1}")
        return self._slots[number]

    def grant(self, number: int, image: StoredImage | None = None) -> Grant:
        """What the program of an image may do in a slot; without one, what any may."""
        return self._checker.grants.of(number, _capabilities(image) if image else None)

    def size(self, slot: Slot) -> int:
        """Bytes of the image in a slot."""
        image = self._images.get(slot.number)
        return image.size if image else 0

    # Checking and loading

    async def check(
        self,
        number: int,
        image: bytes,
        capabilities: Capabilities | None = None,
        access: Access | None = None,
        declared: Layout | None = None,
    ) -> Prepared:
        """See Executor.check."""
        self.at(number)
        try:
            return await asyncio.to_thread(self._checker.check, number, image, capabilities, access, declared)
        except Unprocessable as error:
            for finding in error.extra.get("findings", ()):
                text = f"{finding['message']}: not in {finding['lists']}"
                self._log.add("warning", f"slot{number}", text)
            raise

    async def check_stored(self, number: int) -> Prepared:
        """The program of a stored image, made once more.

        Raises Conflict (slot empty, bytecode discarded), as `check`.
        """
        self.at(number)
        image = self._images.get(number)
        if image is None:
            raise slot_empty(number)
        if image.released is not None:
            bytecode_discarded()
        return await self.check(number, image.image, _capabilities(image))

    async def load(self, slot: Slot, spent: Spent) -> None:
        """Load the stored image on a thread, if nobody has yet; `loaded` raises why it may not run."""
        image = self._images.get(slot.number)
        if slot.prepared is not None or slot.refusal is not None or image is None:
            return
        try:
            prepared = await self.check(slot.number, image.image, _capabilities(image))
        except MicroBpfError as error:
            self._refuse(slot, image, error)
        else:
            # Somebody may have been faster meanwhile, with this image or with another one.
            if slot.prepared is None and self._images.get(slot.number) is image:
                _keep(slot, prepared, spent)

    def loaded(self, slot: Slot, spent: Spent) -> Prepared:
        """The slot's program, loaded here and now when it is not.

        Raises Conflict (slot empty), and why the image may not run.
        """
        if slot.prepared is not None:
            return slot.prepared
        if slot.refusal is not None:
            raise slot.refusal
        image = self._images.get(slot.number)
        if image is None:
            raise slot_empty(slot.number)
        try:
            prepared = self._checker.check(slot.number, image.image, _capabilities(image))
        except MicroBpfError as error:
            self._refuse(slot, image, error)
            raise
        _keep(slot, prepared, spent)
        return prepared

    def _refuse(self, slot: Slot, image: StoredImage, error: MicroBpfError) -> None:
        """Remember, and say once, that the stored image may not run."""
        if slot.refusal is None and slot.prepared is None and self._images.get(slot.number) is image:
            slot.refusal = error
            self._log.add("warning", slot.source, f"the stored image is refused: {error.detail}")

    # What is said of them

    def info(self, number: int, *, fetching: bool = False) -> SlotInfo:
        """What GET /slots/{n} says; `fetching` when an update for the slot is under way. Raises NotFound."""
        slot = self.at(number)
        image = self._images.get(number)
        state: SlotState = "running" if slot.running else "fetching" if fetching else "ready"
        if image is None:
            return SlotInfo(slot=number, state="fetching" if fetching else "free")
        prepared = self._loaded_or_none(slot)
        return SlotInfo(
            slot=number,
            state=state,
            name=image.name,
            digest=image.digest,
            tag=image.digest.hex()[:8],
            size=image.size,
            layout=prepared.program.layout.name.lower() if prepared else None,
            profile=self.grant(number, image).profile.name,
            sequence_number=image.sequence_number,
            helpers=tuple(sorted(prepared.calls)) if prepared else (),
            metadata_helpers=_sorted(prepared.program.declared_helpers) if prepared else None,
            capabilities=None if image.capabilities is None else _capabilities(image).to_map(),
            bytecode="discarded" if slot.runner and slot.runner.discarded else "present",
            runs=slot.runs,
            faults=slot.faults,
            last_fault=slot.last_fault,
            mean_us=slot.mean_us,
            jit=slot.runner.figures() if slot.runner else None,
        )

    def _loaded_or_none(self, slot: Slot) -> Prepared | None:
        """The slot's program for information; None when this version of the device refuses it."""
        try:
            return self.loaded(slot, Spent())
        except MicroBpfError:
            return None

    def drop_code(self, former: Collection[Runner]) -> None:
        """Free the code of programs that are gone, unless another slot has the same."""
        for runner in former:
            if runner.discarded or not self._has(runner.program.text):
                runner.code.drop()

    def discarded(self, slot: Slot, former: Program, left: Program) -> None:
        """A slot goes on with what is left of a program without its bytecode, which nothing keeps from here.

        Another slot with the same text still has its own.
        """
        if slot.prepared is not None:
            slot.prepared = replace(slot.prepared, program=left)
        self._images.release(slot.number)
        if not self._has(former.text):
            slot.current.code.forget(former)

    def _has(self, text: bytes) -> bool:
        return any(slot.prepared and slot.prepared.program.text == text for slot in self._slots)


def _keep(slot: Slot, prepared: Prepared, spent: Spent) -> None:
    slot.load(prepared)
    spent.load_us, spent.verify_us = prepared.load_us, prepared.verify_us


def _sorted(helpers: frozenset[int] | None) -> tuple[int, ...] | None:
    return None if helpers is None else tuple(sorted(helpers))


def _capabilities(image: StoredImage) -> Capabilities:
    """What the manifest of a stored image grants; it was read before it was stored."""
    return decode(image.capabilities, "capabilities") if image.capabilities else Capabilities()
