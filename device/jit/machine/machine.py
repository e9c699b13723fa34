"""The machine that compiled code runs on: Unicorn's Cortex-M4, one for each thread that runs such code.

    machine = Machine(watchdog)
    machine.map(STACK_PAGE, stack, writable=True)
    installed = machine.install(code.text, CODE_BASE)
    stop = machine.run(installed.entry, context_address, context_length, service=service, should_stop=killed)
    if stop.reason is Reason.RETURNED:
        low, high, left = machine.results

What prototypes taught, and what this module therefore does (engines.md, "The Unicorn machine"): hooks and the
buffer's size come before the first mapping; rewritten code has its translations removed; a run enters by the
resident dispatcher and leaves by its SVC; the SVC comes as a raw callback, in which an exception would
vanish, so it is kept and raised after the run. A stop in the middle of an IT block leaves its state behind,
and the next run would skip its first instructions: after anything but a return all registers are set back.

For the author of the lowering and the engine:

- layout.py has the calling convention. `Stop.pc - installed.base` is the offset that `Code.pc_at` takes.
- A machine belongs to the thread that made it or adopted it, and to one run at a time: a service cannot run
  it again.
- The service must not touch the machine, only the mailbox and guest memory. A GuestFault that it raises
  ends the run as FAULTED, with the registers in the Stop; anything else is raised by `run` afterwards.
- `should_stop` is read before the run and every ten milliseconds on the watchdog's thread. It must be quick.
- A poisoned address shows up as MEMORY with that address: recompute the real one from the registers.
- Whatever guest code can reach besides its own regions is a bug of the compiled checks. The pages mapped
  here are the outer wall: they end at multiples of 1 KiB, regions do not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from struct import Struct
from threading import Lock, get_ident
from typing import Final

from device.jit.buffers import SharedBuffer
from device.jit.dispatcher import dispatcher
from device.jit.errors import MachineError
from device.jit.layout import (
    ARGUMENTS,
    CODE_BASE,
    CODE_SIZE,
    DISPATCHER,
    ENTRY,
    NATIVE_END,
    NATIVE_START,
    PAGE,
    REQUEST,
    RESULT,
    STACK_BASE,
    STACK_SIZE,
)
from device.jit.machine.core import PREFETCH_ABORT, READ_EXECUTE, READ_ONLY, READ_WRITE, SVC, Core
from device.jit.stop import RETURNED, Reason, Stop
from device.jit.watchdog import Watchdog
from device.vm.faults import GuestFault

Service = Callable[[int], None]
"""What a request runs, given its number."""

_SVC_SIZE: Final = 2
_ARGUMENTS: Final = Struct("=4I")
_ARGUMENTS_PLACE: Final = 4 * ARGUMENTS
_RESULTS: Final = Struct("=3I")
_RETURNED: Final = Struct("<QI")
_RESULT_PLACE: Final = 4 * RESULT
_ERASED: Final = b"\x00\xde"  # udf #0


@dataclass(frozen=True, slots=True)
class Installed:
    """A piece of code in the machine: `size` bytes at `base`."""

    base: int
    size: int

    @property
    def entry(self) -> int:
        """Its first instruction, to call."""
        return self.base | 1


def no_service(request: int) -> None:
    """The service of code that asks for nothing."""
    raise MachineError(f"request {request}, which nobody serves")


class Machine:
    """One emulated Cortex-M4. Raises MachineError when it is used wrongly, from another thread above all.

    `mailbox` are the words of the mailbox, `bytes` its bytes, `numbers` its pairs of words. The watchdog sets
    `ticked` whenever it looks.
    """

    def __init__(self, watchdog: Watchdog) -> None:
        self._thread = get_ident()
        self._watchdog = watchdog
        # A run that ends while the watchdog asks and stops waits for that: a stop never meets the next run.
        self._looking = Lock()
        self._looked = False
        self._open = True
        self.running = False
        self._finished = False
        self._error: BaseException | None = None
        self._access: tuple[str, int, int] | None = None
        self._trap: int | None = None
        self._singles = 0
        self._told = False
        self._should_stop: Callable[[], bool] | None = None
        self._service: Service = no_service
        self.ticked = False
        self._given = False
        self._again: Callable[[], bool] | None = None
        self._maps: dict[int, SharedBuffer] = {}
        self._pieces: dict[int, Installed] = {}
        self._core = Core(self._on_exception, self._on_invalid)
        self._code = self._map(CODE_BASE, SharedBuffer(CODE_SIZE), READ_EXECUTE)
        native = self._map(STACK_BASE, SharedBuffer(STACK_SIZE + PAGE), READ_WRITE)
        resident = self._map(DISPATCHER, SharedBuffer(PAGE), READ_EXECUTE)
        text = dispatcher()
        resident.data[: len(text)] = text
        self.bytes: memoryview = native.data[STACK_SIZE:]
        self.mailbox: memoryview = self.bytes.cast("I")
        self.numbers: memoryview = self.bytes.cast("Q")
        self._start, self._stop = self._core.start, self._core.stop
        self._reset = self._core.snapshot()
        watchdog.add(self)

    def _map(self, base: int, buffer: SharedBuffer, rights: int) -> SharedBuffer:
        self._core.map(base, buffer.size, buffer.address, rights)
        self._maps[base] = buffer
        return buffer

    def map(self, base: int, buffer: SharedBuffer, *, writable: bool) -> None:
        """Let code reach `buffer` at `base`, whole pages of it. About 50 µs."""
        self._own()
        if base % PAGE or not (base + buffer.size <= NATIVE_START or base >= NATIVE_END):
            raise MachineError(f"guest memory at {base:#x}")
        for other, mapped in self._maps.items():
            if base < other + mapped.size and other < base + buffer.size:
                raise MachineError(f"guest memory at {base:#x} overlaps what is at {other:#x}")
        self._map(base, buffer, READ_WRITE if writable else READ_ONLY)

    def unmap(self, base: int) -> None:
        """Take away what was mapped at `base`."""
        self._own()
        if base not in self._maps or NATIVE_START <= base < NATIVE_END:
            raise MachineError(f"no guest memory at {base:#x}")
        self._core.unmap(base, self._maps.pop(base).size)

    def install(self, text: bytes, base: int) -> Installed:
        """Put code at `base`, a multiple of 4 in the code pages, and forget what was translated there."""
        self._own()
        end = base + len(text)
        if base % 4 or not text or not CODE_BASE <= base < end <= CODE_BASE + CODE_SIZE:
            raise MachineError(f"{len(text)} bytes of code at {base:#x}")
        for piece in self._pieces.values():
            if base < piece.base + piece.size and piece.base < end:
                raise MachineError(f"code at {base:#x} overlaps what is at {piece.base:#x}")
        installed = self._pieces[base] = Installed(base, len(text))
        self._write_code(base, text)
        return installed

    def remove(self, installed: Installed) -> None:
        """Take code away; what still jumps there traps."""
        self._own()
        if self._pieces.get(installed.base) != installed:
            raise MachineError(f"no such code at {installed.base:#x}")
        del self._pieces[installed.base]
        self._write_code(installed.base, (_ERASED * installed.size)[: installed.size])

    def _write_code(self, base: int, text: bytes) -> None:
        offset = base - CODE_BASE
        self._code.data[offset : offset + len(text)] = text
        self._core.forget(base, base + len(text))

    def run(
        self,
        entry: int,
        *words: int,
        service: Service = no_service,
        should_stop: Callable[[], bool] | None = None,
        again: Callable[[], bool] | None = None,
        singles: int = 0,
    ) -> Stop:
        """Call `entry` with up to four words, zero without, and tell how that ended.

        After a return `again` may ask for another round: it may read the results and change entry and
        arguments in the mailbox, and costs less than another run. `singles` VFP registers are told of behind
        the core registers of a Stop. Raises what the service or `again` raised,
        unless it is a GuestFault of the service.
        """
        if get_ident() != self._thread or self.running or not self._open:
            self._own()
        self.mailbox[ENTRY] = entry | 1
        # Without words they are zero, unless the run before was given some, or `again` may have written some.
        given = bool(words) or again is not None
        if given or self._given:
            _ARGUMENTS.pack_into(self.bytes, _ARGUMENTS_PLACE, *words, *(0,) * (4 - len(words)))
            self._given = given
        self._service, self._again, self._should_stop = service, again, should_stop
        self._singles = singles
        if should_stop is not None and should_stop():
            return Stop(Reason.KILLED, pc=entry & ~1)
        self._finished = False
        self.running = True
        if self._watchdog.sleeps:
            self._watchdog.wake()
        try:
            status = self._start()
        finally:
            self.running = False
            if self._looked:
                self._wait_for_watchdog()
        if self._finished:
            if self._told:  # too late
                self._told, self._error = False, None
            return RETURNED
        return self._explain(status)

    def _wait_for_watchdog(self) -> None:
        """It looked at `running` before that became false, or after: then it does not stop anything."""
        with self._looking:
            pass

    @property
    def returned(self) -> tuple[int, int]:
        """The same as a number of 64 bits, low word first, and R2."""
        number, third = _RETURNED.unpack_from(self.bytes, _RESULT_PLACE)
        return number, third

    @property
    def results(self) -> tuple[int, int, int]:
        """R0, R1 and R2 as the entry returned them."""
        low, high, third = _RESULTS.unpack_from(self.bytes, _RESULT_PLACE)
        return low, high, third

    def _on_exception(self, _handle: int, number: int) -> None:
        """The raw callback of SVC, and of what else the core would take an exception for."""
        try:
            if number != SVC:
                self._trap = number
                self._stop()
            elif request := self.mailbox[REQUEST]:
                self._service(request)
            elif self._again is None or not self._again():
                self._finished = True
                self._stop()
        except BaseException as error:  # noqa: BLE001 - whatever it is would vanish here; run raises it
            self._error = error
            self._stop()

    def _on_invalid(self, access: str, address: int, size: int) -> None:
        self._access = (access, address, size)

    def _explain(self, status: int) -> Stop:
        """What ended a run that did not return; the registers are as new afterwards."""
        registers = self._core.registers()
        registers += tuple(self._core.single(number) for number in range(self._singles))
        self._reset()
        error, self._error = self._error, None
        trap, self._trap = self._trap, None
        invalid, self._access = self._access, None
        told, self._told = self._told, False
        pc = registers[15]
        if isinstance(error, GuestFault):
            return Stop(Reason.FAULTED, pc - _SVC_SIZE, registers=registers, fault=error)
        if error is not None:
            raise error
        if invalid is not None:
            access, address, size = invalid
            return Stop(Reason.MEMORY, pc, address, size, access, registers)
        if trap == PREFETCH_ABORT:
            return Stop(Reason.MEMORY, pc, pc, _SVC_SIZE, "fetch", registers)
        reason = Reason.KILLED if told and not status and trap is None else Reason.TRAPPED
        return Stop(reason, pc, registers=registers)

    def registers(self) -> tuple[int, ...]:
        """R0 to R15 as the last run left them: after a return, what a test of the convention looks at."""
        return self._core.registers()

    def native_word(self, address: int) -> int:
        """A word of the native stack or the mailbox."""
        offset = address - STACK_BASE
        if offset % 4 or not 0 <= offset < STACK_SIZE + PAGE:
            raise MachineError(f"no native word at {address:#x}")
        return int.from_bytes(self._maps[STACK_BASE].data[offset : offset + 4], "little")

    def set_registers(self, values: Mapping[int, int]) -> None:
        """Give core registers values before a run; the dispatcher changes R0 to R3, R12 and SP only."""
        self._own()
        for register, value in values.items():
            self._core.set_register(register, value)

    def stop_if_due(self) -> None:
        """The watchdog's question; a `should_stop` that raises stops the run, which then raises it."""
        with self._looking:
            self._looked = self.ticked = True
            try:
                if self.running and self._should_stop is not None and self._is_due(self._should_stop):
                    self._told = True
                    self._stop()
            finally:
                self._looked = False

    def _is_due(self, should_stop: Callable[[], bool]) -> bool:
        try:
            return should_stop()
        except Exception as error:  # noqa: BLE001 - it is the run's, not the watchdog's
            self._error = error
            return True

    def adopt(self) -> None:
        """Make it the calling thread's: whoever had it before uses it no longer, and it does not run."""
        if self.running:
            raise MachineError("the machine is running")
        self._thread = get_ident()

    def close(self) -> None:
        """Free the machine; nothing may be asked of it afterwards."""
        self._own()
        self._watchdog.remove(self)
        self._open = False
        del self._start, self._stop, self._reset, self._core  # they hold each other, and Unicorn
        self._maps.clear()

    def _own(self) -> None:
        """Refuse another thread, a run inside a run, and a machine that is closed."""
        if get_ident() != self._thread:
            raise MachineError("a machine belongs to the thread that made it")
        if self.running:
            raise MachineError("the machine is running")
        if not self._open:
            raise MachineError("the machine is closed")
