"""A machine with what it has loaded: pieces of code, and the windows of guest memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
        self.adopt = self.machine.adopt
        """Make it the calling thread's."""
        self._pieces: dict[int, tuple[Compiled, Installed]] = {}
        self._entries: dict[int, int] = {}
        self._next = CODE_BASE
        self._windows: dict[int, SharedBuffer] = {}
        self._shape: tuple[int, ...] = ()
        self._views: tuple[memoryview, ...] = ()
        self._zeros = b""

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

    def lend(self, memory: GuestMemory) -> list[Buffer]:
        """The same until `take_back`, which gets what this returns: what holds the bytes otherwise.

        Of what nobody writes to code has a copy, the bytes stay where they are.
        """
        if memory.shape != self._shape:
            self._arrange(memory)
        views, lent = self._views, []
        for index, region in enumerate(memory.regions):
            view = views[index]
            view[:] = data = region.data
            if not region.fixed:
                region.data = view
            lent.append(data)
        return lent

    def take_back(self, memory: GuestMemory, lent: list[Buffer]) -> None:
        """Have the bytes be where they were before."""
        for index, region in enumerate(memory.regions):
            if not region.fixed:
                data = lent[index]
                data[:] = region.data
                region.data = data

    def lend_new(self, memory: GuestMemory) -> list[Buffer]:
        """`lend` for a run that begins, with a stack of zeros, until `take_back_new`."""
        if memory.shape != self._shape:
            self._arrange(memory)
        views, lent, zeros = self._views, [], self._zeros
        for index, region in enumerate(memory.regions):
            view = views[index]
            data = region.data
            view[:] = data if index else zeros
            if not region.fixed:
                region.data = view
            lent.append(data)
        return lent

    def take_back_new(self, memory: GuestMemory, lent: list[Buffer]) -> None:
        """The same, with other bytes for the stack: nobody has seen them yet."""
        stack = memory.stack
        for index, region in enumerate(memory.regions):
            if region is stack:
                stack.data = bytearray(stack.data)
            elif not region.fixed:
                data = lent[index]
                data[:] = region.data
                region.data = data

    def _arrange(self, memory: GuestMemory) -> None:
        """Find the machine's bytes for regions that are not where the last were."""
        self._views = tuple(self._view(region) for region in memory.regions)
        self._zeros = bytes(len(memory.stack.data))
        self._shape = memory.shape

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
