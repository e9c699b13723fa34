"""The power fails: at every block of a fetch, at every operation of the disk, and again in the next life.

A device that starts again finds in the slots of the update all of the old or all of the new, with the
number that belongs to it; what it finds may run, and the same update then comes to its end.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device.execution import Executor, RunLimits, ShortRunPool
from device.log import DeviceLog
from device.node.clock import BootClock
from device.storage.disk import RealDisk
from device.storage.slots import SlotTable, StoredImage
from device.storage.state import StateDirectory
from device.storage.stores import MemoryStore
from device.suit import build
from device.suit.identity import Identity
from device.suit.install import Installer, Progress, UpdateLimits
from device.suit.trust import TrustedKey, TrustStore
from tests.device_bench import SUM, example

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUSTED = TrustStore((TrustedKey("operator", KEY.public_key()),))
BASE = "coap://[fd00::1]"
BLOCK = 64

OLD, OLD_TOO = example("add"), SUM
NEW, NEW_TOO = example("counter"), example("hello")
BEFORE, AFTER = 6, 7


class PowerCutError(BaseException):
    """Not an error that code could handle: nothing runs any more."""


class Moments:
    """Counts what a device does; the power fails when `until` of it are done, None is never."""

    def __init__(self, until: int | None) -> None:
        self.until = until
        self.done = 0

    def one(self) -> None:
        if self.until is not None and self.done >= self.until:
            raise PowerCutError
        self.done += 1


class VolatileDisk(RealDisk):
    """A disk whose renames and removals are on it only when their folder was synced.

    When the power fails, `lost` says of each that was not whether it is undone; a write that is under way
    leaves half of its bytes.
    """

    def __init__(self, moments: Moments, lost: Callable[[], bool]) -> None:
        self._moments = moments
        self._lost = lost
        self._undo: list[tuple[Path, Callable[[], object]]] = []

    def _step(self, half: Callable[[], object] = lambda: None) -> None:
        try:
            self._moments.one()
        except PowerCutError:
            half()
            for _, undo in reversed(self._undo):
                if self._lost():
                    undo()
            self._undo.clear()
            raise

    def write(self, path: Path, content: bytes) -> None:
        self._step(lambda: path.write_bytes(content[: len(content) // 2]))
        super().write(path, content)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        before = target.read_bytes() if target.exists() else None
        super().rename(source, target)
        self._undo.append((target.parent, lambda: _restore(target, before)))

    def remove(self, path: Path) -> None:
        self._step()
        before = path.read_bytes() if path.exists() else None
        super().remove(path)
        self._undo.append((path.parent, lambda: _restore(path, before)))

    def sync(self, folder: Path) -> None:
        self._step()
        super().sync(folder)
        self._undo = [(place, undo) for place, undo in self._undo if place != folder]


def _restore(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content)


@dataclass(frozen=True)
class Update:
    """What is to be installed, and what was there."""

    new: dict[int, bytes]
    old: dict[int, bytes]
    erase_first: bool = False

    @property
    def files(self) -> dict[str, bytes]:
        """What the file server has."""
        images = {f"{BASE}/i{slot}": image for slot, image in self.new.items()}
        return {f"{BASE}/m": self._envelope(), **images}

    def _envelope(self) -> bytes:
        (first, image), *others = self.new.items()
        further = tuple(build.Image(slot, f"{BASE}/i{slot}", content) for slot, content in others)
        described = build.Description("native", first, AFTER, f"{BASE}/i{first}", image, further=further)
        return build.sign_manifest(build.build_manifest(described), [KEY])

    def contents(self, images: dict[int, bytes], number: int) -> dict[int, StoredImage]:
        """As they are stored."""
        return {slot: StoredImage(i, sha256(i).digest(), f"i{slot}", number) for slot, i in images.items()}


ONE = Update({0: NEW}, {0: OLD})
TWO = Update({0: NEW, 2: NEW_TOO}, {0: OLD, 2: OLD_TOO})
SAME = Update({0: NEW, 2: NEW}, {0: OLD, 1: NEW})
FIRST = Update({3: NEW}, {})
ERASING = Update({0: NEW}, {0: OLD}, erase_first=True)
UPDATES = {"one": ONE, "two": TWO, "a shared image": SAME, "an empty slot": FIRST, "RIOT's order": ERASING}


class Device:
    """A device on a state directory, that fetches in blocks and lives as long as its power."""

    def __init__(self, path: Path, update: Update, pool: ShortRunPool, moments: Moments, lost: Any) -> None:
        self.state = StateDirectory(path, disk=VolatileDisk(moments, lost))
        self.slots = SlotTable(5, backing=self.state)
        self.clock = BootClock()
        self.log = DeviceLog(self.clock)
        self.executor = Executor(
            self.slots, MemoryStore(), pool, self.log, self.clock, slots=5, limits=RunLimits()
        )
        self._update, self._moments = update, moments
        self.installer = Installer(
            self.slots,
            self.executor,
            self._fetch,
            lambda: TRUSTED,
            Identity.of("native"),
            limits=UpdateLimits(
                envelope=1024, components=4, allowed_hosts=("fd00::1",), erase_first=update.erase_first
            ),
        )

    async def _fetch(self, url: str, limit: int) -> bytes:
        content, got = self._update.files[url], b""
        for at in range(0, len(content), BLOCK):
            self._moments.one()
            await asyncio.sleep(0)
            got += content[at : at + BLOCK]
        assert len(got) <= limit
        return got

    async def live(self) -> Progress | None:
        """Carry out the update; None when the power fails."""
        try:
            return await self.installer.update_from(f"{BASE}/m")
        except PowerCutError:
            return None
        finally:
            self.state.close()


def never() -> bool:
    return False


def always() -> bool:
    return True


@dataclass
class Scene:
    """A folder as it is before the update, to be copied for every try."""

    home: Path
    update: Update
    pool: ShortRunPool

    def __post_init__(self) -> None:
        self._numbers = count()
        state = StateDirectory(self.home / "before")
        if self.update.old:
            SlotTable(5, backing=state).commit(self.update.contents(self.update.old, BEFORE), BEFORE)
        state.close()

    def folder(self) -> Path:
        made = self.home / str(next(self._numbers))
        shutil.copytree(self.home / "before", made)
        return made

    async def live(self, folder: Path, until: int | None, lost: Callable[[], bool] = never) -> int:
        """One life of a device that tries the update; how much it did."""
        moments = Moments(until)
        await Device(folder, self.update, self.pool, moments, lost).live()
        return moments.done

    async def check(self, folder: Path) -> None:
        """What a device finds that starts now, and that the update comes to its end on it."""
        update = self.update
        device = Device(folder, update, self.pool, Moments(None), never)
        found = {slot: image.image for slot in range(5) if (image := device.slots.get(slot)) is not None}
        untouched = {slot: image for slot, image in update.old.items() if slot not in update.new}
        installed = found == {**untouched, **update.new}
        number = device.slots.sequence_number
        if installed and number == AFTER:
            expected = "ROLLBACK"
        else:
            assert found == update.old or (update.erase_first and found == untouched)
            assert number == (BEFORE if update.old else 0)
            expected = "OK"
        for slot, content in found.items():
            await device.executor.check(slot, content)
        status = await device.live()
        assert status is not None
        assert status.result == expected, status
        again = StateDirectory(folder)
        slots = SlotTable(5, backing=again)
        assert {slot: slots.get(slot) for slot in update.new} == update.contents(update.new, AFTER)
        again.close()
        shutil.rmtree(folder)


@pytest.fixture(params=UPDATES)
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    pool = ShortRunPool()
    yield Scene(tmp_path, UPDATES[request.param], pool)
    pool.close()


@pytest.mark.parametrize("lost", [never, always], ids=["nothing is undone", "what was not synced is undone"])
async def test_at_every_moment(scene: Scene, lost: Callable[[], bool]) -> None:
    whole = await scene.live(scene.folder(), None)
    assert whole > 20
    for moment in range(whole + 1):
        folder = scene.folder()
        assert await scene.live(folder, moment, lost) == moment
        await scene.check(folder)


async def test_at_random_pairs_of_moments(scene: Scene) -> None:
    source = random.Random(7)
    whole = await scene.live(scene.folder(), None)
    for _ in range(40):
        folder = scene.folder()
        for _life in range(2):
            await scene.live(folder, source.randrange(whole + 1), lambda: source.random() < 0.5)
        await scene.check(folder)
