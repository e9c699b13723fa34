"""Bytes that Python and emulated code share: anonymous mmaps, so that their address never moves."""

from __future__ import annotations

import ctypes
import mmap

from device.jit.errors import MachineError
from device.jit.layout import PAGE


class SharedBuffer:
    """`length` bytes, zero at first, that a machine can map.

    `data` is a memoryview of exactly these bytes: what a guest memory Region takes as its data. `size` is
    what is mapped, whole pages; the bytes behind `length` are there for the machine and for nobody else.
    The same buffer may be mapped in several machines at once.
    """

    __slots__ = ("_mmap", "_pin", "address", "data", "length", "size")

    def __init__(self, length: int) -> None:
        if length < 1:
            raise MachineError(f"a shared buffer of {length} bytes")
        self.length = length
        self.size = -(-length // PAGE) * PAGE
        self._mmap = mmap.mmap(-1, self.size)
        # The pin keeps the mmap from ever being closed under a machine.
        self._pin = ctypes.c_char.from_buffer(self._mmap)
        self.address = ctypes.addressof(self._pin)
        self.data = memoryview(self._mmap)[:length]
