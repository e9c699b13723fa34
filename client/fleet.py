"""Which devices a command is for, and doing something with all of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from client.addresses import authority, base_url, is_address
from client.connection import Connection
from client.directory import Target, registered
from client.results import Outcome
from device.errors import ConfigError, MicroBpfError, TransportError

T = TypeVar("T")

ALL: Final = "all"
CONCURRENCY: Final = 16
"""Devices that one command works on at a time."""


async def resolve(connection: Connection, server: str, selectors: Sequence[str]) -> list[Target]:
    """The devices that `selectors` (names, addresses, `all`) mean; without any, the only one there is.

    Addresses need no directory. Each device appears once, under a name of its own. Raises ConfigError
    (`unknown-device`, `no-device`, `which-device`), and TransportError when a name needs a directory that
    does not answer.
    """
    listed: list[Target] = []
    if not selectors or not all(is_address(selector) for selector in selectors):
        listed = await _directory(connection, server)
    if not selectors:
        return [_only(listed, server)]
    found: dict[str, Target] = {}
    for selector in selectors:
        for target in _matching(selector, listed, server):
            found.setdefault(target.base, target)
    return named(list(found.values()))


async def _directory(connection: Connection, server: str) -> list[Target]:
    try:
        return await registered(connection, server)
    except TransportError as error:
        raise TransportError(
            f"the directory on the file server {server} does not answer: {error.detail}",
            code=error.code,
            where=server,
            hint="start it with `fileserver`, name it with --server, or a device with -d host:port",
        ) from error


def _only(listed: Sequence[Target], server: str) -> Target:
    if len(listed) == 1:
        return listed[0]
    if not listed:
        raise ConfigError(
            f"no device is registered at {server}",
            code="no-device",
            where=server,
            hint="start one with `device --server URL`, or name it with -d host:port",
        )
    raise ConfigError(
        f"{len(listed)} devices are registered: {_names(listed)}",
        code="which-device",
        where=server,
        hint="choose with -d NAME, or take -d all",
    )


def _matching(selector: str, listed: Sequence[Target], server: str) -> list[Target]:
    if selector == ALL:
        if not listed:
            raise ConfigError(f"no device is registered at {server}", code="no-device", where=server)
        return list(listed)
    if is_address(selector):
        base = base_url(selector)
        known = [target for target in listed if target.base == base]
        return known or [Target(name=authority(base), base=base)]
    named = [target for target in listed if target.name == selector]
    if not named:
        raise ConfigError(
            f"no device is called {selector}",
            code="unknown-device",
            where=selector,
            hint=f"registered at {server}: {_names(listed)}" if listed else f"none is registered at {server}",
        )
    return named


def _names(listed: Sequence[Target], limit: int = 10) -> str:
    shown = ", ".join(target.name for target in listed[:limit])
    return shown if len(listed) <= limit else f"{shown} and {len(listed) - limit} more"


@dataclass(frozen=True, slots=True)
class Group:
    """Devices that one manifest serves: they fetch from the same URL and are the same board."""

    fetch_base: str
    board: str
    targets: tuple[Target, ...]


def group(targets: Iterable[tuple[Target, str]], *, fetch_base: str | None, server: str) -> list[Group]:
    """(Target, board) pairs by (`srv`, board), the largest group last.

    `fetch_base` stands in for every `srv`, `server` for one that is not known.
    """
    groups: dict[tuple[str, str], list[Target]] = {}
    for target, board in targets:
        key = (fetch_base or target.srv or server, board)
        groups.setdefault(key, []).append(target)
    found = [Group(base, board, tuple(members)) for (base, board), members in groups.items()]
    return sorted(found, key=lambda item: (len(item.targets), item.fetch_base, item.board))


def named(targets: Sequence[Target]) -> list[Target]:
    """The same targets with names that differ: of two with one name, each gets its address behind it."""
    counts: dict[str, int] = {}
    for target in targets:
        counts[target.name] = counts.get(target.name, 0) + 1
    return [
        target
        if counts[target.name] == 1
        else replace(target, name=f"{target.name}@{authority(target.base)}")
        for target in targets
    ]


async def for_each(
    targets: Sequence[Target],
    action: Callable[[Target], Awaitable[T]],
    *,
    on_done: Callable[[Target, Outcome[T]], None] | None = None,
    limit: int = CONCURRENCY,
) -> list[Outcome[T]]:
    """`action` for every target, `limit` at a time; outcomes in the order of the targets.

    An error of our own tree is that device's outcome and stops no other; anything else ends them all.
    """
    places = asyncio.Semaphore(limit)

    async def one(target: Target) -> Outcome[T]:
        outcome: Outcome[T]
        async with places:
            try:
                outcome = Outcome(target.name, await action(target))
            except MicroBpfError as error:
                outcome = Outcome(target.name, error=error)
        if on_done is not None:
            on_done(target, outcome)
        return outcome

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one(target)) for target in targets]
    return [task.result() for task in running]
