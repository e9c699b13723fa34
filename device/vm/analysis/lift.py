"""A unit of translation: what is reached from one slot without leaving the frame, as basic blocks.

A unit begins at a function's first slot, or anywhere else where execution is to be taken over. Local calls
do not end a block: the callee is a unit of its own, and execution goes on behind the call. What cannot be
decoded, or lies outside the text, is not the unit's business: such a block ends with LEAVE, and whoever
runs it goes on at that slot in the exact engine, which knows the fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from device.vm.decode import ALU, BRANCH, CONSTANT, DATA_ADDRESS, EXIT, JUMP, RODATA_ADDRESS, Step
from device.vm.faults import GuestFault
from device.vm.isa import Sem

FALL: Final = 0
GO: Final = 1
TEST: Final = 2
RETURN: Final = 3
LEAVE: Final = 4

UNIT_LIMIT: Final = 4096
"""Instructions that a unit may have; larger ones stay with the exact engine (engines.md)."""

Decode = Callable[[int], Step]
"""The step at a slot of the text; raises GuestFault where there is none."""

_EXTENSIONS: Final = {Sem.RSH: (Sem.MOV, 32), Sem.ARSH: (Sem.MOVSX32, 64)}
"""What a shift to the left by 32 and this shift back are together, and its width."""

_LSH: Final = Sem.LSH
_JUMPS: Final = frozenset({BRANCH, JUMP})
_WIDE: Final = frozenset({CONSTANT, DATA_ADDRESS, RODATA_ADDRESS})
"""Cases that take two slots."""


@dataclass(slots=True)
class Block:
    """Steps in a row with their slots; `end` says where execution goes behind them.

    FALL: goes on at block `next`; GO: a jump to `next`, which is its last step; TEST: a conditional jump to
    `taken`, else `next`; RETURN: exit; LEAVE: the exact engine goes on at slot `leave`.
    """

    start: int
    steps: list[tuple[int, Step]] = field(default_factory=list)
    end: int = LEAVE
    next: int = -1
    taken: int = -1
    leave: int = -1
    before: list[int] = field(default_factory=list)

    def successors(self) -> tuple[int, ...]:
        """The blocks that may come next, each once."""
        if self.end == TEST:
            return (self.next, self.taken) if self.next != self.taken else (self.next,)
        return (self.next,) if self.end in (FALL, GO) else ()


@dataclass(slots=True)
class Unit:
    """The blocks reached from `start`, in reverse postorder; the first is the entry.

    `instructions` counts them all. `before` of each block are its predecessors. `joined` are slots in front
    of which registers are not as the program says, because two steps were replaced by two others that do
    the same together; nothing can end a run there.
    """

    start: int
    blocks: list[Block]
    instructions: int
    joined: frozenset[int] = frozenset()


def lift(decode: Decode, slots: int, start: int) -> Unit | None:
    """The unit that begins at slot `start` of a text with `slots` slots; None when it is too large."""
    runs, leaders = _scan(decode, slots, start)
    if sum(len(run.steps) for run in runs.values()) > UNIT_LIMIT:
        return None
    blocks = _split(runs, leaders)
    joined = frozenset(pc for block in blocks.values() for pc in _join_shifts(block.steps))
    ordered = _order(blocks, start)
    for number, block in enumerate(ordered):
        for target in block.successors():
            ordered[target].before.append(number)
    return Unit(start, ordered, sum(len(block.steps) for block in ordered), joined)


def _scan(decode: Decode, slots: int, start: int) -> tuple[dict[int, Block], set[int]]:
    """Straight runs by their first slot, and every slot that a jump leads to. Targets are slots here."""
    runs: dict[int, Block] = {}
    leaders = {start}
    seen: set[int] = set()
    work = [start]
    total = 0
    while work and total <= UNIT_LIMIT:
        pc = work.pop()
        if pc in seen:
            continue
        run = runs[pc] = Block(pc)
        steps = run.steps
        while pc not in seen and len(steps) <= UNIT_LIMIT:
            seen.add(pc)
            step = _step_at(decode, slots, pc)
            if step is None:
                run.end, run.leave = LEAVE, pc
                break
            steps.append((pc, step))
            case, _, _, _, _, _, target, _, _ = step
            if case == EXIT:
                run.end = RETURN
                break
            pc += 2 if case in _WIDE else 1
            if case in _JUMPS:
                run.end, run.next, run.taken = (TEST, pc, target) if case == BRANCH else (GO, target, -1)
                targets = (target, pc) if case == BRANCH else (target,)
                leaders.update(targets)
                work.extend(targets)
                break
        else:
            run.end, run.next = FALL, pc  # the run has come to code that was seen: that is where it goes on
            leaders.add(pc)
        total += len(steps)
    return runs, leaders


def _step_at(decode: Decode, slots: int, pc: int) -> Step | None:
    """The step at `pc`; None where the exact engine has to go on."""
    if not 0 <= pc < slots:
        return None
    try:
        step = decode(pc)
    except GuestFault:
        return None
    return None if step[0] in _JUMPS and not 0 <= step[6] < slots else step


def _split(runs: dict[int, Block], leaders: set[int]) -> dict[int, Block]:
    """Runs cut where a jump leads into their middle; by first slot."""
    blocks: dict[int, Block] = {}
    for run in runs.values():
        cuts = [index for index, (pc, _) in enumerate(run.steps) if index and pc in leaders]
        if not cuts:
            blocks[run.start] = run
            continue
        for first, last in zip([0, *cuts], [*cuts, len(run.steps)], strict=True):
            part = Block(run.steps[first][0], run.steps[first:last])
            if last < len(run.steps):
                part.end, part.next = FALL, run.steps[last][0]
            else:
                part.end, part.next, part.taken, part.leave = run.end, run.next, run.taken, run.leave
            blocks[part.start] = part
    for block in list(blocks.values()):
        # A run may end just where undecodable code begins that a jump leads to as well.
        if block.end == LEAVE and block.leave in leaders and block.leave not in blocks:
            blocks[block.leave] = Block(block.leave, leave=block.leave)
    return blocks


def _join_shifts(steps: list[tuple[int, Step]]) -> Iterator[int]:
    """Replace shifts by 32 to the left and back, which only extend, by a move; yields the middle slots."""
    for index, (first_pc, first) in enumerate(steps[:-1]):
        if first[1] is not _LSH or not _is_whole_shift(first):
            continue
        second_pc, second = steps[index + 1]
        register, extension = first[4], _EXTENSIONS.get(second[1])
        adjacent = first_pc + 1 == second_pc and second[4] == register
        if extension is not None and adjacent and _is_whole_shift(second):
            steps[index] = first_pc, _move(Sem.MOV, 64, register)
            steps[index + 1] = second_pc, _move(*extension, register)
            yield second_pc


def _is_whole_shift(step: Step) -> bool:
    """Whether the step, a shift, moves one half of its register to where the other one is."""
    _, _, width, _, _, _, _, imm, from_register = step
    return width == 64 and imm == 32 and not from_register


def _move(sem: Sem, width: int, register: int) -> Step:
    return (ALU, sem, width, (1 << width) - 1, register, register, 0, 0, True)


def _order(blocks: dict[int, Block], start: int) -> list[Block]:
    """Reverse postorder from `start`; the blocks' targets become numbers in it."""
    order: list[int] = []
    seen = {start}
    work = [(start, iter(_targets(blocks[start])))]
    while work:
        at, targets = work[-1]
        for target in targets:
            if target not in seen:
                seen.add(target)
                work.append((target, iter(_targets(blocks[target]))))
                break
        else:
            order.append(at)
            work.pop()
    order.reverse()
    number = {at: index for index, at in enumerate(order)}
    for at in order:
        block = blocks[at]
        if block.end in (FALL, GO, TEST):
            block.next = number[block.next]
        if block.end == TEST:
            block.taken = number[block.taken]
    return [blocks[at] for at in order]


def _targets(block: Block) -> tuple[int, ...]:
    """Where it goes on, the jump's target first: what falls through then comes first in the order."""
    if block.end == TEST:
        return (block.taken, block.next)
    return (block.next,) if block.end in (FALL, GO) else ()
