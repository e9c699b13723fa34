"""A machine with what it has loaded: pieces of code, and the windows of guest memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from device.jit.buffers import SharedBuffer
from device.jit.compile import Compiled
from device.jit.errors import JitError
from device.jit.layout import CODE_BASE, CODE_SIZE, PAGE
from device.jit.machine import Installed, Machine
from device.jit.watchdog import Watchdog
from device.vm.memory import WINDOWS, Buffer, GuestMemory, Region, window_of

_ALIGNMENT: Final = 16


class Processor:
    """One machine. It belongs to the thread that made it, or adopted it last."""

    def __init__(self, watchdog: Watchdog, machine: Callable[[Watchdog], Machine] = Machine) -> None:
        self.machine = machine(watchdog)
        self._pieces: dict[int, tuple[Compiled, Installed]] = {}
        self._entries: dict[int, int] = {}
        self._next = CODE_BASE
        self._windows: dict[int, SharedBuffer] = {}
        self._shape: tuple[int, ...] = ()
        self._views: tuple[memoryview, ...] = ()

    def adopt(self) -> None:
        """Make it the calling thread's."""
        self.machine.adopt()

    def close(self) -> None:
        """Free the machine."""
        self.machine.close()
        self._pieces.clear()
        self._entries.clear()
        self._views = ()
        self._windows.clear()

    def load(self, compiled: Compiled) -> int:
        """Bring code into the machine, if it is not there; the address to call."""
        entry = self._entries.get(id(compiled))
        if entry is None:
            installed = self._install(compiled.code.text)
            self._pieces[id(compiled)] = compiled, installed
            entry = self._entries[id(compiled)] = installed.entry
        return entry

    def _install(self, text: bytes) -> Installed:
        size = -(-len(text) // _ALIGNMENT) * _ALIGNMENT
        if size > CODE_SIZE:
            raise JitError(f"{len(text)} bytes of code")
        if self._next + size > CODE_BASE + CODE_SIZE:  # everything goes, what is still used comes back
            for _, installed in self._pieces.values():
                self.machine.remove(installed)
            self._pieces.clear()
            self._entries.clear()
            self._next = CODE_BASE
        base, self._next = self._next, self._next + size
        return self.machine.install(text, base)

    @contextmanager
    def memory(self, memory: GuestMemory) -> Iterator[None]:
        """Let code reach a run's regions: their bytes are in the machine's windows for as long."""
        lent = self.lend(memory)
        try:
            yield
        finally:
            self.take_back(memory, lent)

    def lend(self, memory: GuestMemory) -> Sequence[Buffer]:
        """The same until `take_back`, which gets what this returns: what holds the bytes otherwise."""
        if memory.shape != self._shape:
            self._views = tuple(self._view(region) for region in memory.regions)
            self._shape = memory.shape
        lent = []
        for region, view in zip(memory.regions, self._views, strict=True):
            data = region.data
            view[:] = data
            region.data = view
            lent.append(data)
        return lent

    def take_back(self, memory: GuestMemory, lent: Sequence[Buffer]) -> None:
        """Have the bytes be where they were before."""
        for region, data in zip(memory.regions, lent, strict=True):
            if region.writable:
                data[:] = region.data
            region.data = data

    def _view(self, region: Region) -> memoryview:
        """The machine's bytes for a region."""
        place = window_of(region.origin)
        offset, size = region.origin - WINDOWS[place], len(region.data)
        return self._window(place, offset + size).data[offset : offset + size]

    def _window(self, place: int, size: int) -> SharedBuffer:
        """The buffer of a window, of at least `size` bytes."""
        buffer = self._windows.get(place)
        if buffer is None or buffer.length < size:
            if buffer is not None:
                self.machine.unmap(WINDOWS[place])
            buffer = self._windows[place] = SharedBuffer(-(-size // PAGE) * PAGE)
            self.machine.map(WINDOWS[place], buffer, writable=True)
        return buffer
