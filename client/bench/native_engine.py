"""Machines and engines of the evaluation alone: timed, counted, without checks, and native code beside them.

All code, compiled or native, runs on the same machine with the same memory; what is timed is its run there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import median
from time import thread_time
from typing import Any, Final

from client.bench.native import Native
from device.jit.compile import Shape
from device.jit.engine import JitEngine
from device.jit.layout import CODE_BASE, FREE
from device.jit.machine import Machine
from device.jit.processor import Processor
from device.jit.stop import Reason, Stop
from device.jit.watchdog import Watchdog
from device.vm.program import Outcome, Program, Run

MakeMachine = Callable[[Watchdog], Machine]


_ASKED: Final = 101
_LEAST_S: Final = 1e-7


class TimedMachine(Machine):
    """A machine that knows the processor time of its runs; `rounds` counts them.

    What asking for the time takes, as long as a short run where that is a call of the system, is taken off.
    """

    def __init__(self, watchdog: Watchdog) -> None:
        super().__init__(watchdog)
        self._clock_cost = median(-(thread_time() - thread_time()) for _ in range(_ASKED))
        self.seconds = 0.0
        self.rounds = 0

    def run(self, entry: int, *words: int, **rest: Any) -> Stop:
        """See Machine."""
        start = thread_time()
        stop = super().run(entry, *words, **rest)
        self.seconds += max(thread_time() - start - self._clock_cost, _LEAST_S)
        self.rounds += 1
        return stop


class BenchJit(JitEngine):
    """The JIT, for one thread, on a machine that tells more; with `checked` false it leaves out its tests."""

    def __init__(self, machine: MakeMachine = TimedMachine, *, checked: bool = True) -> None:
        super().__init__(self._watched)
        self._make_machine = machine
        self._checked = checked
        self.machine: Machine | None = None
        self.name = "jit" if checked else "jit, unchecked"

    def _watched(self, watchdog: Watchdog) -> Processor:
        made = Processor(watchdog, machine=self._make_machine)
        self.machine = made.machine
        return made

    def shape(self, program: Program, run: Run) -> Shape:
        """See JitEngine."""
        return replace(super().shape(program, run), checked=self._checked)

    def forget_all(self) -> None:
        """Know no program any more; the machine stays."""
        with self._lock:
            for key in list(self._programs):
                self.drop(key)


class NativeEngine:
    """Native code as if it were an engine. It runs what it was made with, whatever program it is given."""

    def __init__(self, native: Native, machine: MakeMachine = TimedMachine) -> None:
        self.name = f"native-{native.level} by {native.compiler}"
        self.native = native
        self._watchdog = Watchdog()
        self._processor = Processor(self._watchdog, machine=machine)
        self.machine: Machine = self._processor.machine
        self.machine.install(native.text, CODE_BASE)

    def run(self, program: Program, run: Run) -> Outcome:  # noqa: ARG002 - it has a program of its own
        """Call it with the context and its length; it counts no instructions and knows no budget."""
        machine = self.machine

        def service(helper: int) -> None:
            one, above_one, two, above_two = machine.mailbox[FREE : FREE + 4]
            result = run.call_helper(helper, one | above_one << 32, two | above_two << 32, 0, 0, 0)
            machine.mailbox[FREE], machine.mailbox[FREE + 1] = result & 0xFFFFFFFF, result >> 32 & 0xFFFFFFFF

        with self._processor.memory(run.memory):
            stop = machine.run(self.native.entry, run.r1, 0, run.r2, 0, service=service)
        if stop.reason is not Reason.RETURNED:
            return Outcome(None, stop.fault.record(0) if stop.fault else None, 0)
        low, high, _ = machine.results
        return Outcome(low | high << 32, None, 0)

    def close(self) -> None:
        """Free the machine."""
        self.machine.close()
        self._watchdog.close()


def beside(program: Program, native: Native) -> Program:
    """A program whose memory is what native code needs: its constants are where .rodata is."""
    return replace(program, rodata=native.rodata, data=b"", bss_size=0)
