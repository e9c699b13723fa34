"""From a file to running slots: what `client deploy` does, in one call.

Building, asking the devices and reading the key wait for different things, so they happen at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from client.debuginfo import DebugFiles
from client.deploy import DEADLINE_S, Deployed, deploy
from client.directory import Target
from client.fleet import resolve
from client.image import Packaged, prepare
from client.release import Order, Publisher
from client.results import Outcome
from client.sequence import Recipient, ask_each
from client.source import build_object
from client.steps import Step, recorder
from client.terms import Terms

A = TypeVar("A")
B = TypeVar("B")

UNKNOWN_SRV: Final = "is not in the directory: it is told to fetch from"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What to deploy where. Without `selectors` the only registered device is meant.

    `also` are further programs by slot, which one manifest installs together with the first.
    """

    file: Path
    selectors: Sequence[str] = ()
    slot: int = 0
    sequence_number: int | None = None
    fetch_base: str | None = None
    board: str | None = None
    layout: str | None = None
    alias: bool = True
    deadline_s: float = DEADLINE_S
    cache: Path | None = None
    terms: Terms = field(default_factory=Terms)
    also: Sequence[tuple[int, Path]] = ()
    stop: bool = False


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is told, beside the publisher's steps and notes: of the targets, and of each one's end."""

    on_targets: Callable[[Sequence[Target]], None] = field(default=lambda _targets: None)
    on_done: Callable[[Outcome[Deployed]], None] = field(default=lambda _outcome: None)


async def deploy_file(
    publisher: Publisher,
    what: Deployment,
    *,
    built: Awaitable[bytes] | None = None,
    earlier: Sequence[Step] = (),
    watcher: Watcher | None = None,
) -> list[Outcome[Deployed]]:
    """Build (for a source), verify, sign, publish, install and confirm; an outcome for every device.

    `built` is an object that is being built already, `earlier` the steps told of that (read at the end, so
    that it may still grow). A device that does not answer, or is another board than `what` is for, has that
    as its outcome. Raises what ends it for
    all before anything changed:
    BuildError, LoadError, VerifyError, ConfigError, TransportError, SuitError, RemoteError.
    """
    watcher = watcher or Watcher()
    steps: list[Step] = []
    recording = replace(publisher, on_step=recorder(steps, publisher.on_step))
    packaged, (targets, known) = await both(_prepare(recording, what, built), _ask(recording, what, watcher))
    also = [
        (slot, await _prepare(recording, replace(what, file=file, slot=slot), None))
        for slot, file in what.also
    ]
    every = [packaged, *(one for _, one in also)]
    keeping = asyncio.create_task(_keep_debug(publisher, what, every, known))
    order = Order(
        packaged,
        slot=what.slot,
        sequence_number=what.sequence_number,
        fetch_base=what.fetch_base,
        board=what.board,
        alias=what.alias,
        terms=what.terms,
        also=tuple(also),
        stop=what.stop,
    )
    try:
        outcomes = await deploy(
            recording,
            order,
            targets,
            known=known,
            deadline_s=what.deadline_s,
            on_done=watcher.on_done,
        )
        await keeping
    finally:
        keeping.cancel()
    return [_with_steps(outcome, [*earlier, *steps]) for outcome in outcomes]


async def _keep_debug(
    publisher: Publisher, what: Deployment, packaged: Sequence[Packaged], known: Sequence[Outcome[Recipient]]
) -> None:
    """Keep the debug information, unless there is nobody to run the program: then nothing is published."""
    if any(outcome.ok for outcome in known):
        debug = DebugFiles(what.cache, publisher.connection, publisher.server)
        for one in packaged:
            await debug.keep(one.image, one.object, on_note=publisher.on_note)


async def _prepare(publisher: Publisher, what: Deployment, built: Awaitable[bytes] | None) -> Packaged:
    if built is None:
        content = await asyncio.to_thread(build_object, what.file, on_step=publisher.on_step)
    else:
        content = await built
    terms = what.terms
    return prepare(
        what.file,
        what.layout,
        allowed=terms.granted(what.slot).helpers,
        profile=terms.profile(what.slot),
        on_step=publisher.on_step,
        built=content,
    )


async def _ask(
    publisher: Publisher, what: Deployment, watcher: Watcher
) -> tuple[list[Target], list[Outcome[Recipient]]]:
    connection, server = publisher.connection, publisher.server
    targets = await resolve(connection, server, what.selectors)
    watcher.on_targets(targets)
    known = await ask_each(connection, server, targets, need_srv=what.fetch_base is None, board=what.board)
    for outcome in known:
        if outcome.ok and outcome.value.target.srv is None and what.fetch_base is None:
            publisher.on_note(f"note: {outcome.device} {UNKNOWN_SRV} {server} (see --fetch-base)")
    return targets, known


async def both(first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """Both results; when one fails the other is given up, and the error comes out as it is."""
    one, two = asyncio.ensure_future(first), asyncio.ensure_future(second)
    try:
        return await one, await two
    finally:
        for task in (one, two):
            task.cancel()
        await asyncio.gather(one, two, return_exceptions=True)


def _with_steps(outcome: Outcome[Deployed], steps: Sequence[Step]) -> Outcome[Deployed]:
    if outcome.result is None:
        return outcome
    own = tuple(step for step in steps if step.device in (None, outcome.device))
    return replace(outcome, result=replace(outcome.result, steps=own))
