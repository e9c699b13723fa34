"""What is known at every step of a function: values, and the halves of registers that somebody reads.

A high half that can only be zero where it is read is not live here, whatever liveness says by itself:
compiled code knows it, and whoever takes over finds it as zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from device.vm.analysis.intervals import State, step_over
from device.vm.analysis.lift import Unit
from device.vm.analysis.liveness import EVERYTHING, HIGH, HIGH_AT, effect
from device.vm.decode import MASK32, Step


class Looked(NamedTuple):
    """A step with what is known at it: the state before and behind, the halves live before and behind.

    `read` are the halves that it reads. `wanted` and `wanted_behind` are live where nothing is known of
    values: what is not in `live` of it is zero wherever it matters.
    """

    pc: int
    step: Step
    before: State
    behind: State
    live: int
    live_behind: int
    read: int
    wanted: int
    wanted_behind: int


class _Reads(NamedTuple):
    """What a step does to the halves.

    `wanted` are those live before it by themselves, `used` those that it reads and that may not be zero.
    """

    written: int
    read: int
    wanted: int
    used: int


def look(
    unit: Unit,
    states: Sequence[State | None],
    ends: Sequence[int],
    data_base: int,
    needs: Callable[[int], int],
    returned: int,
) -> list[list[Looked]]:
    """The steps of each block that is reached, with what is known at each.

    `states` are those at the beginning of blocks, `ends` the halves live at their end by themselves.
    """
    known, reads = [], []
    for block, state, end in zip(unit.blocks, states, ends, strict=True):
        steps = block.steps if state is not None else []
        walked = _walk(steps, state or [], data_base)
        known.append(walked)
        reads.append(_read(steps, walked, end, needs, returned))
    live = _live(unit, reads)
    return [
        _looked(block.steps, known[number], reads[number], ends[number], live[number])
        for number, block in enumerate(unit.blocks)
    ]


def _walk(steps: Sequence[tuple[int, Step]], state: State, data_base: int) -> list[State]:
    """The states before each step, and behind the last."""
    found = [state]
    for _, step in steps:
        state = state.copy()
        step_over(step, state, data_base)
        found.append(state)
    return found


def _read(
    steps: Sequence[tuple[int, Step]],
    known: Sequence[State],
    end: int,
    needs: Callable[[int], int],
    returned: int,
) -> list[_Reads]:
    """What the steps of a block write and read, the last one first."""
    found = []
    for (_, step), state in zip(reversed(steps), reversed(known[:-1]), strict=True):
        written, read = effect(step, end, needs, returned)
        end = end & ~written | read
        found.append(_Reads(written, read, end, _without_zeros(read, state)))
    return found


def _without_zeros(halves: int, state: State) -> int:
    """The halves without high ones that can only be zero."""
    high = halves >> HIGH_AT
    while high:
        register = high.bit_length() - 1
        high ^= 1 << register
        if state[register][1] <= MASK32:
            halves ^= HIGH[register]
    return halves


def _live(unit: Unit, reads: Sequence[Sequence[_Reads]]) -> list[int]:
    """What is live at the end of each block."""
    blocks = unit.blocks
    starts, ends = [0] * len(blocks), [0] * len(blocks)
    work = list(range(len(blocks)))
    while work:
        number = work.pop()
        block = blocks[number]
        live = EVERYTHING if block.leave >= 0 else 0
        for target in block.successors():
            live |= starts[target]
        ends[number] = live
        for written, _, _, used in reads[number]:
            live = live & ~written | used
        if live != starts[number]:
            starts[number] = live
            work.extend(source for source in block.before if source not in work)
    return ends


def _looked(
    steps: Sequence[tuple[int, Step]], known: Sequence[State], reads: Sequence[_Reads], wanted: int, live: int
) -> list[Looked]:
    """A block's steps; `wanted` and `live` are the halves at its end."""
    found = []
    for index, (written, read, before, used) in enumerate(reads, 1):
        pc, step = steps[-index]
        behind, live = live, live & ~written | used
        found.append(Looked(pc, step, known[-index - 1], known[-index], live, behind, read, before, wanted))
        wanted = before
    found.reverse()
    return found
