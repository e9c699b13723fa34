"""Small functions that only compute, written where they are called: a call costs more than they do.

Nothing in them can end a run, so that nobody sees whose frame it is: a block with such calls is charged at
its beginning, as others are, and left there where the budget does not last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from device.vm.analysis.lift import RETURN, UNIT_LIMIT, Block, Unit
from device.vm.decode import ALU, CALL_LOCAL, CONSTANT, DATA_ADDRESS, EXIT, JUMP, RODATA_ADDRESS, Step
from device.vm.isa import FRAME_POINTER, Sem

BODY_LIMIT: Final = 32
"""Instructions of a function that is written where it is called, with those that it calls."""

ENTERING: Final[Step] = (JUMP, Sem.JA, 64, 0, 0, 0, 0, 1, False)
"""Stands for the call: it costs an instruction and needs a frame."""

LEAVING: Final[Step] = (JUMP, Sem.JA, 64, 0, 0, 0, 0, 2, False)
"""Stands for the function's exit: it costs an instruction."""

Steps = list[tuple[int, Step]]

_CONSTANTS: Final = frozenset({CONSTANT, DATA_ADDRESS, RODATA_ADDRESS})
_MOVES: Final = frozenset({Sem.MOV, Sem.MOVSX8, Sem.MOVSX16, Sem.MOVSX32})
_DIVISIONS: Final = frozenset({Sem.DIV, Sem.MOD, Sem.SDIV, Sem.SMOD})
_SAVED: Final = 6
"""The first register that a function has to leave to its caller as it was."""


@dataclass(frozen=True, slots=True)
class Body:
    """What stands for a call, behind ENTERING, and how many frames below the caller's it needs."""

    steps: Steps
    frames: int


class Bodies:
    """The bodies of the functions of a text, by their first slot; None for those that have to be called.

    A function has one if it is one block, can neither fault nor know its frame, and writes of the registers
    that it has to preserve no more than there are `spare` ones to have instead. Functions that it calls are
    in its body, as far as `frames` suffice. `divides` says whether it may divide 64 bits.
    """

    def __init__(
        self,
        unit_at: Callable[[int], Unit],
        spare: Sequence[int] = (),
        frames: int = 1,
        *,
        divides: bool = True,
    ) -> None:
        self._unit_at = unit_at
        self._spare = spare
        self._frames = frames
        self._divides = divides
        self._found: dict[int, Body | None] = {}

    def at(self, start: int) -> Body | None:
        """The body of the function at a slot."""
        if start not in self._found:
            self._found[start] = self._body(start, self._spare, self._frames)
        return self._found[start]

    def _body(self, start: int, spare: Sequence[int], frames: int) -> Body | None:
        unit = self._unit_at(start)
        block = unit.blocks[0]
        if not frames or block.end != RETURN or len(block.steps) > BODY_LIMIT or len(unit.blocks) > 1:
            return None
        names = list(range(FRAME_POINTER))  # what stands for each register: itself, or a spare one
        found: Steps = []
        below = 0
        own = len({step[4] for _, step in block.steps if step[0] != CALL_LOCAL and step[4] >= _SAVED})
        for pc, step in block.steps:
            if step[0] == CALL_LOCAL:
                body = self._body(step[6], spare[own:], frames - 1)
                if body is None:
                    return None
                below = max(below, body.frames)
                found.append((pc, ENTERING))
                found += [(at, _renamed(inner, names)) for at, inner in body.steps]
            elif step[0] == EXIT:
                found.append((pc, LEAVING))
            else:
                if not self._computes(step) or not _kept(step, names, spare[:own]):
                    return None
                found.append((pc, _renamed(step, names)))
            if len(found) > BODY_LIMIT:
                return None  # at once: others may call this function, and what it calls, again and again
        return Body(found, 1 + below)

    def _computes(self, step: Step) -> bool:
        """Whether a step does nothing but give a register a value, from others than r10."""
        case, sem, width, _, _, src, _, _, from_register = step
        if case in _CONSTANTS:
            return True
        if case != ALU or (from_register and src == FRAME_POINTER):
            return False
        return self._divides or sem not in _DIVISIONS or width == 32


def _kept(step: Step, names: list[int], spare: Sequence[int]) -> bool:
    """Have a step write another register than the caller's; False where that is not possible.

    A preserved register that was not written yet is the caller's: to change it, it would have to be copied.
    """
    case, sem, _, _, dst, src, _, _, from_register = step
    if dst < _SAVED or names[dst] != dst:
        return True
    taken = [name for name in names if name >= FRAME_POINTER]
    anew = case in _CONSTANTS or (sem in _MOVES and not (from_register and src == dst))
    if not anew or len(taken) >= len(spare):
        return False
    names[dst] = spare[len(taken)]
    return True


def _renamed(step: Step, names: Sequence[int]) -> Step:
    """A step with other registers; `dst` has its new name already. Spare ones stay what they are."""
    case, sem, width, mask, dst, src, off, imm, from_register = step
    dst = names[dst] if dst < FRAME_POINTER else dst
    src = names[src] if src < FRAME_POINTER else src
    if dst == step[4] and src == step[5]:
        return step
    return case, sem, width, mask, dst, src, off, imm, from_register


def inlined(unit: Unit, body_at: Callable[[int], Body | None]) -> Unit:
    """The unit with what its calls of small functions do in their place, as far as it stays within limits."""
    room = UNIT_LIMIT - unit.instructions
    blocks: list[Block] = []
    for block in unit.blocks:
        steps: Steps = []
        for pc, step in block.steps:
            body = body_at(step[6]) if step[0] == CALL_LOCAL else None
            if body is None or len(body.steps) > room:
                steps.append((pc, step))
            else:
                room -= len(body.steps)
                steps.append((pc, ENTERING))
                steps += body.steps
        blocks.append(block if len(steps) == len(block.steps) else replace(block, steps=steps))
    return unit if room == UNIT_LIMIT - unit.instructions else replace(unit, blocks=blocks)
