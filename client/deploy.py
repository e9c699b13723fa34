"""Deploying: from an image to slots that hold it, on one device or many (client.md).

    survey ─▶ sequence number ─▶ sign and publish, one manifest per (srv, board) ─▶ pull ─▶ confirm

A device that meanwhile took somebody else's update refuses with ROLLBACK, or tells of that update alone, and
is tried again with a fresh number, a bounded number of times. One that does not answer keeps nobody else from
being updated. What is reported as deployed is what was signed here, always.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from client.directory import Target
from client.fleet import for_each
from client.manifest import Signed
from client.pull import MISSED, Pull, pull
from client.release import Order, Publisher, release
from client.remote import RemoteDevice
from client.results import Outcome
from client.sequence import Recipient, ask_each
from client.steps import Step
from device.api import DeviceInfo
from device.errors import MicroBpfError
from device.suit.refusals import Refusal

ATTEMPTS: Final = 5
DEADLINE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Deployed:
    """A slot that holds what was signed, `seconds` after the deploy began."""

    release: Signed
    seconds: float
    attempts: int = 1
    steps: tuple[Step, ...] = ()

    def to_map(self) -> dict[str, Any]:
        """What JSON shows."""
        timing = {"ms": round(self.seconds * 1000, 1), "attempts": self.attempts}
        return {**self.release.to_map(), **timing, "steps": [step.to_map() for step in self.steps]}


OnDone = Callable[[Outcome[Deployed]], None]


async def deploy(
    publisher: Publisher,
    order: Order,
    targets: Sequence[Target],
    *,
    known: Sequence[Outcome[Recipient]] | None = None,
    deadline_s: float = DEADLINE_S,
    on_done: OnDone | None = None,
) -> list[Outcome[Deployed]]:
    """Deploy an image to every target; an outcome for each, in order, and told to `on_done` as it comes.

    `known` is what the targets just said of themselves, if they were asked already. A target that does not
    answer, or is not the board that the order is for, has that as its outcome. Raises what ends it for all
    before anything was triggered: SuitError for a manifest that a target would refuse, the errors of the file
    server.
    """
    rounds = _Rounds(publisher, order, deadline_s, on_done or (lambda _outcome: None))
    async with publisher.connection.locks.hold(target.base for target in targets) as waited:
        asked = known
        if asked is None or waited:
            need_srv = order.fetch_base is None
            asked = await ask_each(
                publisher.connection, publisher.server, targets, need_srv=need_srv, board=order.board
            )
        pending = rounds.first(targets, asked)
        while pending:
            pending = await rounds.next(pending)
    return [rounds.outcomes[target.base] for target in targets]


class _Rounds:
    """One deploy under way: a round tries all that are pending with one number."""

    def __init__(self, publisher: Publisher, order: Order, deadline_s: float, on_done: OnDone) -> None:
        self.outcomes: dict[str, Outcome[Deployed]] = {}
        self._publisher = publisher
        self._order = order
        self._start = monotonic()
        self._deadline = self._start + deadline_s
        self._on_done = on_done
        self._attempt = 0

    def first(self, targets: Sequence[Target], asked: Sequence[Outcome[Recipient]]) -> list[Recipient]:
        """Those that answered; the others have come to their end."""
        for target, outcome in zip(targets, asked, strict=True):
            if outcome.error is not None:
                self._end(target, Outcome(target.name, error=outcome.error))
        return [outcome.value for outcome in asked if outcome.ok]

    async def next(self, recipients: Sequence[Recipient]) -> list[Recipient]:
        """Those that have to be tried again, with what they say of themselves now."""
        self._attempt += 1
        try:
            releases = await release(self._publisher, self._order, recipients)
        except MicroBpfError as error:
            if self._attempt == 1:
                raise
            for recipient in recipients:
                self._end(recipient.target, Outcome(recipient.target.name, error=error))
            return []
        raced: list[Target] = []

        async def one(target: Target) -> Deployed:
            return await self._pull(target, releases[target.base])

        def done(target: Target, outcome: Outcome[Deployed]) -> None:
            if self._worth_another(outcome):
                raced.append(target)
            else:
                self._end(target, outcome)

        await for_each([recipient.target for recipient in recipients], one, on_done=done)
        return await self._ask_again(raced)

    async def _pull(self, target: Target, signed: Signed) -> Deployed:
        device = RemoteDevice(self._publisher.connection, target)
        publisher = self._publisher
        how = Pull(self._deadline, self._order.stop, publisher.on_step, publisher.on_note)
        await pull(device, signed, how)
        return Deployed(signed, monotonic() - self._start, self._attempt)

    def _end(self, target: Target, outcome: Outcome[Deployed]) -> None:
        self.outcomes[target.base] = outcome
        self._on_done(outcome)

    def _worth_another(self, outcome: Outcome[Deployed]) -> bool:
        if self._order.sequence_number is not None or self._attempt == ATTEMPTS:
            return False
        raced = outcome.error is not None and outcome.error.code in (Refusal.ROLLBACK.name, MISSED)
        return raced and monotonic() < self._deadline

    async def _ask_again(self, targets: Sequence[Target]) -> list[Recipient]:
        again: list[Recipient] = []

        def done(target: Target, outcome: Outcome[DeviceInfo]) -> None:
            if outcome.error is None:
                again.append(Recipient(target, outcome.value))
                self._publisher.on_note(f"{target.name} took another update meanwhile, trying a fresh number")
            else:
                self._end(target, Outcome(target.name, error=outcome.error))

        connection = self._publisher.connection
        await for_each(targets, lambda target: RemoteDevice(connection, target).info(), on_done=done)
        return again
