"""The acceptance programs through the whole pipeline: signed, published, pulled, installed, run, compared.

A file server, a process with many devices, and the client's own calls between them, over real UDP. A
device takes one update a second from one address, so every deploy goes to the next device.
The second half is the hostile set: what must be refused is, by its name, and the device goes on serving.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from time import monotonic
from typing import Any, Final

import pytest
import pytest_asyncio

from client.build import compile_source, compilers
from client.connection import Connection
from client.deploy import Deployed, deploy
from client.directory import Target, registered
from client.examples import Case, Example, load
from client.image import Packaged, prepare
from client.keys import generate, load_signer
from client.release import Order, Publisher
from client.remote import RemoteDevice
from client.results import Outcome
from device.api import ExecAnswer, ExecRequest, RegionSpec
from device.errors import MicroBpfError, RemoteError
from device.vm import verifier
from device.vm.asm import assemble
from device.vm.program import PERIODIC_WAKEUP, Layout, Program
from device.vm.writer import object_from_text
from tests.device_process import device_process
from tests.elf_objects import Obj
from tests.headers import Header
from tests.integration.test_layout_acceptance import POINTERS
from tests.peers import file_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES: Final = {
    name: example
    for name, example in load().items()
    if PERIODIC_WAKEUP not in example.helpers
    or all(run.fault is None for case in example.cases for run in case.runs)
}
"""All but the programs that sleep and never end: they are jobs, and would do so in real time here."""

DEVICES: Final = 48
SLOT: Final = 1
GUARD: Final = EXAMPLES["increment"]
GUARD_SLOT: Final = 0
"""What lies in this slot of every device throughout, and must still run after all that is tried."""


@dataclass
class Bed:
    """Devices behind a connection, and the operator who deploys to them."""

    publisher: Publisher
    targets: list[Target]
    _turns: cycle[Target] = field(init=False)

    def __post_init__(self) -> None:
        self._turns = cycle(self.targets)

    async def deploy(self, packaged: Packaged) -> tuple[Rig, Outcome[Deployed]]:
        """Deploy to the next device; that device, and how it went."""
        rig = Rig(RemoteDevice(self.publisher.connection, next(self._turns)))
        order = Order(packaged, slot=SLOT, alias=False)
        (outcome,) = await deploy(self.publisher, order, [rig.device.target])
        return rig, outcome

    async def refusal(self, packaged: Packaged) -> MicroBpfError:
        """The error of a deploy that must fail, change nothing and leave the device serving."""
        rig, outcome = await self.deploy(packaged)
        assert outcome.error is not None, f"{packaged.name} was installed"
        info = await rig.device.slot(SLOT)
        assert info.digest != packaged.digest
        assert (await rig.device.info()).sequence_number == (info.sequence_number or 1)
        await rig.guard()
        return outcome.error


@dataclass(frozen=True)
class Rig:
    """One device, and what a test wants of it."""

    device: RemoteDevice

    async def set_stores(self, case: Case) -> None:
        """Make the stores what a case begins with."""
        for slot, wanted in ((None, case.global_store), (SLOT, case.local_store)):
            changes: dict[str, int | None] = dict.fromkeys((await self.device.store(slot)).entries)
            changes.update({str(key): value for key, value in wanted.items()})
            if changes:
                await self.device.set_store(changes, slot)

    async def entries(self, slot: int | None) -> dict[int, int]:
        """What a store holds."""
        return {int(key): value for key, value in (await self.device.store(slot)).entries.items()}

    async def guard(self) -> None:
        """The device serves, and the program that was there before still runs."""
        answer = await self.device.execute(GUARD_SLOT, ExecRequest(context=bytes(8)))
        assert answer.r0_signed == 1


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bed]:
    home = tmp_path_factory.mktemp("acceptance")
    trusted = home / "trusted"
    trusted.mkdir()
    generate(home / "operator.pem").rename(trusted / "operator.pem.pub")
    async with AsyncExitStack() as stack:
        _, server, _ = await stack.enter_async_context(file_server(home / "served"))
        process = device_process(
            "--name", "acceptance", "--server", server, "--keys", str(trusted), count=DEVICES
        )
        await asyncio.to_thread(process.__enter__)
        stack.push_async_callback(asyncio.to_thread, process.__exit__, None, None, None)
        connection = await stack.enter_async_context(Connection())
        publisher = Publisher(connection, server, load_signer(home / "operator.pem"))
        targets = await in_directory(connection, server)
        for outcome in await deploy(publisher, Order(prepare(GUARD.object), slot=GUARD_SLOT), targets):
            assert outcome.error is None
        yield Bed(publisher, targets)


async def in_directory(connection: Connection, server: str) -> list[Target]:
    """All the devices, once they have registered."""
    end = monotonic() + 20
    while len(targets := await registered(connection, server)) < DEVICES:
        assert monotonic() < end, f"{len(targets)} of {DEVICES} devices registered"
        await asyncio.sleep(0.05)
    return targets


async def check(bed: Bed, example: Example, layout: str | None) -> None:
    packaged = prepare(example.object, layout)
    for case in example.cases:
        rig, outcome = await bed.deploy(packaged)
        info = await rig.device.slot(SLOT)
        release = outcome.value.release
        assert (info.digest, info.sequence_number) == (packaged.digest, release.sequence_number)
        assert info.layout == (layout or "elf")
        await rig.set_stores(case)
        for expected in case.runs:
            regions = (RegionSpec(expected.region),) if expected.region else ()
            request = ExecRequest(context=expected.context, regions=regions, budget=expected.budget)
            answer = await rig.device.execute(SLOT, request)
            fault = None if answer.fault is None else answer.fault["code"]
            assert (answer.r0_signed, fault) == (expected.r0, expected.fault), answer.fault
            if expected.output is not None:
                assert answer.output == expected.output
            if expected.context_after is not None:
                assert answer.context == expected.context_after
            if expected.global_after is not None:
                assert await rig.entries(None) == expected.global_after
            if expected.local_after is not None:
                assert await rig.entries(SLOT) == expected.local_after


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
async def test_program(bed: Bed, example: Example) -> None:
    await check(bed, example, None)


@pytest.mark.parametrize("example", [e for e in EXAMPLES.values() if e.text], ids=lambda e: e.name)
async def test_program_as_text_only(bed: Bed, example: Example) -> None:
    await check(bed, example, "text")


SECTIONS: Final = [
    (example, layout)
    for example in EXAMPLES.values()
    if not example.text
    for layout in ("femto", "sming", "extended")
    if layout != "sming" or example.name not in POINTERS
]


@pytest.mark.parametrize(("example", "layout"), SECTIONS, ids=lambda item: getattr(item, "name", item))
async def test_program_with_a_header(bed: Bed, example: Example, layout: str) -> None:
    """Those that need more than text; the others are in tests/integration/test_layout_acceptance.py."""
    await check(bed, example, layout)


# ---- Hostile programs: what the verifier refuses -------------------------------------------------

EXIT: Final = "9500000000000000"
CALL_AND_EXIT: Final = "8510000001000000" + EXIT

REFUSED: Final[dict[str, str]] = {
    "text-len": EXIT + "9500000000",
    "no-exit": "b700000001000000",
    "opcode": "ff00000000000000" + EXIT,
    "opcode-legacy": "2000000000000000" + EXIT,
    "opcode-callx": "8d00000000000000" + EXIT,
    "reg-dst": "b70b000001000000" + EXIT,
    "reg-src": "bfb0000000000000" + EXIT,
    "reg-r10": "b70a000000000000" + EXIT,
    "field": "0700010001000000" + EXIT,
    "end-width": "dc00000011000000" + EXIT,
    "modifier": "3700020001000000" + EXIT,
    "atomic-op": "db1af8ff99000000" + EXIT,
    "lddw-half": "1800000001000000" + EXIT,
    "lddw-src": "1810000001000000" + "0000000000000000" + EXIT,
    "lddw-base": "b800000000000000" + "0000000000000000" + EXIT,
    "jump-range": "0500010000000000" + EXIT,
    "jump-half": "0500010000000000" + "1800000001000000" + "0000000002000000" + EXIT,
    "jump-self": "0500ffff00000000" + EXIT,
    "call-range": "8510000010000000" + EXIT,
    "call-half": "8510000001000000" + "1800000001000000" + "0000000002000000" + EXIT,
    "call-kind": "8520000000000000" + EXIT,
    "call-unresolved": "85100000ffffffff" + EXIT,
    "call-depth": CALL_AND_EXIT * 8 + EXIT,
    "helper-unknown": "8500000077000000" + EXIT,
}


def unchecked(name: str, image: bytes) -> Packaged:
    """An image as a host would package it that checks nothing."""
    program = Program(b"", Layout.TEXT, hashlib.sha256(image).digest())
    return Packaged(name, image, image, program, verifier.verify(program, helpers=()))


def ids(error: MicroBpfError) -> set[Any]:
    return {finding["id"] for finding in error.extra["findings"]}


@pytest.mark.parametrize("identifier", REFUSED)
async def test_refused_as_text(bed: Bed, identifier: str) -> None:
    error = await bed.refusal(unchecked(identifier, bytes.fromhex(REFUSED[identifier])))
    assert error.code == "PROGRAM"
    assert identifier in ids(error)


# A section of 13 bytes cannot be linked, so the loader refuses it before the verifier sees it.
@pytest.mark.parametrize("identifier", [name for name in REFUSED if name != "text-len"])
async def test_refused_as_object(bed: Bed, identifier: str) -> None:
    image = object_from_text(bytes.fromhex(REFUSED[identifier]))
    error = await bed.refusal(unchecked(identifier, image))
    assert error.code == "PROGRAM"
    assert identifier in ids(error)


async def test_an_object_without_instructions(bed: Bed) -> None:
    """Nothing at all is too short to be an image, and a function cannot begin in an empty section."""
    obj = Obj()
    obj.text(b"")
    error = await bed.refusal(unchecked("nothing", obj.build()))
    assert (error.code, ids(error)) == ("PROGRAM", {"text-empty"})


async def test_a_helper_outside_the_list_of_the_run(bed: Bed) -> None:
    rig, outcome = await bed.deploy(prepare(EXAMPLES["printf"].object))
    assert outcome.error is None
    for _ in range(2):
        with pytest.raises(RemoteError) as refused:
            await rig.device.execute(SLOT, ExecRequest(helpers=(0x13,)))
        assert (refused.value.status, refused.value.code) == ("4.22", "helper-denied")
        assert {finding["helper"] for finding in refused.value.extra["findings"]} == {0x01}
    assert (await rig.device.slot(SLOT)).runs == 0
    assert (await rig.device.execute(SLOT, ExecRequest(helpers=(0x01,)))).fault is None
    await rig.guard()


async def test_every_finding_is_reported(bed: Bed) -> None:
    text = REFUSED["opcode"][:16] + REFUSED["reg-r10"][:16] + REFUSED["helper-unknown"]
    error = await bed.refusal(unchecked("three", bytes.fromhex(text)))
    assert [finding["id"] for finding in error.extra["findings"]] == ["opcode", "reg-r10", "helper-unknown"]
    assert [finding["insn"] for finding in error.extra["findings"]] == [0, 1, 2]


# ---- Hostile images: what the loader refuses -----------------------------------------------------

LOADER: Final[dict[str, bytes]] = {
    "load-short": b"",
    "load-version": Header("femto").lying(version=1),
    "load-flags": Header("femto").lying(flags=1),
    "load-length": Header("femto").lying(data_len=2**32 - 1),
    "load-text": Header("sming", text=b"", data=bytes(8)).build(),
    "load-function": Header("femto", rodata=b"f", functions=((1, 0, 0),)).build(),
    "load-call": Header("extended", calls=((0, 8),)).build(),
    "load-ram": Header("sming", bss=2**32 - 1).build(),
    "load-elf": b"\x7fELF\x02\x01\x01" + bytes(100),
}


@pytest.mark.parametrize("identifier", LOADER)
async def test_image_refused(bed: Bed, identifier: str) -> None:
    error = await bed.refusal(unchecked(identifier, LOADER[identifier]))
    assert error.code == "PROGRAM"
    assert identifier in ids(error)


SOURCES: Final[dict[str, str]] = {
    "load-symbol": "long missing(long); long f(long a) { return missing(a); }",
    "load-map": '__attribute__((section(".maps"))) int m[4]; long f(void) { return 0; }',
    "load-reloc": "long g(long a) { return a; } long (*h)(long); long f(void) { h = g; return (long)h; }",
    "load-ram": "char space[5000]; long f(long i) { return space[i]++; }",
    "load-entry": '#define ELSEWHERE __attribute__((section("elsewhere")))\n'
    "ELSEWHERE long f(void) { return 1; } ELSEWHERE long g(void) { return 2; }",
}


@pytest.mark.skipif(not compilers(), reason="no clang and no ziglang: hostile objects were NOT built")
@pytest.mark.parametrize("identifier", SOURCES)
async def test_object_refused(bed: Bed, identifier: str, tmp_path: Path) -> None:
    source = tmp_path / "hostile.c"
    source.write_text(SOURCES[identifier], encoding="utf-8")
    image = compile_source(source, flags=["-g0"]).object
    error = await bed.refusal(unchecked(identifier, image))
    assert error.code == "PROGRAM"
    assert identifier in ids(error)


# ---- Hostile runs: what the sandbox stops --------------------------------------------------------

# Whatever a helper takes for a pointer leads nowhere; an example of each that takes one.
WILD: Final = "mov32 r1, 0xdeadde00\n mov32 r2, r1\n mov32 r3, 8\n call {}\n exit"
POINTED: Final = (0x01, 0x02, 0x12, 0x13, 0x50, 0x51, 0x52)

FAULTS: Final[dict[str, tuple[str, str]]] = {
    "store below the frame": ("stdw [r10-520], 0\n exit", "ILLEGAL_MEM"),
    "store above the frame": ("stdw [r10+0], 0\n exit", "ILLEGAL_MEM"),
    "read of address 0": ("mov r1, 0\n ldxdw r0, [r1+0]\n exit", "ILLEGAL_MEM"),
    "read around the end of memory": ("mov32 r1, 0xffffffff\n ldxdw r0, [r1+0]\n exit", "ILLEGAL_MEM"),
    "endless recursion": ("f: mov r0, 0\n call local f\n exit", "CALL_DEPTH"),
    "endless loop": ("l: add r0, 1\n ja l\n exit", "OUT_OF_INSTRUCTIONS"),
    **{f"wild pointer into 0x{helper:02x}": (WILD.format(helper), "ILLEGAL_MEM") for helper in POINTED},
}


@pytest.mark.parametrize("what", FAULTS)
async def test_fault(bed: Bed, what: str, tmp_path: Path) -> None:
    text, code = FAULTS[what]
    path = tmp_path / "hostile.bin"
    path.write_bytes(assemble(text))
    rig, outcome = await bed.deploy(prepare(path))
    assert outcome.error is None
    answer: ExecAnswer = await rig.device.execute(SLOT, ExecRequest(budget=100_000))
    assert answer.fault is not None
    assert answer.fault["code"] == code
    if what.startswith("wild pointer into"):
        assert answer.fault["helper"] == int(what[-4:], 16)
    assert (await rig.device.slot(SLOT)).faults == 1
    await rig.guard()
