"""The JIT between sentinels: what compiled code must leave as it is, and what it must not take for granted.

Before each entry all registers that have no meaning there are filled with rubbish, so code that reads what
it never wrote shows it. Behind a return those that the calling convention (device/jit/layout.py) preserves
have to be what they were, and SP where it was. At a request SP has to be in the native stack, at a word.
Of the machine's own pages that may be written to, nothing changes where code has no business: deep in the
native stack, and far up in the mailbox.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from unicorn import arm_const

from device.jit.engine import JitEngine
from device.jit.layout import MAILBOX, PAGE, STACK_BASE, STACK_SIZE
from device.jit.machine import Machine, Service
from device.jit.machine.machine import no_service
from device.jit.processor import Processor
from device.jit.stop import RETURNED, Stop
from device.jit.watchdog import Watchdog

CORE: Final = {number: 0xC0DE0000 + number for number in range(4, 12)}
"""R4 to R11: the callee's to preserve."""
SINGLES: Final = {number: 0x7FA00000 + number for number in range(32)}
"""All of S0 to S31, bit patterns of signalling NaNs; from S16 on they are the callee's to preserve."""
PRESERVED: Final = 16
RUBBISH: Final = {14: 0xBADBAD01}
_DEEP: Final = slice(0, STACK_SIZE - 4096)
_FAR: Final = slice(STACK_SIZE + PAGE // 2, STACK_SIZE + PAGE)
"""Bytes of the native stack and the mailbox that nobody uses: eight frames take less than 1 KiB."""
_SINGLE: Final = tuple(getattr(arm_const, f"UC_ARM_REG_S{number}") for number in range(32))
_SP: Final = 13


class Clobbered(Exception):
    """Compiled code did not keep to the calling convention."""


class WatchedMachine(Machine):
    """A machine that looks at its registers before and behind each run.

    Of the runs that were `begun` so many `ended` with a return.
    """

    def __init__(self, watchdog: Watchdog) -> None:
        super().__init__(watchdog)
        self.begun = 0
        self.ended = 0
        self._own_pages = self._maps[STACK_BASE].data
        self._untouched = [(part, _pattern(part)) for part in (_DEEP, _FAR)]
        for part, pattern in self._untouched:
            self._own_pages[part] = pattern

    def run(self, entry: int, *words: int, service: Service = no_service, **given: Any) -> Stop:
        """See Machine. Raises Clobbered."""
        uc = self._core._uc
        self.set_registers(CORE | RUBBISH)
        for number, value in SINGLES.items():
            uc.reg_write(_SINGLE[number], value)
        self.begun += 1
        stop = super().run(entry, *words, service=partial(self._serve, service), **given)
        if any(self._own_pages[part] != pattern for part, pattern in self._untouched):
            raise Clobbered("the machine's own memory was written to")
        if stop is RETURNED:
            self.ended += 1
            self._look()
        return stop

    def _serve(self, service: Service, number: int) -> None:
        pointer = self._core._uc.reg_read(arm_const.UC_ARM_REG_SP)
        if pointer % 4 or not STACK_BASE <= pointer <= MAILBOX:
            raise Clobbered(f"SP is {pointer:#x} at request {number}")
        service(number)

    def _look(self) -> None:
        registers = self.registers()
        found = {number: registers[number] for number in CORE}
        if found != CORE:
            raise Clobbered(f"core registers behind a return: {_hex(found)}")
        if registers[_SP] != MAILBOX:
            raise Clobbered(f"SP is {registers[_SP]:#x} behind a return, not {MAILBOX:#x}")
        kept = {number: self._core.single(number) for number in SINGLES if number >= PRESERVED}
        if any(SINGLES[number] != value for number, value in kept.items()):
            raise Clobbered(f"VFP registers behind a return: {_hex(kept)}")


def _pattern(part: slice) -> bytes:
    size: int = part.stop - part.start
    return b"own!" * (size // 4)


def _hex(registers: dict[int, int]) -> str:
    return ", ".join(f"{number}: {value:#x}" for number, value in registers.items())


class WatchedJit(JitEngine):
    """The JIT on such machines."""

    def __init__(self) -> None:
        super().__init__(partial(Processor, machine=WatchedMachine), machines=1)
