"""What a command came to, device by device, and its JSON form (client.md, Output)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from client.exits import Exit, exit_code
from device.api import jsonable
from device.errors import MicroBpfError, RemoteError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """The result of one device, or its error. `device` is None for what concerns no device."""

    device: str | None
    result: T | None = None
    error: MicroBpfError | None = None

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return self.error is None

    @property
    def value(self) -> T:
        """The result; raises the error when there is one."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # None is a value of T where T allows it

    @property
    def exit(self) -> Exit:
        """The exit code this outcome asks for."""
        return Exit.DONE if self.error is None else exit_code(self.error)


def error_map(error: MicroBpfError) -> dict[str, Any]:
    """An error as JSON shows it; a peer's own title stands in for ours."""
    title = error.remote_title if isinstance(error, RemoteError) else ""
    return {
        **plain(error.extra),
        "code": error.code,
        "where": error.where,
        "hint": error.hint,
        "title": title or error.title,
        "detail": error.detail,
    }


def outcome_map(outcome: Outcome[Any]) -> dict[str, Any]:
    """One entry of `results`."""
    shown: dict[str, Any] = {"device": outcome.device, "ok": outcome.ok}
    if outcome.error is not None:
        shown["error"] = error_map(outcome.error)
    else:
        shown["result"] = plain(outcome.result)
    return shown


def envelope(outcomes: Iterable[Outcome[Any]]) -> dict[str, Any]:
    """`{"ok", "results"}` over all outcomes; no outcome at all is a success."""
    listed = list(outcomes)
    return {"ok": all(outcome.ok for outcome in listed), "results": [outcome_map(o) for o in listed]}


def plain(value: Any) -> Any:
    """A result as maps, lists and scalars: whatever has a `to_map` is asked for it."""
    if hasattr(value, "to_map"):
        return plain(value.to_map())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return jsonable(value)


def dump_json(value: Any) -> str:
    """One line of JSON that a terminal shows as it is: everything beyond printable ASCII is escaped."""
    return json.dumps(value, ensure_ascii=True, separators=(", ", ": ")).replace("\x7f", "\\u007f")


def worst(outcomes: Iterable[Outcome[Any]]) -> Exit:
    """The highest exit code of all outcomes."""
    return max((outcome.exit for outcome in outcomes), default=Exit.DONE)
