"""A machine with what it has loaded: pieces of code, and the windows of guest memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from device.jit.buffers import SharedBuffer
from device.jit.compile import Compiled
from device.jit.errors import JitError
from device.jit.layout import CODE_BASE, CODE_SIZE, PAGE
from device.jit.machine import Installed, Machine
from device.jit.watchdog import Watchdog
from device.vm.memory import WINDOWS, GuestMemory, Region, window_of

_ALIGNMENT: Final = 16


@dataclass(frozen=True, slots=True)
class Loaded:
    """Code that is in the machine at `base`; `entry` is the address to call."""

    base: int
    entry: int


class Processor:
    """One machine. It belongs to the thread that made it, or adopted it last."""

    def __init__(self, watchdog: Watchdog, machine: Callable[[Watchdog], Machine] = Machine) -> None:
        self.machine = machine(watchdog)
        self._pieces: dict[int, tuple[Compiled, Installed]] = {}
        self._next = CODE_BASE
        self._windows: dict[int, SharedBuffer] = {}

    def adopt(self) -> None:
        """Make it the calling thread's."""
        self.machine.adopt()

    def close(self) -> None:
        """Free the machine."""
        self.machine.close()
        self._pieces.clear()
        self._windows.clear()

    def load(self, compiled: Compiled) -> Loaded:
        """Bring code into the machine, if it is not there."""
        found = self._pieces.get(id(compiled))
        if found is None:
            found = self._pieces[id(compiled)] = compiled, self._install(compiled.code.text)
        installed = found[1]
        return Loaded(installed.base, installed.entry)

    def _install(self, text: bytes) -> Installed:
        size = -(-len(text) // _ALIGNMENT) * _ALIGNMENT
        if size > CODE_SIZE:
            raise JitError(f"{len(text)} bytes of code")
        if self._next + size > CODE_BASE + CODE_SIZE:  # everything goes, what is still used comes back
            for _, installed in self._pieces.values():
                self.machine.remove(installed)
            self._pieces.clear()
            self._next = CODE_BASE
        base, self._next = self._next, self._next + size
        return self.machine.install(text, base)

    @contextmanager
    def memory(self, memory: GuestMemory) -> Iterator[None]:
        """Let code reach a run's regions: their bytes are in the machine's windows for as long."""
        held: list[tuple[Region, bytearray | memoryview]] = []
        for region in memory.regions:
            data = region.data
            place = window_of(region.origin)
            offset = region.origin - WINDOWS[place]
            view = self._window(place, offset + len(data)).data[offset : offset + len(data)]
            view[:] = data
            held.append((region, data))
            region.data = view
        try:
            yield
        finally:
            for region, data in held:
                if region.writable:
                    data[:] = region.data
                region.data = data

    def _window(self, place: int, size: int) -> SharedBuffer:
        """The buffer of a window, of at least `size` bytes."""
        buffer = self._windows.get(place)
        if buffer is None or buffer.length < size:
            if buffer is not None:
                self.machine.unmap(WINDOWS[place])
            buffer = self._windows[place] = SharedBuffer(-(-size // PAGE) * PAGE)
            self.machine.map(WINDOWS[place], buffer, writable=True)
        return buffer
