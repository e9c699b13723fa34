"""Counted loops: those of which the number of rounds can be read off.

Such a loop is a straight run of instructions that ends with a conditional jump back to its start. Nothing
else jumps into it; its counter is set to a constant before it without a jump in between, changed by a
constant once in it, and compared with a constant at its end, all in one width. That is what compilers make
of `for (i = 0; i < 1000; i++)`; anything more is not tried.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from device.vm.isa import Form, Sem
from device.vm.verifier.code import Code, Insn
from device.vm.verifier.flow import NONE, Block, Flow

_WAKEUP: Final = 0x61
_ARGUMENTS: Final = range(1, 6)
_UNSIGNED: Final[dict[Sem, Callable[[int, int], bool]]] = {
    Sem.JLT: operator.lt,
    Sem.JLE: operator.le,
    Sem.JGT: operator.gt,
    Sem.JGE: operator.ge,
    Sem.JNE: operator.ne,
}
_SIGNED: Final[dict[Sem, Callable[[int, int], bool]]] = {
    Sem.JSLT: operator.lt,
    Sem.JSLE: operator.le,
    Sem.JSGT: operator.gt,
    Sem.JSGE: operator.ge,
}


@dataclass(frozen=True, slots=True)
class CountedLoop:
    """A loop of `size` instructions whose last, at `pc`, jumps back.

    The counter is `start` before the first round and grows by `step` in each; the loop goes on while
    `test` holds for it and `limit`. All are values of `bits` bits, read as signed or unsigned.
    """

    pc: int
    size: int
    start: int
    step: int
    test: Sem
    limit: int
    bits: int
    renews_budget: bool

    def continues(self, rounds: int) -> bool:
        """Whether the test certainly holds after each of the first `rounds` rounds.

        Only rounds before the counter wraps are judged: until then it is linear, so that an ordering
        which holds for its first and last value holds in between.
        """
        signed = self.test in _SIGNED
        start, limit = self._value(self.start, signed), self._value(self.limit, signed)
        first, last = start + self.step, start + self.step * rounds
        low = -(1 << self.bits - 1) if signed else 0
        if rounds > 0 and not all(low <= value < low + (1 << self.bits) for value in (first, last)):
            return False
        if self.test is Sem.JNE:
            return rounds <= 0 or limit not in _progression(first, last, self.step)
        holds = _SIGNED[self.test] if signed else _UNSIGNED[self.test]
        return rounds <= 0 or (holds(first, limit) and holds(last, limit))

    def rounds(self) -> int | None:
        """How often its body runs, once it is entered; None when it may not end."""
        low, high = 0, 1 << self.bits  # the test holds after `low` rounds, or low is 0
        while high - low > 1:
            middle = (low + high) // 2
            if self.continues(middle):
                low = middle
            else:
                high = middle
        if high == 1 << self.bits:
            return None  # it was never seen to end
        signed = self.test in _SIGNED
        last = self._value(self.start, signed) + self.step * high
        floor = -(1 << self.bits - 1) if signed else 0
        return high if floor <= last < floor + (1 << self.bits) else None

    def _value(self, number: int, signed: bool) -> int:
        number &= (1 << self.bits) - 1
        return number - (1 << self.bits) if signed and number >> self.bits - 1 else number


def _progression(first: int, last: int, step: int) -> range:
    if step == 0:
        return range(first, first + 1)
    return range(first, last + (1 if step > 0 else -1), step)


def renews_budget(code: Code, insn: Insn) -> bool:
    """Whether the instruction budget may start anew in a call (programs.md section 5)."""
    if insn.row.form is Form.CALL_LOCAL:
        return _WAKEUP in code.helpers
    return insn.row.form is Form.CALL_HELPER and insn.imm == _WAKEUP


def counted_loops(flow: Flow) -> Iterator[CountedLoop]:
    """All of them in the code that is reached. Linear: a scan never passes a jump."""
    entered = Counter(flow.code.jumps.values())
    entered.update(flow.blocks[number].start for number in flow.functions)
    for number, block in enumerate(flow.blocks):
        if block.reached and NONE != block.jump <= number:
            loop = _counted(flow, flow.blocks[block.jump], block.last - 1, entered)
            if loop is not None:
                yield loop


def _counted(flow: Flow, head: Block, last: int, entered: Counter[int]) -> CountedLoop | None:
    """The loop from `head` to the jump at index `last`, if it is one."""
    insns = flow.code.insns
    end = insns[last]
    if end.row.form is not Form.BRANCH_IMM or not (end.row.sem in _UNSIGNED or end.row.sem in _SIGNED):
        return None
    body = _straight(insns, head.first, last, entered)
    if body is None or entered[head.start] != 1:
        return None
    changes = [insn for insn in body if _writes(insn, end.dst)]
    start = _constant_before(insns, head.first, end.dst, entered)
    if len(changes) != 1 or start is None:
        return None
    step = _step(changes[0], end)
    if step is None or end.row.sem is None:
        return None
    renews = any(renews_budget(flow.code, insn) for insn in body)
    size = last - head.first + 1
    return CountedLoop(end.pc, size, start, step, end.row.sem, end.imm, end.row.width, renews)


def _straight(insns: list[Insn], first: int, last: int, entered: Counter[int]) -> list[Insn] | None:
    """The instructions [first, last) when there is no way out of them and none in but at the start."""
    for index in range(last, first, -1):
        if insns[index].pc in entered or not _goes_on(insns[index - 1]):
            return None
    return insns[first:last]


def _goes_on(insn: Insn) -> bool:
    """Whether the next instruction always comes next."""
    return insn.row.falls_through and not insn.row.jumps


def _writes(insn: Insn, register: int) -> bool:
    row = insn.row
    return (
        (row.writes_dst and insn.dst == register)
        or (row.writes_src and insn.src == register)
        or (row.writes_r0 and register == 0)
        or (row.form is Form.CALL_LOCAL and register in _ARGUMENTS)
    )


def _step(change: Insn, end: Insn) -> int | None:
    """What a round adds to the counter."""
    if change.row.form is not Form.ALU_IMM or change.row.width != end.row.width:
        return None
    return {Sem.ADD: change.imm, Sem.SUB: -change.imm}.get(change.row.sem or Sem.EXIT)


def _constant_before(insns: list[Insn], first: int, register: int, entered: Counter[int]) -> int | None:
    """The constant that the register holds when the instruction at index `first` is reached from above."""
    for index in range(first - 1, -1, -1):
        insn = insns[index]
        if not _goes_on(insn):
            return None
        if _writes(insn, register):
            return _constant(insn)
        if insn.pc in entered:
            return None
    return None


def _constant(insn: Insn) -> int | None:
    row = insn.row
    if row.form is Form.WIDE:
        return insn.imm & 0xFFFFFFFF | (insn.high & 0xFFFFFFFF) << 32
    if row.form is not Form.ALU_IMM or row.sem is not Sem.MOV:
        return None
    return insn.imm if row.width == 64 else insn.imm & 0xFFFFFFFF
