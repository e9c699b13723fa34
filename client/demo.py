"""The demonstration: a testbed, two programs on three devices, a forgery refused, a fault survived.

Every claim of the narration is checked; when one does not hold, the demonstration fails.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Final, TypeVar

from client.connection import Connection
from client.debuginfo import DebugFiles
from client.deploy import Deployed, deploy
from client.directory import Target
from client.examples import folder
from client.execution import Executed, execute
from client.faults import ProgramFault
from client.fleet import for_each
from client.image import Packaged, prepare
from client.keys import generate, load_signer
from client.release import Order, Publisher
from client.remote import RemoteDevice
from client.results import Outcome
from client.steps import Note, ignore_note
from client.testbed import Testbed
from device.api import ExecRequest
from device.errors import MicroBpfError
from device.vm import writer

NAMES: Final = ("calm-otter", "quiet-heron", "swift-badger")
FIRST: Final = "fletcher32"
SECOND: Final = "bpf_store"

WILD: Final = b"""\
; Reads through a pointer that was never set.
    mov r1, 0
    ldxdw r0, [r1+8]
    exit
"""


T = TypeVar("T")


class DemoFailed(MicroBpfError):
    """Something did not happen that the demonstration says happens."""

    title = "The demonstration failed"
    default_code = "demo"


@dataclass(frozen=True, slots=True)
class Scene:
    """A part of the show that went as announced: a name, lines to tell, facts for scripts."""

    name: str
    lines: tuple[str, ...]
    facts: dict[str, Any]
    seconds: float = 0.0

    def to_map(self) -> dict[str, Any]:
        """What JSON shows."""
        return {"scene": self.name, "ms": round(self.seconds * 1000), **self.facts}


async def play(*, announce: Note = ignore_note) -> AsyncGenerator[Scene, None]:
    """The scenes, each when it has been played. `announce` hears what comes next.

    Raises DemoFailed when a claim does not hold. Nothing is left running, however this ends: close it
    (`aclosing`) when it is not played to its end.
    """
    objects = folder() / "objects"
    start = perf_counter()
    announce("Starting a file server and three devices, each a process of its own …")
    async with Testbed(NAMES) as testbed, Connection() as connection:
        yield _started(testbed, perf_counter() - start)
        show = _Show(testbed, connection, announce)
        acts: Sequence[Callable[[], Any]] = (
            lambda: show.deploy_and_run(objects / f"{FIRST}.o", 0),
            lambda: show.deploy_and_run(objects / f"{SECOND}.o", 1),
            show.forge,
            show.fault,
        )
        for act in acts:
            start = perf_counter()
            scene: Scene = await act()
            yield replace(scene, seconds=perf_counter() - start)
        announce("Stopping all of it …")


def _started(testbed: Testbed, seconds: float) -> Scene:
    lines = [f"file server  {testbed.server}"]
    lines += [f"device       {target.base}  {target.name}" for target in testbed.targets]
    lines.append("A key pair was made for this: the devices hold its public half, and trust nothing else.")
    facts = {"server": testbed.server, "devices": [target.to_map() for target in testbed.targets]}
    return Scene("testbed", tuple(lines), facts, seconds)


class _Show:
    """What the acts share."""

    def __init__(self, testbed: Testbed, connection: Connection, announce: Note) -> None:
        self._testbed = testbed
        self._connection = connection
        self._announce = announce
        self._signer = load_signer(testbed.key)
        self._debug = DebugFiles(None, connection, testbed.server)
        self._first: Packaged | None = None

    async def deploy_and_run(self, path: Path, slot: int) -> Scene:
        """A program into a slot of every device, and run there."""
        self._announce(f"Deploying {path.name} to slot {slot} of all three, and running it …")
        packaged = prepare(path)
        self._first = self._first or packaged
        deployed = await self._deploy(packaged, slot, self._testbed.targets)
        release = _all(deployed)[0].release
        answers = _all(await self._run(slot, self._testbed.targets))
        results = {answer.answer.r0_signed for answer in answers}
        _claim(len(results) == 1, f"the devices disagree: {results}")
        lines = [
            f"{len(packaged.image)} bytes of eBPF, signed with sequence number {release.sequence_number}: "
            f"manifest {len(release.envelope)} bytes.",
            "Each device fetched the manifest, checked signature, board and sequence number, fetched the",
            "image, checked its SHA-256, verified the program, and only then put it into the slot.",
        ]
        lines += [
            f"{target.name:<12}  slot {slot} returned {answer.answer.r0_signed} "
            f"after {answer.answer.instructions} instructions"
            for target, answer in zip(self._testbed.targets, answers, strict=True)
        ]
        facts = {
            "program": packaged.name,
            "slot": slot,
            "sequence_number": release.sequence_number,
            "result": results.pop(),
        }
        return Scene("deploy", tuple(lines), facts)

    async def forge(self) -> Scene:
        """An update signed with a key that nobody trusts."""
        self._announce("An attacker signs an update with a key of their own, and tells a device to take it …")
        assert self._first is not None  # noqa: S101  # the first act set it
        target = self._testbed.targets[0]
        device = RemoteDevice(self._connection, target)
        before = await device.slot(0)
        foreign = self._testbed.directory / "attacker" / "foreign.pem"
        generate(foreign)
        publisher = replace(self._publisher(), signer=load_signer(foreign))
        outcomes = await deploy(publisher, Order(self._first, slot=0, alias=False), [target])
        error = outcomes[0].error
        _claim(error is not None, f"{target.name} took an update that was signed with a foreign key")
        assert error is not None  # noqa: S101  # claimed above
        _claim(error.code == "BAD_SIGNATURE", f"refused, but as {error.code}: {error.detail}")
        _claim(await device.slot(0) == before, "the refused update changed the slot")
        answer = _all(await self._run(0, [target]))[0]
        lines = (
            f"{target.name} refused it: {error.code}, {error.detail}",
            f"Nothing changed: slot 0 still holds {before.tag} and still returns {answer.answer.r0_signed}.",
        )
        return Scene("forgery", lines, {"device": target.name, "refused": error.code, "tag": before.tag})

    async def fault(self) -> Scene:
        """A program that reads where it may not, on a device that lives on."""
        self._announce("A program with a bug: signed by the right key, it reads through a null pointer …")
        target = self._testbed.targets[-1]
        packaged = self._wild()
        _all(await self._deploy(packaged, 2, [target]))
        outcome = (await self._run(2, [target]))[0]
        _claim(isinstance(outcome.error, ProgramFault), f"it did not fault: {outcome}")
        assert outcome.error is not None  # noqa: S101  # claimed above
        info = await RemoteDevice(self._connection, target).info()
        answer = _all(await self._run(0, [target]))[0]
        lines = (
            f"{outcome.error.detail}",
            f"The sandbox ended that run. {info.name} is up, and slot 0 still returns "
            f"{answer.answer.r0_signed}.",
        )
        return Scene("fault", lines, {"device": target.name, "fault": outcome.error.code, "alive": True})

    def _wild(self) -> Packaged:
        path = self._testbed.directory / "wild.o"
        path.write_bytes(writer.object_from_text(_assembled(WILD), name="wild"))
        return prepare(path)

    def _publisher(self) -> Publisher:
        return Publisher(self._connection, self._testbed.server, self._signer)

    async def _deploy(
        self, packaged: Packaged, slot: int, targets: Sequence[Target]
    ) -> list[Outcome[Deployed]]:
        return await deploy(self._publisher(), Order(packaged, slot=slot), targets)

    async def _run(self, slot: int, targets: Sequence[Target]) -> list[Outcome[Executed]]:
        request = ExecRequest()
        return await for_each(
            targets,
            lambda target: execute(RemoteDevice(self._connection, target), slot, request, self._debug),
        )


def _assembled(source: bytes) -> bytes:
    from device.vm.asm import assemble

    return assemble(source.decode())


def _all(outcomes: Sequence[Outcome[T]]) -> list[T]:
    """The results of all, or the first error."""
    return [outcome.value for outcome in outcomes]


def _claim(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DemoFailed(otherwise)
