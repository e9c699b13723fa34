"""Whole updates with a fetch and a host of programs of our own: what is asked, what changes, what is said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace as replace_fields
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device.errors import (
    Conflict,
    LoadError,
    MalformedRequest,
    MicroBpfError,
    RemoteError,
    StorageError,
    SuitError,
    TooLarge,
    TransportError,
    VerifyError,
)
from device.storage.slots import Contents, SlotTable, StoredImage
from device.suit import build
from device.suit.identity import Identity
from device.suit.install import Installer, Progress, UpdateLimits
from device.suit.refusals import Refusal, refuse
from device.suit.trust import TrustedKey, TrustStore

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
IMAGE = bytes.fromhex("b7000000010000009500000000000000")
OLD = StoredImage(b"old", sha256(b"old").digest(), "old.bin", 6)
MANIFEST_URL = "coap://[fd00::1]/suit_manifest2.signed"
VENDOR = "547d0d74-6d3a-5a92-9662-4881afd9407b"
CLASS = "9251dc23-fd9d-503f-94c4-bfb95f3167b1"
IMAGE_URL = "coap://[fd00::1]/program-2-7.bin"


def envelope(key: Ed25519PrivateKey = KEY, **changes: Any) -> bytes:
    values = {
        "board": "native64",
        "slot": 2,
        "sequence_number": 7,
        "uri": IMAGE_URL,
        "image": IMAGE,
        **changes,
    }
    return build.sign_manifest(build.build_manifest(build.Description(**values)), [key])


class Disk:
    """What keeps the slots, until it is full."""

    full = False

    def load(self) -> Contents:
        return Contents({}, 0)

    def save(self, contents: Contents) -> None:
        if self.full:
            raise StorageError("cannot write record: No space left on device", hint="make space")

    def read(self, digest: bytes) -> bytes:
        raise StorageError(f"image {digest.hex()} is gone")


class Bench:
    """An installer on a device with an old program in slot 2 and sequence number 6."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | MicroBpfError] = {MANIFEST_URL: envelope(), IMAGE_URL: IMAGE}
        self.asked: list[str] = []
        self.said: list[str] = []
        self.refusal: MicroBpfError | None = None
        self.jobs: set[int] = set()
        self.hold = asyncio.Event()
        self.hold.set()
        self.checked: bytes | None = None
        self.current: dict[int, object] = {}
        self.disk = Disk()
        self.slots = SlotTable(backing=self.disk)
        self.slots.commit({2: OLD}, 6)
        trusted = TrustStore((TrustedKey("operator", KEY.public_key()),))
        self.installer = Installer(
            self.slots,
            self,
            self.fetch,
            lambda: trusted,
            Identity.of("native64"),
            limits=UpdateLimits(allowed_hosts=("fd00::1",), deadline_s=1.0),
            log=self.said.append,
        )

    async def fetch(self, url: str, limit: int) -> bytes:
        self.asked.append(url)
        await self.hold.wait()
        content = self.files[url]
        if isinstance(content, MicroBpfError):
            raise content
        if len(content) > limit:
            raise TooLarge("more bytes than asked for", limit=limit)
        return content

    async def check(self, slot: int, image: bytes, capabilities: object = None) -> object:
        if self.refusal:
            raise self.refusal
        self.checked = image
        return (slot, image)

    def held(self, slot: int) -> bool:
        return slot in self.jobs

    async def replace(self, prepared: Mapping[int, object], commit: Callable[[], None]) -> None:
        await asyncio.sleep(0)
        commit()
        self.current.update(prepared)

    async def undeploy(self, number: int) -> None:
        if number in self.jobs:
            raise Conflict("a job runs", hint="end it")
        self.slots.clear(number)

    async def update(self) -> Progress:
        return await self.installer.update_from(MANIFEST_URL)

    def untouched(self) -> bool:
        return (self.slots.get(2), self.slots.sequence_number, self.current) == (OLD, 6, {})


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_update(bench: Bench) -> None:
    status = await bench.update()
    assert (status.state, status.result, status.sequence_number) == ("idle", "OK", 7)
    assert [(one.slot, one.size, one.tag) for one in status.installed] == [(2, 16, "b11459a0")]
    stored = bench.slots.get(2)
    assert stored is not None
    assert (stored.image, stored.name, stored.sequence_number) == (IMAGE, "program-2-7.bin", 7)
    assert stored.image is bench.checked
    assert bench.asked == [MANIFEST_URL, IMAGE_URL]


async def test_it_speaks_as_riot_does(bench: Bench) -> None:
    await bench.update()
    digests = ["Verifying image digest", "Starting digest verification against image"]
    assert bench.said == [
        "suit_worker: started.",
        'suit_worker: downloading "coap://[fd00::1]/suit_manifest2.signed"',
        "suit_worker: got manifest with size 276",
        "suit: verifying manifest signature",
        "suit: validated manifest version",
        "Retrieved sequence number: 6",
        "Manifest seq_no: 7, highest available: 6",
        "suit: validated sequence number",
        "Formatted component name: .ram.2",
        "validating vendor ID",
        f"Comparing {VENDOR} to {VENDOR} from manifest",
        "validating vendor ID: OK",
        "validating class id",
        f"Comparing {CLASS} to {CLASS} from manifest",
        "validating class id: OK",
        "SUIT policy check OK.",
        "Formatted component name: .ram.2",
        "Fetching firmware |█████████████████████████| 100%",
        "Finalizing payload store",
        *digests,
        "Install correct payload",
        "Stored sequence number: 7",
        "Verified installed payload",
        *digests,
        "Verified installed payload",
        "suit_worker: update successful",
    ]


FINDINGS = [{"id": "opcode", "severity": "E", "insn": 0}]
REFUSALS: dict[str, tuple[Callable[[Bench], object], str, int, int]] = {
    "wrong key": (lambda b: b.files.update({MANIFEST_URL: envelope(OTHER)}), "BAD_SIGNATURE", -6, 1),
    "flipped manifest": (
        lambda b: b.files.update({MANIFEST_URL: envelope()[:-1] + b"\x0e"}),
        "MANIFEST_DIGEST",
        -7,
        1,
    ),
    "stale number": (
        lambda b: b.files.update({MANIFEST_URL: envelope(sequence_number=6)}),
        "ROLLBACK",
        -5,
        1,
    ),
    "wrong board": (
        lambda b: b.files.update({MANIFEST_URL: envelope(board="nucleo-f446re")}),
        "CLASS_MISMATCH",
        -4,
        1,
    ),
    "large manifest": (lambda b: b.files.update({MANIFEST_URL: bytes(641)}), "TOO_LARGE", -105, 1),
    "no manifest": (
        lambda b: b.files.update({MANIFEST_URL: RemoteError("gone", status="4.04")}),
        "TRANSPORT",
        -6,
        1,
    ),
    "server failure": (
        lambda b: b.files.update({IMAGE_URL: RemoteError("oops", status="5.00")}),
        "TRANSPORT",
        -102,
        2,
    ),
    "silence": (
        lambda b: b.files.update({IMAGE_URL: TransportError("no answer", code="timeout")}),
        "TRANSPORT",
        -110,
        2,
    ),
    "truncated image": (lambda b: b.files.update({IMAGE_URL: IMAGE[:8]}), "IMAGE_SIZE", -1, 2),
    "longer image": (lambda b: b.files.update({IMAGE_URL: IMAGE + b"\0"}), "IMAGE_SIZE", -1, 2),
    "swapped image": (lambda b: b.files.update({IMAGE_URL: IMAGE[::-1]}), "IMAGE_DIGEST", -7, 2),
    "broken program": (
        lambda b: setattr(b, "refusal", VerifyError("unknown opcode", findings=FINDINGS)),
        "PROGRAM",
        -8,
        2,
    ),
    "no image at all": (
        lambda b: setattr(b, "refusal", LoadError("8 bytes", code="load-short")),
        "PROGRAM",
        -8,
        2,
    ),
    "an answer that is none": (
        lambda b: b.files.update({IMAGE_URL: MalformedRequest("no answer to a GET")}),
        "TRANSPORT",
        -6,
        2,
    ),
    "a job": (lambda b: b.jobs.add(2), "SLOT_BUSY", -50, 1),
    "full disk": (lambda b: setattr(b.disk, "full", True), "STORAGE", -50, 2),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_changes_nothing_and_the_next_update_works(bench: Bench, name: str) -> None:
    break_it, code, riot_code, requests = REFUSALS[name]
    good = dict(bench.files)
    break_it(bench)
    status = await bench.update()
    assert (status.state, status.result, status.riot_code) == ("idle", code, riot_code)
    assert status.detail
    assert status.hint
    assert len(bench.asked) == requests
    assert bench.untouched()
    assert bench.said[-2:] == [
        f"suit_worker: suit_parse() failed. res={riot_code}",
        "suit_worker: update failed, hdr invalid",
    ]
    bench.files, bench.refusal = dict(good), None
    bench.jobs.clear()
    bench.disk.full = False
    assert (await bench.update()).result == "OK"


async def test_in_riots_order_a_failed_update_costs_the_program_and_no_number(bench: Bench) -> None:
    bench.installer.limits = replace_fields(bench.installer.limits, erase_first=True)
    image = bench.files.pop(IMAGE_URL)
    bench.files[IMAGE_URL] = RemoteError("gone", status="4.04")
    assert (await bench.update()).result == "TRANSPORT"
    assert (bench.slots.get(2), bench.slots.sequence_number) == (None, 6)
    bench.files[IMAGE_URL] = image
    assert (await bench.update()).result == "OK"


@pytest.mark.parametrize("why", ["a job", "full disk"])
async def test_in_riots_order_what_cannot_be_emptied_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    bench.installer.limits = replace_fields(bench.installer.limits, erase_first=True)
    bench.jobs.add(2)
    if why == "a job":  # one that comes after the plan
        monkeypatch.setattr(bench, "held", lambda _slot: False)
    else:
        bench.jobs.clear()
        bench.disk.full = True
    result = "SLOT_BUSY" if why == "a job" else "STORAGE"
    assert ((await bench.update()).result, len(bench.asked)) == (result, 1)
    assert bench.untouched()


async def test_a_full_disk_says_what_the_disk_said(bench: Bench) -> None:
    bench.disk.full = True
    status = await bench.update()
    assert status.detail == "cannot write record: No space left on device"
    assert (status.where, status.hint, status.report_reason) == ("commit", "make space", 11)


async def test_the_comparison_that_fails_names_both_sides(bench: Bench) -> None:
    theirs = "5526a061-b6c7-5848-a018-774d773483ac"
    bench.files[MANIFEST_URL] = envelope(board="nucleo-f446re")
    status = await bench.update()
    assert ["validating class id", f"Comparing {CLASS} to {theirs} from manifest"] == bench.said[4:6]
    assert "validating class id: OK" not in bench.said
    assert status.detail == f"the device is {CLASS}, the manifest is for {theirs}"


@pytest.mark.parametrize("refusal", Refusal, ids=lambda refusal: refusal.name)
def test_every_class_has_advice(refusal: Refusal) -> None:
    assert refuse(refusal, "").hint == refusal.advice != ""


async def test_findings_travel_with_the_refusal(bench: Bench) -> None:
    bench.refusal = VerifyError("unknown opcode", findings=FINDINGS)
    assert (await bench.update()).findings == tuple(FINDINGS)


async def test_the_same_update_twice_is_a_rollback(bench: Bench) -> None:
    await bench.update()
    assert (await bench.update()).result == "ROLLBACK"
    assert bench.slots.sequence_number == 7


@pytest.mark.parametrize("url", ["", "http://[fd00::1]/m", "coap://[fd00::1::]/m", "coap://[fd00::1]/../m"])
async def test_what_is_no_url_is_not_even_asked(bench: Bench, url: str) -> None:
    status = await bench.installer.update_from(url)
    assert (status.result, status.where, bench.asked) == ("URI_FORBIDDEN", "manifest URL", [])


async def test_a_slot_that_does_not_hold_what_was_stored_is_no_success(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read back counts, not what was written (P4)."""
    commit = bench.slots.commit

    def forgetful(changes: Mapping[int, StoredImage], number: int) -> None:
        damaged = {slot: replace_fields(image, image=b"damaged") for slot, image in changes.items()}
        commit(damaged, number)

    monkeypatch.setattr(bench.slots, "commit", forgetful)
    status = await bench.update()
    assert (status.result, status.where) == ("STORAGE", "validate")


async def test_a_foreign_host_is_not_even_asked(bench: Bench) -> None:
    status = await bench.installer.update_from("coap://[fd00::2]/suit_manifest2.signed")
    assert (status.result, bench.asked) == ("URI_FORBIDDEN", [])


async def test_one_update_at_a_time(bench: Bench) -> None:
    bench.hold.clear()
    first = asyncio.create_task(bench.update())
    await asyncio.sleep(0)
    assert bench.installer.status.state == "manifest"
    for _ in range(50):
        with pytest.raises(SuitError) as caught:
            await bench.update()
        assert caught.value.code == "BUSY"
    bench.hold.set()
    assert (await first).result == "OK"


async def test_a_cancelled_update_frees_the_installer(bench: Bench) -> None:
    bench.hold.clear()
    task = asyncio.create_task(bench.update())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    bench.hold.set()
    assert bench.untouched()
    assert (await bench.update()).result == "OK"


async def test_a_commit_that_is_under_way_when_the_device_stops_is_reported_as_done(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, committed = bench.replace, asyncio.Event()

    async def slow(prepared: Mapping[int, object], commit: Callable[[], None]) -> None:
        await replace(prepared, commit)
        committed.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(bench, "replace", slow)
    task = asyncio.create_task(bench.update())
    await committed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    status = bench.installer.status
    assert (status.state, status.result, len(status.installed)) == ("idle", "OK", 1)
    assert bench.said[-1] == "suit_worker: update successful"
    assert not any("refused" in line or "failed" in line for line in bench.said)
    assert bench.slots.sequence_number == 7


async def test_an_update_ends_within_its_deadline(bench: Bench) -> None:
    bench.hold.clear()
    status = await bench.update()
    assert (status.result, status.riot_code, status.where) == ("TRANSPORT", -110, MANIFEST_URL)
    assert "within 1 s" in (status.detail or "")
    assert bench.untouched()


async def test_a_slow_commit_is_no_failure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = bench.replace

    async def slow(prepared: Mapping[int, object], commit: Callable[[], None]) -> None:
        await replace(prepared, commit)
        await asyncio.sleep(0.3)  # beyond the deadline, after the program came into the slot

    monkeypatch.setattr(bench, "replace", slow)
    bench.installer.limits = replace_fields(bench.installer.limits, deadline_s=0.25)
    assert (await bench.update()).result == "OK"
    assert bench.slots.sequence_number == 7


async def test_a_job_that_comes_during_the_download_keeps_its_slot(bench: Bench) -> None:
    bench.hold.clear()
    task = asyncio.create_task(bench.update())
    await asyncio.sleep(0)
    check = bench.check

    async def check_then_take(slot: int, image: bytes, capabilities: object = None) -> object:
        bench.jobs.add(slot)
        return await check(slot, image)

    bench.check = check_then_take  # type: ignore[method-assign]  # a job that arrives at the worst moment
    bench.hold.set()
    assert (await task).result == "SLOT_BUSY"
    assert bench.untouched()
