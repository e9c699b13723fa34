"""`/store/global` and `/store/slots/{n}`: the key-value stores (helpers.md section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiocoap import Code, Message

from device.api import StoreListing, shown_key
from device.errors import MalformedRequest
from device.resource import Transfers
from device.server.base import MapResource, answer, answer_format, body
from device.storage.stores import MemoryStore

_U32: Final = 0xFFFFFFFF
_MAX_BODY: Final = 4096


class StoreResource(MapResource):
    """GET and PUT of one store."""

    rt = "micro-bpf.store"
    observable = True
    max_body = _MAX_BODY

    def __init__(self, transfers: Transfers, store: MemoryStore) -> None:
        super().__init__(transfers)
        self._store = store
        self._told: dict[int, int] | None = None
        self._apart = False

    async def render_get(self, request: Message) -> Message:
        """The entries, in ascending order of their keys."""
        content_format = answer_format(request)
        entries = self._store.entries()
        if request.opt.observe == 0:
            self._tell(entries)
        shown = {str(key): value for key, value in entries.items()}
        return answer(StoreListing(self._store.capacity, shown), content_format)

    async def render_put(self, request: Message) -> Message:
        """Set entries, delete those that are null; all or nothing."""
        self._store.update(changes_of(body(request)))
        self.poll()
        return Message(code=Code.CHANGED)

    def poll(self) -> None:
        """Tell observers, if the store is not what they were last told: programs write to it as well."""
        if self._told is None or (self._told == self._store.entries() and not self._apart):
            return
        # Each of them reads the store when its turn comes, and is then up to date again.
        self._told = None
        self._apart = False
        self.updated_state()

    def _tell(self, entries: dict[int, int]) -> None:
        """Remember what an observer gets. One that came during a run may know more than the others do."""
        self._apart = self._apart or (self._told is not None and self._told != entries)
        self._told = entries


def changes_of(value: Any) -> dict[int, int | None]:
    """The changes that a PUT asks for, checked. Raises MalformedRequest that names the key."""
    if not isinstance(value, Mapping):
        raise MalformedRequest("expected a map of keys and values")
    return {_key(key): _value(number, key) for key, number in value.items()}


def _key(key: Any) -> int:
    """A key as decimal text without leading zeros, so that no two texts are the same key."""
    if isinstance(key, str) and key.isascii() and key.isdigit() and len(key) <= 10:
        number = int(key)
        if number <= _U32 and str(number) == key:
            return number
    shown = shown_key(key)
    raise MalformedRequest(f"{shown!r} is no key", where=shown, hint="decimal text, from 0 to 4294967295")


def _value(value: Any, key: str) -> int | None:
    if value is None or (type(value) is int and 0 <= value <= _U32):
        return value
    raise MalformedRequest(
        f"the value of {key} is no 32-bit number", where=key, hint="0 to 4294967295, or null"
    )
