"""Steps that one instruction does together: the sum or shift that another step alone uses.

`[base, index, lsl #n]` is an addition, maybe a shift, and an access; `eor rd, rn, rm, ror #n` a shift and an
operation. The steps have to be next to each other, so those that only compute are moved down to their use
first; none that may leave the code is passed, so that nobody can see the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from device.jit.encoder import Alu, Shift, try_alu_imm
from device.jit.lowering.looked import Fused, Looked, Product, known
from device.jit.lowering.memory import Layout, Way, access_of, way_of
from device.vm.analysis.lift import Block, Unit
from device.vm.analysis.liveness import BOTH, HIGH, LOW, effect
from device.vm.decode import (
    ALU,
    CONSTANT,
    DATA_ADDRESS,
    LOAD,
    LOAD_SIGNED,
    MASK32,
    RODATA_ADDRESS,
    STORE,
    Step,
)
from device.vm.isa import Sem

_WORD: Final = 32
_WINDOW: Final = 8
"""Steps over which one is moved, at most."""

_CONSTANTS: Final = frozenset({CONSTANT, DATA_ADDRESS, RODATA_ADDRESS})
_LOADS: Final = frozenset({LOAD, LOAD_SIGNED})
_DIVISIONS: Final = frozenset({Sem.DIV, Sem.MOD, Sem.SDIV, Sem.SMOD})
_SHIFTS: Final = {Sem.LSH: Shift.LSL, Sem.RSH: Shift.LSR, Sem.ARSH: Shift.ASR}
_SHIFTED: Final = frozenset({Sem.ADD, Sem.SUB, Sem.AND, Sem.OR, Sem.XOR})
_SCALES: Final = range(1, 4)
_ALL: Final = sum(BOTH)
"""Halves of all registers, spare ones too: whoever gives one a value may read others for it."""


def gathered(unit: Unit) -> Unit:
    """The unit with steps that compute addresses and operands next to those that use them."""
    blocks = [_gather(block) for block in unit.blocks]
    same = all(one is other for one, other in zip(blocks, unit.blocks, strict=True))
    return unit if same else replace(unit, blocks=blocks)


def _gather(block: Block) -> Block:
    steps = list(block.steps)
    moved = False
    for index in range(len(steps) - 2, -1, -1):
        target = _use(steps, index)
        if target > index + 1 and _together(steps[index][1], steps[target][1]):
            steps.insert(target - 1, steps.pop(index))
            moved = True
    return replace(block, steps=steps) if moved else block


def _together(step: Step, user: Step) -> bool:
    """Whether one instruction may do both."""
    case, sem, width, _, dst, _, _, imm, from_register = step
    if case != ALU:
        return False
    if sem in _SHIFTS and not from_register:
        scales = user[1] is Sem.ADD and sem is Sem.LSH and imm in _SCALES
        operand = user[1] in _SHIFTED and user[2] == _WORD and user[5] == dst
        return user[0] == ALU and user[8] and user[4] != user[5] and (scales or operand)
    if sem is Sem.ADD and from_register and width > _WORD:
        return (user[0] in _LOADS and user[5] == dst) or (user[0] == STORE and user[4] == dst)
    return False


def _use(steps: Sequence[tuple[int, Step]], index: int) -> int:
    """The next step that reads what this one gives, if it could be done just before that; else -1."""
    step = steps[index][1]
    if step[0] != ALU or step[1] in _DIVISIONS:
        return -1
    given, needed = effect(step, _ALL, _nothing, 0)
    for at in range(index + 1, min(index + 1 + _WINDOW, len(steps))):
        other = steps[at][1]
        computes = (other[0] == ALU and other[1] not in _DIVISIONS) or other[0] in _CONSTANTS
        if not computes and other[0] not in _LOADS and other[0] != STORE:
            return -1
        written, read = effect(other, _ALL, _nothing, 0)
        if read & given:
            return at
        if not computes or written & (given | needed):
            return -1
    return -1


def _nothing(_start: int) -> int:
    return 0


def fuse(looked: Sequence[Sequence[Looked]], layout: Layout) -> None:
    """Say of steps what they do for those before them, and leave those out."""
    for steps in looked:
        for index in range(1, len(steps)):
            at, before = steps[index], steps[index - 1]
            if before.step[0] != ALU or before.left_out:
                continue
            if at.step[0] == ALU:
                at.fused = _operand(at, before)
                at.product = _product(at, before) if at.fused is None else None
                before.left_out = at.fused is not None or at.product is not None
            else:
                _address(steps, index, layout)
                _index(steps, index)


def _operand(at: Looked, before: Looked) -> Fused | None:
    """A shift that only this operation uses, on low halves alone."""
    _, sem, width, _, dst, src, _, _, from_register = at.step
    shift, amount, source = _shift(before)
    if amount == 0 or sem not in _SHIFTED or not from_register or src != source or dst == src:
        return None
    low, high, _ = at.behind[dst]
    if low == high or (width > _WORD and high > MASK32 and at.live_behind & HIGH[dst]):
        return None
    if at.live_behind & (LOW[src] | HIGH[src]) or not at.live_behind & LOW[dst]:
        return None
    if width > _WORD and before.behind[src][1] > MASK32:
        return None
    return Fused(before, dst, src, shift, amount)


def _product(at: Looked, before: Looked) -> Product | None:
    """A product that only this sum or difference uses, on low halves alone."""
    _, sem, width, mask, dst, src, _, imm, from_register = at.step
    _, operation, _, factors, product, factor, _, number, by_register = before.step
    behind = from_register and src == product and dst != src
    added = dst == product and not (from_register and src == dst)
    if (
        operation is not Sem.MUL
        or sem not in (Sem.ADD, Sem.SUB)
        or not (behind or (added and sem is Sem.ADD))
    ):
        return None
    low, high, _ = at.behind[dst]
    if low == high or (width > _WORD and high > MASK32 and at.live_behind & HIGH[dst]):
        return None
    if not at.live_behind & LOW[dst] or known(before.behind, product, False) is not None:
        return None
    if behind and (at.live_behind & (LOW[src] | HIGH[src]) or known(at.before, dst, False) is not None):
        return None
    if added:
        constant = known(at.before, src, False) if from_register else imm & mask & MASK32
        if constant is not None and try_alu_imm(Alu.ADD, 0, 1, constant) is not None:
            return None
    other = factor if by_register else -1
    return Product(before, product, other, number & factors & MASK32, not behind, sem is Sem.SUB)


def _shift(at: Looked) -> tuple[Shift, int, int]:
    """Which shift of a low half by a constant a step is, by how much (0 if it is none), and of what."""
    _, sem, width, _, dst, _, _, imm, from_register = at.step
    amount = imm & (width - 1)
    low, high, _ = at.behind[dst]
    if sem not in _SHIFTS or from_register or not 0 < amount < _WORD or low == high:
        return Shift.LSL, 0, dst
    if width > _WORD and (sem is Sem.ARSH or (sem is Sem.RSH and at.before[dst][1] > MASK32)):
        return Shift.LSL, 0, dst
    return _SHIFTS[sem], amount, dst


def _address(steps: Sequence[Looked], index: int, layout: Layout) -> None:
    """An access by a sum that nothing else uses."""
    at, sum_ = steps[index], steps[index - 1]
    found = access_of(at)
    _, sem, width, _, dst, src, _, _, from_register = sum_.step
    if found is None or at.step[6] or sem is not Sem.ADD or width == _WORD or not from_register or dst == src:
        return
    register, size, write = found
    dead = not at.live_behind & ~at.written & (LOW[dst] | HIGH[dst])
    stored = write and at.step[8] and at.step[5] == dst
    if register != dst or size * 8 > _WORD or at.step[0] not in (*_LOADS, STORE) or not dead or stored:
        return
    low, high, _ = sum_.behind[dst]
    if low == high or way_of(at, register, size, layout, write=write).test != Way.PLAIN:
        return
    if sum_.fused is None:
        at.fused = _scaled(steps, index) or Fused(sum_, dst, src, Shift.LSL, 0)
    elif sum_.fused.shift is Shift.LSL and sum_.fused.amount in _SCALES:
        at.fused = sum_.fused
    sum_.left_out = at.fused is not None


def _index(steps: Sequence[Looked], number: int) -> None:
    """An access to something that begins where a constant says, by a register added to that just before."""
    at, sum_ = steps[number], steps[number - 1]
    found = access_of(at)
    _, sem, width, _, dst, src, _, _, from_register = sum_.step
    if found is None or found[0] != dst or sem is not Sem.ADD or width == _WORD or not from_register:
        return
    for constant, register in ((dst, src), (src, dst)):
        start = known(sum_.before, constant, False)
        if start is not None and register != dst and at.live & LOW[register]:
            at.index = register, start


def _scaled(steps: Sequence[Looked], index: int) -> Fused | None:
    """The sum before an access of which the first operand was shifted just before, for it alone."""
    if index < 2 or steps[index - 2].step[0] != ALU or steps[index - 2].left_out:
        return None
    before = steps[index - 2]
    _, _, _, _, dst, src, _, _, _ = steps[index - 1].step
    shift, amount, scaled = _shift(before)
    if amount not in _SCALES or shift is not Shift.LSL or scaled != dst:
        return None
    before.left_out = True
    return Fused(before, src, dst, Shift.LSL, amount)
