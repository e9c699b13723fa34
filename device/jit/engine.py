"""`jit`: programs as native code of a Cortex-M4, run by Unicorn (engines.md)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from threading import local
from typing import Final

from device.jit.compile import Compiled, Shape
from device.jit.lowering.memory import Place
from device.jit.processor import Processor
from device.jit.translation import NativeTranslation
from device.jit.watchdog import Watchdog
from device.vm.decode import MASK64
from device.vm.interpreter.closures import Closures
from device.vm.interpreter.engine import InterpreterEngine
from device.vm.interpreter.machine import fresh_registers
from device.vm.isa import FRAME_POINTER
from device.vm.memory import STACK_TOP, WINDOWS, GuestMemory, window_of
from device.vm.program import Program, Run

UNLIMITED: Final = 2**32


class JitEngine(InterpreterEngine):
    """Compiled code where it can go on, the exact tier of the interpreter where it cannot.

    A program is compiled when it first runs, for the shape of that run's memory. Each thread that runs
    compiled code has a machine of its own, made by `processor` when it first does.
    """

    name: str = "jit"
    share: int = UNLIMITED

    def __init__(self, processor: Callable[[Watchdog], Processor] = Processor) -> None:
        super().__init__(hot_after=0, background=False)
        self._make_processor = processor
        self._watchdog = Watchdog()
        self._thread = local()

    def key(self, program: Program, run: Run) -> Hashable:
        """What a translation depends on."""
        regions = [(region.origin, region.end, region.writable) for region in run.memory.regions]
        return super().key(program, run), *regions

    def translator(self, closures: Closures, program: Program, run: Run) -> Callable[[], NativeTranslation]:
        """What compiles the program."""
        shape = self.shape(program, run)
        return lambda: NativeTranslation(closures.step, closures.slots, program.entry, shape, self._processor)

    def compile(self, program: Program, run: Run) -> Sequence[Compiled]:
        """What the whole program becomes in such runs, made anew and not kept. Raises EncodingError."""
        closures = Closures(program.text, program.relative_data_base)
        translation = self.translator(closures, program, run)()
        registers = fresh_registers()
        registers[1], registers[2], registers[FRAME_POINTER] = run.r1 & MASK64, run.r2 & MASK64, STACK_TOP
        translation.make(translation.entry_at(program.entry, registers))
        return list(translation.compiled.values())

    def shape(self, program: Program, run: Run) -> Shape:
        """What code is compiled for in such runs."""
        stack = run.memory.stack
        return Shape(_places(run.memory), stack.frame_size, stack.frames, program.relative_data_base)

    def _processor(self) -> Processor:
        processor: Processor | None = getattr(self._thread, "processor", None)
        if processor is None:
            processor = self._thread.processor = self._make_processor(self._watchdog)
        return processor


def _places(memory: GuestMemory) -> tuple[Place | None, ...]:
    """The regions by window, of the stack all frames."""
    places: list[Place | None] = [None] * len(WINDOWS)
    for region in memory.regions:
        places[window_of(region.origin)] = Place(region.origin, region.end, region.writable)
    return tuple(places)
