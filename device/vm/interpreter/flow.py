"""Control flow as Python: nested loops where the graph has that shape, else a loop that dispatches.

The scheme is that of structure.py. What several jumps lead to stands behind what they come from, and is
reached by falling out of the code before it, or by `break` from a loop that runs once. A jump out of more
than one loop sets `j`, which is tested behind each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from device.vm.analysis.budget import Segment
from device.vm.analysis.lift import LEAVE, RETURN, TEST, Block, Unit
from device.vm.analysis.liveness import EVERYTHING
from device.vm.analysis.structure import Structure
from device.vm.analysis.values import State
from device.vm.interpreter.blocks import BlockWriter
from device.vm.interpreter.lines import Lines, Site
from device.vm.interpreter.turns import Turn, Turns

LOOP_DEPTH: Final = 18
"""Loops around each other that are written; CPython takes 20 blocks, one of which is the `try`."""

LEVELS: Final = 90
"""Levels of indentation; CPython takes 100."""

DEPTH: Final = 100
"""Trees within each other; each takes five of the 1,000 calls that Python allows."""

NOWHERE: Final = -1


class TooDeep(Exception):
    """The nested form is nested too deeply."""


@dataclass(slots=True)
class Around:
    """A Python loop around the code that is being written.

    `break` leads to block `behind`, `continue` to block `header`; a loop that runs once has none. `through`
    are the targets of jumps that end it on their way further out. `written` is False for a loop that runs
    once and that nothing has to cut short: it is left out. With a `turn` it counts the budget by itself.
    """

    behind: int
    header: int
    written: bool
    turn: Turn | None = None
    through: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a unit's blocks: the state at each start, halves live at each end, costs and needs."""

    states: Sequence[State | None]
    live: Sequence[int]
    segments: Sequence[Sequence[Segment]]


class FlowWriter:
    """Writes the blocks of one unit in an order that Python's statements allow."""

    def __init__(self, lines: Lines, writer: BlockWriter, unit: Unit, shape: Structure, facts: Facts) -> None:
        self._lines = lines
        self._writer = writer
        self._blocks = unit.blocks
        self._shape = shape
        self._facts = facts
        self._around: list[Around] = []
        self._cut_short: set[int] = set()
        self._drafting = False
        self._depth = 0
        self._turns = Turns(unit.blocks, shape, facts.segments)

    def nested(self) -> None:
        """As nested loops. Raises TooDeep when they are nested too deeply for CPython."""
        self._drafting = True  # finds out which loops that run once are needed
        self._tree(0, NOWHERE)
        self._drafting = False
        self._tree(0, NOWHERE)

    def dispatching(self) -> None:
        """As one loop around a decision tree over the number of the block, which every jump sets."""
        self._lines.add("p = 0")
        with self._lines.block("while True:"):
            self._decide(0, len(self._blocks))

    # The dispatching form

    def _decide(self, first: int, last: int) -> None:
        if last - first == 1:
            self._leaf(first)
            return
        middle = (first + last) // 2
        with self._lines.block(f"if p < {middle}:"):
            self._decide(first, middle)
        with self._lines.block("else:"):
            self._decide(middle, last)

    def _leaf(self, number: int) -> None:
        block, lines = self._blocks[number], self._lines
        if not self._steps(number):
            return
        if block.end == RETURN:
            lines.add(self._writer.result())
        elif block.end == TEST and block.taken != block.next:
            text, site = self._writer.test(block, self._facts.live[number], taken=True)
            lines.add(f"p = {block.taken} if {text} else {block.next}", site)
        elif block.successors():
            lines.add(f"p = {block.next}")

    # The nested form: each of these writes code and says whether its end can be reached.
    # `follow` is the block whose code comes next when that end is reached.

    def _tree(self, number: int, follow: int) -> bool:
        """A block and all that it dominates."""
        labels, inside = self._shape.labels[number], self._shape.inside[number]
        self._depth += 1
        if self._depth > DEPTH or self._lines.level > LEVELS:
            raise TooDeep
        if number in self._shape.headers:
            reached = self._chain(self._loop, number, labels[inside:], follow)
        else:
            reached = self._chain(self._run, number, labels, follow)
        self._depth -= 1
        return reached

    def _chain(
        self, first: Callable[[int, int], bool], number: int, labels: Sequence[int], follow: int
    ) -> bool:
        """What `first` writes, and behind it the labels in their order."""
        opened = [self._open(Around(label, NOWHERE, label in self._cut_short)) for label in reversed(labels)]
        reached = first(number, labels[0] if labels else follow)
        for place, label in enumerate(labels):
            around = opened.pop()
            if around.written and reached:
                self._add("break")
            self._close(around)
            reached = self._tree(label, labels[place + 1] if place + 1 < len(labels) else follow)
        return reached

    def _loop(self, number: int, follow: int) -> bool:
        turn = None if self._drafting else self._turns.of(number)
        around = self._open(Around(follow, number, written=True, turn=turn))
        labels = self._shape.labels[number][: self._shape.inside[number]]
        self._chain(self._run, number, labels, number)
        self._close(around)
        return True

    def _run(self, number: int, follow: int) -> bool:
        """Blocks in a row; of the two ways behind a test, one that does not come back is nested."""
        while True:
            block = self._blocks[number]
            if not self._drafting and not self._steps(number):
                return False
            if block.end == RETURN:
                self._add(self._result())
                return False
            if block.end == LEAVE:
                return False
            target = block.next
            if block.end == TEST and block.taken != block.next:
                other = self._arms(block, number, follow)
                if other is None:
                    return True
                target = other
            if not self._inline(number, target):
                return self._jump(number, target, follow)
            if target in self._shape.headers or self._shape.labels[target]:
                return self._tree(target, follow)
            number = target

    def _arms(self, block: Block, number: int, follow: int) -> int | None:
        """A test and what is nested in it; the block that goes on at the same level, if there is one."""
        first, second, taken = block.taken, block.next, True
        if first == follow or (self._inline(number, first) and second != follow):
            first, second, taken = second, first, False
        with self._nested(number, taken):
            reached = self._go(number, first, follow)
        if second == follow and not self._inline(number, second):
            return None
        if not reached:
            return second
        with self._else():
            self._go(number, second, follow)
        return None

    def _go(self, source: int, target: int, follow: int) -> bool:
        if self._inline(source, target):
            return self._tree(target, follow)
        return self._jump(source, target, follow)

    def _inline(self, source: int, target: int) -> bool:
        """Whether the code of `target` stands where `source` jumps to it."""
        return target > source and target not in self._shape.labelled

    def _jump(self, source: int, target: int, follow: int) -> bool:
        """A jump to code that stands elsewhere; whether it is reached by going on."""
        if target == follow:
            return True
        written = [around for around in self._around if around.written]
        if self._drafting:
            self._note(target)
            return False
        turn = self._turn_around(source)
        if turn is not None and target not in turn.spent:
            self._add(f"n -= {turn.spent[source] + len(self._blocks[source].steps)}")
        *through, _ = self._way(written, target)
        if through:
            self._lines.use("j", "0")
            self._add(f"j = {target + 1}")
            for around in through:
                around.through.add(target)
        self._end(written, target)
        return False

    def _note(self, target: int) -> None:
        """A jump that cannot be made by going on: the innermost loop that leads there is needed."""
        for around in reversed(self._around):
            if around.header == target:
                return
            if around.behind == target:
                if around.header == NOWHERE:
                    self._cut_short.add(target)
                return

    @staticmethod
    def _way(written: list[Around], target: int) -> list[Around]:
        """The loops that a jump ends, from the inside, up to the one that leads there."""
        way = []
        for around in reversed(written):
            way.append(around)
            if target in (around.header, around.behind):
                break
        return way

    def _end(self, written: list[Around], target: int) -> None:
        self._add("continue" if written[-1].header == target else "break")

    def _open(self, around: Around) -> Around:
        self._around.append(around)
        if around.written and not self._drafting:
            self._lines.add("while True:")
            self._lines.level += 1
            if around.turn is not None:
                self._count(around.header, around.turn.cost)
        if sum(1 if one.turn is None else 2 for one in self._around if one.written) > LOOP_DEPTH:
            raise TooDeep
        return around

    def _close(self, around: Around) -> None:
        """The end of a loop; jumps that end it on their way further out go on."""
        self._around.pop()
        if self._drafting or not around.written:
            return
        if around.turn is not None:
            self._recount(around.turn.cost)
        self._lines.level -= 1
        written = [one for one in self._around if one.written]
        for target in sorted(around.through):
            with self._lines.block(f"if j == {target + 1}:"):
                if target in (written[-1].header, written[-1].behind):
                    self._add("j = 0")
                self._end(written, target)

    # Loops that count the budget: `n` is what was left at the start of a turn

    def _turn_around(self, number: int) -> Turn | None:
        """That of the loop around a block."""
        if self._drafting or not self._around:
            return None
        header = self._shape.loop[number]
        turns = (around.turn for around in reversed(self._around) if around.header == header != NOWHERE)
        return next(turns, None)

    def _count(self, header: int, cost: int) -> None:
        self._writer.look(self._blocks[header], self._facts.live[header], cost)
        self._lines.add(f"for n in range(n, {cost - 1}, -{cost}):")
        self._lines.level += 1

    def _recount(self, cost: int) -> None:
        """Where the budget has run out it is looked at again; else the loop was ended."""
        self._lines.end()
        with self._lines.block("else:"):
            self._add(f"n -= {cost}")
            self._add("continue")
        self._add("break")

    # What is left out while drafting

    def _steps(self, number: int) -> bool:
        """The steps of a block; whether its end can be reached."""
        state, block = self._facts.states[number], self._blocks[number]
        if state is None:
            self._lines.add("raise Elsewhere", Site(block.start, 0, EVERYTHING))
            return False
        turn = self._turn_around(number)
        segments = self._facts.segments[number] if turn is None else turn.spent[number]
        repeated = not self._shape.structured or self._shape.loop[number] != NOWHERE
        self._writer.write(block, state, self._facts.live[number], segments, repeated=repeated)
        return True

    @contextmanager
    def _nested(self, number: int, taken: bool) -> Iterator[None]:
        if self._drafting:
            yield
            return
        text, site = self._writer.test(self._blocks[number], self._facts.live[number], taken=taken)
        with self._lines.block(f"if {text}:", site):
            yield

    @contextmanager
    def _else(self) -> Iterator[None]:
        if self._drafting:
            yield
            return
        with self._lines.block("else:"):
            yield

    def _add(self, text: str) -> None:
        if not self._drafting:
            self._lines.add(text)

    def _result(self) -> str:
        return "" if self._drafting else self._writer.result()
