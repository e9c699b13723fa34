"""The RAM slots and the one sequence number of a device, changed together or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from device.errors import StorageError

SLOTS: Final = 5
SLOT_SIZE: Final = 4096


@dataclass(frozen=True, slots=True)
class StoredImage:
    """What a slot holds: the bytes that were signed, their SHA-256, and the update that brought them.

    `capabilities` are those of its signed manifest, encoded as there, None when that has none (suit.md
    section 8). When it was `released`, only its size is in memory, and `image` is empty.
    """

    image: bytes
    digest: bytes
    name: str
    sequence_number: int
    capabilities: bytes | None = None
    released: int | None = None

    @property
    def size(self) -> int:
        """Bytes of the image."""
        return len(self.image) if self.released is None else self.released


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything that a commit changes: the images by slot, and the sequence number."""

    images: Mapping[int, StoredImage]
    sequence_number: int


class Backing(Protocol):
    """What keeps contents over a restart (device/storage/state.py)."""

    def load(self) -> Contents:
        """What was saved last, as far as it is undamaged."""

    def save(self, contents: Contents) -> None:
        """Keep the contents. When this raises StorageError, the former ones are what the next start finds.

        Images that were released are there already, and stay.
        """

    def read(self, digest: bytes) -> bytes:
        """An image that was saved. Raises StorageError when it is damaged or gone."""


class SlotTable:
    """The slots of a device. Without a backing they, and replay protection, end with the process.

    What a backing holds of slots beyond `count` stays there untouched: `beyond` names them.
    """

    def __init__(
        self, count: int = SLOTS, slot_size: int = SLOT_SIZE, backing: Backing | None = None
    ) -> None:
        self.count = count
        self.slot_size = slot_size
        self._backing = backing
        self._contents = backing.load() if backing else Contents({}, 0)

    @property
    def sequence_number(self) -> int:
        """The number of the last update that was installed; 0 before the first."""
        return self._contents.sequence_number

    def get(self, slot: int) -> StoredImage | None:
        """What the slot holds, or None."""
        return self._contents.images.get(slot) if slot < self.count else None

    def release(self, slot: int) -> None:
        """Keep the bytes of a slot's image in memory no longer; a backing still has them."""
        image = self._contents.images[slot]
        if image.released is None:
            left = replace(image, image=b"", released=image.size)
            self._contents = replace(self._contents, images={**self._contents.images, slot: left})

    def read(self, image: StoredImage) -> bytes | None:
        """The bytes of an image that a slot holds; None when it was released and nothing else has them.

        Raises StorageError when what was saved is damaged or gone.
        """
        if image.released is None:
            return image.image
        return self._backing.read(image.digest) if self._backing else None

    @property
    def beyond(self) -> tuple[int, ...]:
        """The slots that hold a program and that this device, as it was started, does not have."""
        return tuple(sorted(slot for slot in self._contents.images if slot >= self.count))

    def commit(self, changes: Mapping[int, StoredImage], sequence_number: int) -> None:
        """Put images into slots and advance the sequence number, in one step.

        Raises StorageError, with everything as it was: no such slot, an image larger than a slot, a sequence
        number that does not advance, or a backing that cannot save.
        """
        for slot, image in changes.items():
            if not 0 <= slot < self.count:
                raise StorageError(
                    f"there is no slot {slot}", where=f".ram.{slot}", hint=f"0 to {self.count - 1}"
                )
            if len(image.image) > self.slot_size:
                raise StorageError(
                    f"{len(image.image)} bytes, a slot has {self.slot_size}",
                    where=f".ram.{slot}",
                    hint="--limit slot_size",
                )
        if sequence_number <= self.sequence_number:
            raise StorageError(
                f"sequence number {sequence_number} does not advance {self.sequence_number}",
                where="sequence number",
                hint="sign with a higher one",
            )
        self._replace(Contents({**self._contents.images, **changes}, sequence_number))

    def clear(self, slot: int) -> None:
        """Empty a slot; the sequence number stays. Raises StorageError when the backing cannot save."""
        images = {n: image for n, image in self._contents.images.items() if n != slot}
        self._replace(Contents(images, self.sequence_number))

    def _replace(self, contents: Contents) -> None:
        if self._backing:
            self._backing.save(contents)
        self._contents = contents
