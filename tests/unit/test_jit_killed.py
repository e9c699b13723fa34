"""Runs that are stopped before compiled code is entered, but after their control was looked at."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import pytest

from device.jit.engine import JitEngine
from device.vm.asm import assemble
from device.vm.faults import FaultCode
from device.vm.interpreter.prepared import Prepared
from device.vm.program import Control, Layout, Program, Run, build_memory

SOURCE = "mov r0, 1\nagain: add r0, 1\njlt r0, 100, again\nexit"


def _kill(control: Control) -> None:
    control.kill()


def _expire(control: Control) -> None:
    control.deadline = monotonic() - 1


class SlowJit(JitEngine):
    """Compiling takes so long that somebody stops the run meanwhile."""

    def __init__(self, control: Control, stop: Callable[[Control], None]) -> None:
        super().__init__()
        self._control = control
        self._stop = stop

    def translate(self, prepared: Prepared, pc: int, registers: list[int]) -> None:
        """See InterpreterEngine."""
        super().translate(prepared, pc, registers)
        self._stop(self._control)


@pytest.mark.parametrize(("stop", "detail"), [(_kill, "operator"), (_expire, "deadline")])
def test_a_run_that_is_stopped_while_it_is_compiled(stop: Callable[[Control], None], detail: str) -> None:
    program = Program(assemble(SOURCE), Layout.TEXT, bytes(32))
    control = Control(monotonic() + 60)
    engine = SlowJit(control, stop)
    outcome = engine.run(program, Run(build_memory(program, bytearray()), control=control))
    assert outcome.fault is not None
    assert (outcome.fault.code, outcome.fault.detail) == (FaultCode.KILLED, detail)
    assert JitEngine().run(program, Run(build_memory(program, bytearray()))).r0 == 100
