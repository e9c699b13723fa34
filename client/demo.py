"""The demonstration: a testbed, two programs on three devices, forgeries refused, a fault survived.

Every claim of the narration is checked; when one does not hold, the demonstration fails.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Final, TypeVar

from client.attack.table import selection
from client.attack.throw import Attacker, Verdict, together
from client.connection import Connection
from client.debuginfo import DebugFiles
from client.deploy import Deployed, deploy
from client.directory import Target
from client.examples import Example
from client.examples import load as load_examples
from client.execution import Executed, execute
from client.faults import ProgramFault
from client.fleet import for_each
from client.image import Packaged, prepare
from client.keys import generate, load_signer
from client.release import Order, Publisher
from client.remote import RemoteDevice
from client.results import Outcome
from client.sequence import survey
from client.steps import Note, ignore_note
from client.testbed import Testbed
from client.text import table
from device.api import ExecRequest
from device.errors import MicroBpfError

NAMES: Final = ("calm-otter", "quiet-heron", "swift-badger")
GREETING: Final = "hello"
CHECKSUM: Final = "fletcher32"
BUG: Final = "wild_pointer"

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
    programs = load_examples()
    start = perf_counter()
    announce("Starting a file server and three devices, each a process of its own …")
    async with Testbed(NAMES) as testbed, Connection() as connection:
        yield _started(testbed, perf_counter() - start)
        show = _Show(testbed, connection, announce)
        acts: Sequence[Callable[[], Any]] = (
            lambda: show.deploy_and_run(programs[GREETING], 0),
            lambda: show.deploy_and_run(programs[CHECKSUM], 1),
            show.forge,
            show.attack,
            lambda: show.fault(programs[BUG]),
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
        self._debug = DebugFiles(testbed.directory / "debug")
        self._first: Packaged | None = None

    async def deploy_and_run(self, example: Example, slot: int) -> Scene:
        """A program into a slot of every device, and run there: it does what `expected.toml` says."""
        self._announce(f"Deploying {example.object.name} to slot {slot} of all three, and running it …")
        packaged = prepare(example.object)
        self._first = self._first or packaged
        release = _all(await self._deploy(packaged, slot, self._testbed.targets))[0].release
        answers = _all(await self._run(slot, self._testbed.targets))
        expected = example.cases[0].runs[0]
        for target, answer in zip(self._testbed.targets, answers, strict=True):
            _claim(
                answer.answer.r0_signed == expected.r0, f"{target.name} returned {answer.answer.r0_signed}"
            )
            _claim(expected.output in (None, answer.answer.output), f"it printed {answer.answer.output!r}")
        lines = [
            f"{len(packaged.image)} bytes of eBPF and {len(release.envelope)} bytes of signed manifest, "
            f"sequence number {release.sequence_number}.",
            *(_PULL_EXPLAINED if slot == 0 else ()),
            *map(_told, self._testbed.targets, answers),
        ]
        facts = {
            "program": packaged.name,
            "slot": slot,
            "sequence_number": release.sequence_number,
            "result": expected.r0,
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

    async def attack(self) -> Scene:
        """A selection of what `client attack` throws, shared out among all three."""
        attacks = selection(brief=True)
        self._announce(f"{len(attacks)} more ways to get in, shared out among all three …")
        attacker = Attacker(self._connection, self._testbed.server, self._signer.private_key)
        found: dict[str, Verdict] = {}
        await together(
            attacker,
            await survey(self._connection, self._testbed.server, self._testbed.targets),
            attacks,
            lambda _, verdict: found.update({verdict.attack.name: verdict}),
        )
        verdicts = [found[attack.name] for attack in attacks]
        for verdict in verdicts:
            _claim(verdict.held, str(verdict.breach))
        lines = table(
            ("ATTACK", "REFUSED AS", "TRIES"),
            [(verdict.attack.name, verdict.answer, verdict.attack.threat) for verdict in verdicts],
        )
        facts = {"attacks": [verdict.to_map() for verdict in verdicts]}
        after = "Not one slot and not one sequence number has changed. `client attack` has many more."
        return Scene("attacks", (*lines, after), facts)

    async def fault(self, example: Example) -> Scene:
        """A program that reads where it may not, on a device that lives on."""
        self._announce(f"{example.source.name} has a bug. It is signed by the right key, so it gets in …")
        target = self._testbed.targets[-1]
        packaged = prepare(example.object)
        await self._debug.keep(packaged.image, packaged.object)
        _all(await self._deploy(packaged, 2, [target]))
        outcome = (await self._run(2, [target]))[0]
        _claim(isinstance(outcome.error, ProgramFault), f"it did not fault: {outcome}")
        assert outcome.error is not None  # noqa: S101  # claimed above
        info = await RemoteDevice(self._connection, target).info()
        answer = _all(await self._run(1, [target]))[0]
        lines = (
            outcome.error.detail,
            f"  {outcome.error.where}",
            f"The sandbox ended that run, and nothing else: {info.name} is up, and slot 1 still returns "
            f"{answer.answer.r0_signed}.",
        )
        return Scene("fault", lines, {"device": target.name, "fault": outcome.error.code, "alive": True})

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


_PULL_EXPLAINED: Final = (
    "Each device fetched the manifest, checked signature, board and sequence number, fetched the",
    "image, checked its SHA-256, verified the program, and only then put it into the slot.",
)


def _told(target: Target, executed: Executed) -> str:
    answer = executed.answer
    printed = f", printed {answer.output.strip()!r}" if answer.output else ""
    return f"{target.name:<13} returned {answer.r0_signed} after {answer.instructions} instructions{printed}"


def _all(outcomes: Sequence[Outcome[T]]) -> list[T]:
    """The results of all, or the first error."""
    return [outcome.value for outcome in outcomes]


def _claim(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DemoFailed(otherwise)
