"""Sequences read whole: every command, argument and parameter known and well typed (suit.md section 4).

This looks at nested sequences and at branches that no device would take as well, before anything is run: an
update has no effect until all of its manifest is known to be one that this device carries out.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import cbor2

from device.errors import MalformedRequest, SuitError
from device.suit import capabilities, uri, wire
from device.suit.refusals import PARAMETER, Refusal, refuse
from device.suit.values import (
    MAX_POLICY,
    UUID_SIZE,
    bytes_of,
    list_of,
    text_of,
    uint_of,
    wrapped_digest,
)
from device.suit.wire import Command, WireProfile

MAX_COMMANDS: Final = 256
MAX_NESTING: Final = 4
_VENDOR_NUMBER: Final = 112
_INTEGRATED: Final = re.compile(r"#[!-~]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Step:
    """A command with its argument.

    The argument is a tuple of component indices, a map of parameters, a tuple of sequences of which the last
    may be None, a sequence, or a reporting policy, as the command needs.
    """

    command: Command
    argument: Any
    where: str


Sequence = tuple[Step, ...]


class SequenceReader:
    """Reads the sequences of one manifest, whose commands it counts.

    `components` is their number; `hosts` are those that may be fetched from, None for any.
    """

    def __init__(self, profile: WireProfile, components: int, hosts: Collection[str] | None) -> None:
        self.profile = profile
        self._components = components
        self._hosts = hosts
        self._commands = 0

    def read(self, raw: Any, name: str, *, shared: bool = False) -> Sequence:
        """The sequence that a byte string wraps; `shared` for the one in common.

        Raises SuitError MALFORMED, UNSUPPORTED, POLICY, TOO_COMPLEX, URI_FORBIDDEN.
        """
        return self._read(raw, name, _Context(shared))

    def _read(self, raw: Any, name: str, context: _Context) -> Sequence:
        flat = list_of(raw, name)
        if not flat or len(flat) % 2:
            raise refuse(
                Refusal.MALFORMED, f"{name}: must be a flat array of commands and arguments", where=name
            )
        self._commands += len(flat) // 2
        if self._commands > MAX_COMMANDS:
            raise refuse(Refusal.TOO_COMPLEX, f"more than {MAX_COMMANDS} commands", where=name)
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return tuple(
            self._step(key, argument, f"{name}, command {index}", context)
            for index, (key, argument) in enumerate(pairs)
        )

    def _step(self, key: Any, argument: Any, where: str, context: _Context) -> Step:
        if type(key) is not int:
            raise refuse(Refusal.MALFORMED, f"{where}: a command must be an integer", where=where)
        command = self.profile.commands.get(key)
        if command is None:
            raise refuse(Refusal.UNSUPPORTED, f"{where}: command {key}", where=where)
        if command in wire.IMAGE_OPERATIONS and context.shared:
            raise refuse(Refusal.POLICY, f"{where}: {command.value} in the common sequence", where=where)
        if command is Command.IMAGE_MATCH and context.branch:
            raise refuse(Refusal.UNSUPPORTED, f"{where}: image match inside try each", where=where)
        return Step(command, self._argument(command, argument, where, context), where)

    def _argument(self, command: Command, value: Any, where: str, context: _Context) -> Any:
        if command in wire.REPORTED:
            return uint_of(value, f"{where}, reporting policy", MAX_POLICY)
        match command:
            case Command.SET_INDEX:
                return self._index(value, where)
            case Command.TRY_EACH:
                return self._branches(value, where, context.nested(where, branch=True))
            case Command.RUN_SEQUENCE:
                return self._read(value, where, context.nested(where))
            case _:
                return self._parameters(value, where, context)

    def _index(self, value: Any, where: str) -> tuple[int, ...]:
        if value is True:
            if not self.profile.several:
                raise refuse(Refusal.UNSUPPORTED, f"{where}: index true", where=where)
            return tuple(range(self._components))
        if isinstance(value, list) and self.profile.several:
            indices = tuple(uint_of(item, where) for item in value)
            if not indices or len(set(indices)) != len(indices):
                raise refuse(Refusal.MALFORMED, f"{where}: indices must be distinct, and some", where=where)
        else:
            indices = (uint_of(value, where),)
        for index in indices:
            if index >= self._components:
                raise refuse(Refusal.MALFORMED, f"{where}: component index {index}", where=where)
        return indices

    def _branches(self, value: Any, where: str, context: _Context) -> tuple[Sequence | None, ...]:
        if not isinstance(value, list):
            raise refuse(Refusal.MALFORMED, f"{where}: try each needs an array", where=where)
        last = value[-1:] == [None] and self.profile.several
        sequences, least = value[:-1] if last else value, 2 if self.profile.several else 1
        if len(sequences) < least:
            raise refuse(Refusal.MALFORMED, f"{where}: try each of {len(sequences)} sequences", where=where)
        read = [self._read(raw, f"{where}, branch {n}", context) for n, raw in enumerate(sequences)]
        return (*read, None) if last else tuple(read)

    def _parameters(self, value: Any, where: str, context: _Context) -> dict[int, Any]:
        if not isinstance(value, dict) or not value:
            raise refuse(Refusal.MALFORMED, f"{where}: parameters must be a non-empty map", where=where)
        return {key: self._parameter(key, item, where, context) for key, item in value.items()}

    def _parameter(self, key: Any, value: Any, where: str, context: _Context) -> Any:
        if key not in self.profile.parameters:
            raise unknown(key, "parameter", where, PARAMETER)
        place = f"{where}, parameter {key}"
        match key:
            case wire.VENDOR_ID | wire.CLASS_ID:
                return self._identifier(key, value, place)
            case wire.IMAGE_DIGEST:
                return wrapped_digest(value, self.profile.digest_id, place)
            case wire.CONTENT:
                return bytes_of(value, place)
            case wire.URI:
                self._check_uri(text_of(value, place), place)
                return value
            case wire.SOURCE_COMPONENT:
                return uint_of(value, place, self._components - 1)
            case wire.CAPABILITIES:
                if context.shared:
                    raise refuse(
                        Refusal.UNSUPPORTED, f"{place}: capabilities in common", where=place, reason=PARAMETER
                    )
                return capabilities.decode(value, place)
            case _:
                return uint_of(value, place)

    def _identifier(self, key: int, value: Any, where: str) -> Any:
        """16 bytes; where the profile has it, a vendor's number as well, which is never equal to ours."""
        tagged = isinstance(value, cbor2.CBORTag) and value.tag == _VENDOR_NUMBER
        if tagged and self.profile.several and key == wire.VENDOR_ID:
            bytes_of(value.value, where)
            return value
        if len(bytes_of(value, where)) != UUID_SIZE:
            raise refuse(Refusal.MALFORMED, f"{where}: a UUID has 16 bytes, not {len(value)}", where=where)
        return value

    def _check_uri(self, text: str, where: str) -> None:
        if self.profile.several and len(text) <= uri.MAX_URI and _INTEGRATED.fullmatch(text):
            return
        try:
            uri.check(text, self._hosts)
        except MalformedRequest as error:
            raise refuse(Refusal.URI_FORBIDDEN, error.detail, where=where, hint=error.hint) from error


@dataclass(frozen=True, slots=True)
class _Context:
    """Where a sequence stands: in common, inside a try-each, how deep."""

    shared: bool
    branch: bool = False
    depth: int = 0

    def nested(self, where: str, *, branch: bool = False) -> _Context:
        if self.depth == MAX_NESTING:
            raise refuse(
                Refusal.TOO_COMPLEX, f"{where}: sequences nested deeper than {MAX_NESTING}", where=where
            )
        return _Context(self.shared, self.branch or branch, self.depth + 1)


def unknown(key: Any, what: str, where: str, reason: int | None = None) -> SuitError:
    """An integer may mean something to another device; a text key is in no grammar of these."""
    kind = Refusal.MALFORMED if isinstance(key, str) else Refusal.UNSUPPORTED
    reason = reason if kind is Refusal.UNSUPPORTED else None
    return refuse(kind, f"{where}: {what} {key!r}", where=where, reason=reason)
