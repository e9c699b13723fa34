"""What the steps ahead do with registers: how often a value is still read, and which halves are live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from device.vm.analysis.lift import Block
from device.vm.analysis.liveness import BOTH, before
from device.vm.decode import (
    ALU,
    ATOMIC_FETCH,
    BRANCH,
    CALL_HELPER,
    CALL_LOCAL,
    COMPARE_EXCHANGE,
    CONSTANT,
    DATA_ADDRESS,
    EXIT,
    JUMP,
    LOAD,
    LOAD_SIGNED,
    RODATA_ADDRESS,
    STORE,
    Step,
)
from device.vm.interpreter.expressions import ONE_OPERAND
from device.vm.isa import FRAME_POINTER, REGISTERS

CONSTANTS: Final = frozenset({CONSTANT, DATA_ADDRESS, RODATA_ADDRESS})
"""Steps that set a register to what is known when they are written."""

ARGUMENTS: Final = (1, 2, 3, 4, 5)
"""The registers that helpers get."""

MANY: Final = 1 << 20
"""Uses of a register that is live behind its block."""


class Ahead:
    """Looks ahead in the blocks of one unit.

    `needs` gives the halves that a local function reads of its caller; `returned` are the argument registers
    that come back beside r0.
    """

    def __init__(self, needs: Callable[[int], int], returned: tuple[int, ...]) -> None:
        self._needs = needs
        self._returned = returned
        self._halves = sum(BOTH[register] for register in returned)

    def look(self, block: Block, live_out: int) -> tuple[list[int], list[list[int]]]:
        """Live halves, and uses of the values in the registers, before every step and at the end."""
        ahead = [MANY if live_out & BOTH[register] else 0 for register in range(REGISTERS)]
        ahead[FRAME_POINTER] = MANY
        live = live_out
        lives, uses = [live], [ahead]
        for _, step in reversed(block.steps):
            dead = step[0] == ALU and not live & BOTH[step[4]]
            live = before(step, live, self._needs, self._halves)
            ahead = list(ahead)
            if not dead:
                for register in self.writes(step):
                    ahead[register] = 0
                for register in self.reads(step):
                    ahead[register] += 1
            lives.append(live)
            uses.append(ahead)
        lives.reverse()
        uses.reverse()
        return lives, uses

    def reads(self, step: Step) -> tuple[int, ...]:
        """The registers that a step reads; one for each time."""
        case, sem, _, _, dst, src, off, _, from_register = step
        if case == ALU and sem in ONE_OPERAND:
            return (src,) if from_register else ()
        if case in (ALU, STORE, BRANCH):
            return (dst, src) if from_register else (dst,)
        if case in (LOAD, LOAD_SIGNED):
            return (src,)
        if case == CALL_HELPER:
            return ARGUMENTS
        if case == CALL_LOCAL:
            return self.arguments(off)
        if case == EXIT:
            return (0, *self._returned)
        if case in CONSTANTS or case == JUMP:
            return ()
        return (0, dst, src) if case == COMPARE_EXCHANGE else (dst, src)

    def arguments(self, target: int) -> tuple[int, ...]:
        """The registers that a local function reads of its caller."""
        needs = self._needs(target)
        return tuple(register for register in range(FRAME_POINTER) if needs & BOTH[register])

    @staticmethod
    def writes(step: Step) -> tuple[int, ...]:
        """The registers that a step writes."""
        case, _, _, _, dst, src, _, _, _ = step
        if case in (ALU, LOAD, LOAD_SIGNED) or case in CONSTANTS:
            return (dst,)
        if case in (CALL_HELPER, COMPARE_EXCHANGE):
            return (0,)
        if case == ATOMIC_FETCH:
            return (src,)
        return (0, *ARGUMENTS) if case == CALL_LOCAL else ()

    def live_before(self, block: Block, live_out: int) -> int:
        """The halves live in front of a block."""
        live = live_out
        for _, step in reversed(block.steps):
            live = before(step, live, self._needs, self._halves)
        return live
