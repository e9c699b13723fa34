"""Unicorn's Cortex-M4 with types, and with the two calls of every run bound for speed.

This is the one place that knows the library. The order matters (engines.md, "The Unicorn machine"): model and
buffer size before the first mapping, hooks before the first translation.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Final

from unicorn import arm_const as arm
from unicorn import unicorn_const as const
from unicorn.unicorn_py3.unicorn import Uc, uclib

from device.jit.errors import MachineError
from device.jit.layout import DISPATCHER

SVC: Final = 2
PREFETCH_ABORT: Final = 3
"""Numbers of exceptions; SVC comes with the pc behind it."""

READ_ONLY: Final = const.UC_PROT_READ
READ_WRITE: Final = const.UC_PROT_READ | const.UC_PROT_WRITE
READ_EXECUTE: Final = const.UC_PROT_READ | const.UC_PROT_EXEC

_TCG_BUFFER: Final = 1 << 20
_REGISTERS: Final = tuple(getattr(arm, f"UC_ARM_REG_R{n}") for n in range(16))
_SINGLES: Final = tuple(getattr(arm, f"UC_ARM_REG_S{n}") for n in range(32))
_CALLBACK: Final = ctypes.CFUNCTYPE(None, ctypes.c_uint8, ctypes.c_uint32)
"""Of (handle, number, data of the user's): of the handle one byte, which costs no new object, and no data."""
_STORES: Final = frozenset({const.UC_MEM_WRITE, const.UC_MEM_WRITE_UNMAPPED, const.UC_MEM_WRITE_PROT})
_FETCHES: Final = frozenset({const.UC_MEM_FETCH, const.UC_MEM_FETCH_UNMAPPED, const.UC_MEM_FETCH_PROT})

OnException = Callable[[int, int], None]
"""(nothing of use, number of the exception): must not raise, an exception in it would vanish."""
OnInvalid = Callable[[str, int, int], None]
"""("load", "store" or "fetch", address, size) of an access outside what is mapped."""


class Core:
    """One emulated core. `start` runs from the dispatcher until something stops it; `stop` stops it.

    `start` releases the interpreter lock and returns Unicorn's status, 0 for a stop. `stop` may come from any
    thread; it is lost when the core has not started yet.
    """

    def __init__(self, on_exception: OnException, on_invalid: OnInvalid) -> None:
        self._uc = Uc(const.UC_ARCH_ARM, const.UC_MODE_THUMB | const.UC_MODE_MCLASS)
        self._uc.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M4)
        self._uc.ctl_set_tcg_buffer_size(_TCG_BUFFER)
        # Functions of our own, with arguments converted once; `stop` is short and keeps the lock.
        path = uclib._name  # noqa: SLF001
        library = ctypes.CDLL(path)
        handle = ctypes.c_void_p(self._uc._uch.value)  # noqa: SLF001
        start, stop = library.uc_emu_start, ctypes.PyDLL(path).uc_emu_stop
        begin = ctypes.c_uint64(DISPATCHER | 1)  # no `until`, no timeout, no count: None is a cheap zero
        self.start: Callable[[], int] = partial(start, handle, begin, None, None, None)
        self.stop: Callable[[], int] = partial(stop, handle)
        self._callback = _CALLBACK(on_exception)
        hook, everywhere = ctypes.c_size_t(), (ctypes.c_uint64(1), ctypes.c_uint64(0))
        kind = ctypes.c_int(const.UC_HOOK_INTR)
        status = library.uc_hook_add(handle, ctypes.byref(hook), kind, self._callback, None, *everywhere)
        if status:
            raise MachineError(f"Unicorn refused the hook (error {status})")
        self._uc.hook_add(const.UC_HOOK_MEM_INVALID, _reporter(on_invalid))

    def on_block(self, report: Callable[[int, int], None]) -> None:
        """Tell `report` of every block that is executed: address and bytes. It must not raise."""
        self._uc.ctl_flush_tb()  # what was translated before would not tell
        self._uc.hook_add(const.UC_HOOK_BLOCK, lambda _uc, address, size, _data: report(address, size))

    def map(self, base: int, size: int, pointer: int, rights: int) -> None:
        """Let the core see the `size` bytes at `pointer`, an address of this process, at `base`."""
        self._uc.mem_map_ptr(base, size, rights, pointer)

    def unmap(self, base: int, size: int) -> None:
        """Take them away."""
        self._uc.mem_unmap(base, size)

    def forget(self, start: int, end: int) -> None:
        """Drop the translations of [start, end): rewriting code does not."""
        self._uc.ctl_remove_cache(start, end)

    def registers(self) -> tuple[int, ...]:
        """R0 to R15."""
        return tuple(self._uc.reg_read(register) for register in _REGISTERS)

    def single(self, number: int) -> int:
        """A VFP register, S0 to S31."""
        return int(self._uc.reg_read(_SINGLES[number]))

    def set_register(self, register: int, value: int) -> None:
        """Give a core register a value."""
        self._uc.reg_write(_REGISTERS[register], value)

    def snapshot(self) -> Callable[[], None]:
        """What sets all registers, hidden state of IT blocks included, back to what they are now."""
        context = self._uc.context_save()
        return lambda: self._uc.context_restore(context)


def _reporter(on_invalid: OnInvalid) -> Callable[[Uc, int, int, int, int, object], bool]:
    def report(_uc: Uc, kind: int, address: int, size: int, _value: int, _data: object) -> bool:
        on_invalid("store" if kind in _STORES else "fetch" if kind in _FETCHES else "load", address, size)
        return False

    return report
