"""Hostile updates all the way: fetched, checked, loaded, verified and committed by a device's own installer.

Whatever a file server hands out, an update ends as a named refusal that changed nothing, or with exactly the
signed image in its slot, which then runs or faults like any program.
"""

from __future__ import annotations

import asyncio
import random
from hashlib import sha256

import pytest

from device.api import ExecRequest
from device.errors import TooLarge
from device.execution import Executor, RunLimits, ShortRunPool
from device.log import DeviceLog
from device.node.clock import BootClock
from device.storage.slots import SlotTable, StoredImage
from device.storage.stores import MemoryStore
from device.suit import build
from device.suit.identity import Identity
from device.suit.install import Installer, UpdateLimits
from device.suit.refusals import Refusal
from device.suit.trust import TrustedKey, TrustStore
from tests.device_bench import OBJECTS, SEVEN, SUM, example
from tests.property.fuzzing import SEED
from tests.property.hostile_cbor import encoded, mutate_bytes, mutate_value, sloppy
from tests.unit.test_suit import KEY, manifest_map, signed

NAMES = frozenset(refusal.name for refusal in Refusal)
IMAGES = (SEVEN, SUM, *(example(path.stem) for path in sorted(OBJECTS.glob("*.o"))))
MANIFEST, IMAGE = "coap://[fd00::1]/m", "coap://[fd00::1]/i"
SLOT = 2


class Target:
    """A device without its network: what it is served, and what it makes of it."""

    def __init__(self, pool: ShortRunPool) -> None:
        clock = BootClock()
        self.served: dict[str, bytes] = {}
        self.slots = SlotTable(5)
        limits = RunLimits(budget_default=2000)
        self.executor = Executor(
            self.slots, MemoryStore(), pool, DeviceLog(clock), clock, slots=5, limits=limits
        )
        trusted = TrustStore((TrustedKey("operator", KEY.public_key()),))
        self.installer = Installer(
            self.slots,
            self.executor,
            self.fetch,
            lambda: trusted,
            Identity.of("native64"),
            limits=UpdateLimits(allowed_hosts=("fd00::1",), deadline_s=10),
        )

    async def fetch(self, url: str, limit: int) -> bytes:
        data = self.served.get(url, b"")
        if len(data) > limit:
            raise TooLarge("more bytes than asked for", limit=limit)
        return data

    def state(self) -> tuple[int, list[StoredImage | None]]:
        return self.slots.sequence_number, [self.slots.get(number) for number in range(5)]

    async def update(self, manifest: bytes, image: bytes) -> str:
        """The result, once it is seen that everything is as that result says."""
        before = self.state()
        self.served = {MANIFEST: manifest, IMAGE: image}
        status = await self.installer.update_from(MANIFEST)
        assert status.state == "idle"
        assert status.result is not None
        if status.result != "OK":
            assert status.result in NAMES, status
            assert status.detail
            assert self.state() == before
            return status.result
        number, slots = self.state()
        assert number == status.sequence_number
        assert number > before[0]
        (installed,) = status.installed
        stored = slots[installed.slot]
        assert stored is not None
        assert (stored.image, stored.digest) == (image, sha256(image).digest())
        assert [one for one in range(5) if slots[one] != before[1][one]] in ([installed.slot], [])
        answer = await self.executor.execute(installed.slot, ExecRequest(timeout_ms=500), "fuzz")
        assert (answer.r0 is None) == (answer.fault is not None)
        return "OK"


def update(source: random.Random, number: int) -> tuple[bytes, bytes]:
    """An envelope signed with the right key, and what is served as its image."""
    image = source.choice(IMAGES)
    kind = source.randrange(6)
    if kind <= 2:
        image = _mutate_image(source, image)
    manifest = build.build_manifest(build.Description("native64", SLOT, number, IMAGE, image))
    if kind == 3:
        image = _mutate_image(source, image)
    elif kind == 4:
        changed = manifest_map() | {2: number}
        manifest = encoded(mutate_value(source, changed))
    elif kind == 5:
        manifest = sloppy(source, manifest_map() | {2: number})
    envelope = signed(manifest)
    return (mutate_bytes(source, envelope) if source.random() < 0.1 else envelope), image


def _mutate_image(source: random.Random, image: bytes) -> bytes:
    """Raw changes, or instructions that are replaced by noise, so that the length stays right."""
    if source.random() < 0.4:
        return mutate_bytes(source, image)
    changed = bytearray(image)
    for _ in range(source.randint(1, 3)):
        at = source.randrange(0, max(1, len(changed)))
        changed[at : at + 1] = source.choice((source.randbytes(1), b"\0", b"\xff", b"\x85", b"\x95"))
    return bytes(changed)


async def check(count: int) -> None:
    seen: set[str] = set()
    pool = ShortRunPool()
    try:
        for start in range(0, count, 100):
            seen |= await _hundred(Target(pool), start)
    finally:
        pool.close()
    assert seen >= {"OK", "MALFORMED", "PROGRAM", "IMAGE_DIGEST", "IMAGE_SIZE"}, seen


async def _hundred(device: Target, start: int) -> set[str]:
    """What a hundred updates of one device come to; a valid one works afterwards."""
    seen = set()
    for number in range(start, start + 100):
        source = random.Random(f"{SEED}/{number}")
        try:
            async with asyncio.timeout(15):
                seen.add(await device.update(*update(source, device.slots.sequence_number + 1)))
        except Exception as error:
            raise AssertionError(f"MICROBPF_FUZZ_SEED={SEED}, update {number}: {error!r}") from error
    following = device.slots.sequence_number + 1
    good = build.build_manifest(build.Description("native64", SLOT, following, IMAGE, SEVEN))
    assert await device.update(signed(good), SEVEN) == "OK"
    assert (await device.executor.execute(SLOT, ExecRequest(), "fuzz")).r0_signed == 7
    await device.executor.stop()
    return seen


async def test_a_device_survives_hostile_updates() -> None:
    await check(400)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
async def test_a_device_survives_a_night_of_hostile_updates() -> None:
    await check(20_000)
