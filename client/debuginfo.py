"""Debug information stays with the operator (client.md, Faults).

A slot holds the stripped image; the object it was made from is kept in a local cache, and on the file
server as `<sha256 of the image>.debug.o` for other operators. Anybody can write there, so an object is
used only when packaging it again gives exactly the slot's image.

What packages and loads is imported only then: most runs end without a fault.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from client.connection import Connection
from client.publish import put_new
from client.steps import Note, ignore_note
from device.errors import MicroBpfError, RemoteError

if TYPE_CHECKING:
    from device.vm.program import Program

MAX_OBJECT: Final = 64 * 1024
"""Bytes of a debug object: what the file server takes for a file."""

_CACHED_FILES: Final = 256


@dataclass(frozen=True, slots=True)
class DebugFiles:
    """The places where debug objects are. `cache` None keeps none, `connection` None asks no server."""

    cache: Path | None
    connection: Connection | None = None
    server: str = ""

    async def keep(self, image: bytes, built: bytes, *, on_note: Note = ignore_note) -> None:
        """Remember the object behind an image. Nothing depends on it: a failure is a note at most."""
        if built == image:
            return
        name = file_name(sha256(image).digest())
        if self.cache is not None:
            _write(self.cache, name, built)
        if self.connection is None:
            return
        if len(built) > MAX_OBJECT:
            on_note(f"note: the debug object is larger than {MAX_OBJECT} bytes and stays on this machine")
            return
        try:
            await put_new(self.connection, self.server, name, built)
        except RemoteError as error:
            if error.code != "name-taken":
                on_note(f"note: the debug object was not published: {error.detail}")
        except MicroBpfError as error:
            on_note(f"note: the debug object was not published: {error.detail}")

    async def find(self, digest: bytes, layout: str) -> bytes | None:
        """The object that packages to the image with this digest; None when there is none to be had."""
        name = file_name(digest)
        local = _read(self.cache / name) if self.cache is not None else None
        if local is not None and gives(local, digest, layout):
            return local
        if self.connection is None:
            return None
        try:
            remote = await self.connection.fetch(f"{self.server}/{name}", MAX_OBJECT)
        except MicroBpfError:
            return None
        if not gives(remote, digest, layout):
            return None
        if self.cache is not None:
            _write(self.cache, name, remote)
        return remote

    async def source_of(self, fault: Mapping[str, Any], digest: bytes, layout: str) -> dict[str, Any]:
        """The fault with `function` and `source` where the object behind the slot's image knows them."""
        found = dict(fault)
        pc = found.get("insn")
        if (found.get("source") and found.get("function")) or not isinstance(pc, int):
            return found
        built = await self.find(digest, layout)
        program = None if built is None else _program(built, layout)
        if program is not None and 0 <= pc <= program.slots:
            places = {"function": program.function_at(pc), "source": program.source_at(pc)}
            found.update({key: value for key, value in places.items() if value and not found.get(key)})
        return found


def file_name(digest: bytes) -> str:
    """The name of the debug object of the image with this SHA-256."""
    return f"{digest.hex()}.debug.o"


def gives(built: bytes, digest: bytes, layout: str) -> bool:
    """Whether packaging `built` gives exactly the image with this digest."""
    from client.image import package

    try:
        return sha256(package(built, layout)).digest() == digest
    except MicroBpfError:
        return False


def _program(built: bytes, layout: str) -> Program | None:
    from client.image import load, package, with_lines

    try:
        return with_lines(load(package(built, layout)), built)
    except MicroBpfError:
        return None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _write(folder: Path, name: str, content: bytes) -> None:
    """Put a file into the cache by rename; the oldest make room. One that cannot be written stays empty."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{name}.{id(content):x}"
        partial.write_bytes(content)
        partial.replace(folder / name)
        kept = sorted(folder.glob("*.debug.o"), key=lambda path: path.stat().st_mtime)
        for path in kept[:-_CACHED_FILES]:
            path.unlink(missing_ok=True)
