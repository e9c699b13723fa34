"""Between which bounds every register lies, and which region a pointer points into, at each block of a unit.

States (values.py) go from block to block, through what the steps do (effects.py) and what jumps say
(comparisons.py), until they hold on every way that leads to a block. A state that stands somewhere is never
changed: what follows from it is a new one. All of it holds for every run of the unit that starts within the
assumptions and executes fewer than 2^32 instructions (counters.py).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Final

from device.vm.analysis import counters
from device.vm.analysis.comparisons import ways
from device.vm.analysis.effects import Effect
from device.vm.analysis.lift import TEST, Block, Unit
from device.vm.analysis.relations import Distances, tell
from device.vm.analysis.structure import Structure
from device.vm.analysis.values import NOWHERE, State
from device.vm.decode import MASK32, MASK64
from device.vm.memory import MAP_END, MAP_START

_PATIENCE: Final = (1, 2, 4)
"""Visits of a loop's header up to which bounds are joined as they are, then widened to what the unit compares
with, then to the borders of types and of the map; later, to what 32 or 64 bits can hold."""

_BORDERS: Final = (
    *(0, 1, 0xFF, 0xFFFF, MAP_START, MAP_END),
    *(2**31 - 2, 2**31 - 1, MASK32 - 1, MASK32, 2**63 - 2, 2**63 - 1, MASK64 - 1, MASK64),
)
"""Those of types are there less one too: a counter that is compared with something stays that much below."""

_WORDS: Final = (0, MASK32 - 1, MASK32, MASK64)

Effects = Sequence[Sequence[Effect]]
Edge = tuple[int, State]
"""A block to go on at, and what is known there on this way."""


def solve(
    unit: Unit,
    shape: Structure,
    effects: Effects,
    entry: State,
    narrowings: int = 0,
    related: Sequence[Distances] | None = None,
) -> list[State | None]:
    """The state at the start of every block, None for blocks that cannot be reached within `entry`.

    `effects` are what its steps do (effects.bound), `narrowings` the times that bounds are narrowed again
    where widening went too far: one for each level of loops finds what can be found. `related` are the
    registers that jumps tell of beside those that they compare (relations.py).
    """
    solver = _Solver(unit, shape, effects, entry, related)
    solver.widen()
    if shape.headers:
        for _ in range(narrowings):
            solver.narrow()
    return solver.states


class _Solver:
    """The states at the starts of blocks while they are being found, and what follows from each of them."""

    def __init__(
        self,
        unit: Unit,
        shape: Structure,
        effects: Effects,
        entry: State,
        related: Sequence[Distances] | None,
    ) -> None:
        self._blocks = unit.blocks
        self._related = related
        self._effects = effects
        self._edges: list[tuple[State, list[Edge]] | None] = [None] * len(unit.blocks)
        self._limits = _limits(unit.blocks)
        self._counters = counters.find(unit, shape)
        self._entering: dict[int, State] = {0: entry}  # what headers are reached with from outside
        self._visits = [0] * len(unit.blocks)
        self._pending = [0]  # a heap: in reverse postorder what comes before is settled first
        self._is_pending = [number == 0 for number in range(len(unit.blocks))]
        self._entry = entry
        self.states: list[State | None] = [None] * len(unit.blocks)
        self.states[0] = entry

    def widen(self) -> None:
        """Let states grow until they hold."""
        while self._pending:
            number = heappop(self._pending)
            self._is_pending[number] = False
            for target, state in self._leaving(number):
                grown = self._back(target, state) if target <= number else self._forth(target, state)
                if grown is not None and grown != self.states[target]:
                    self.states[target] = grown
                    self._wake(target)

    def _forth(self, target: int, state: State) -> State:
        if target in self._counters:
            self._enter(target, state)
        known = self.states[target]
        return state if known is None else _join(known, state)

    def _enter(self, header: int, state: State) -> None:
        """Note with what a loop is entered. What was said of its counters from less is to be said again."""
        entering = self._entering.get(header)
        self._entering[header] = joined = state if entering is None else _join(entering, state)
        if entering is not None and joined != entering:
            for source in self._blocks[header].before:
                if source >= header:
                    self._wake(source)

    def _wake(self, number: int) -> None:
        if not self._is_pending[number]:
            self._is_pending[number] = True
            heappush(self._pending, number)

    def _back(self, header: int, state: State) -> State:
        """What is known at a header when a loop goes on with `state`; what keeps growing is widened."""
        found, known = self._counters.get(header), self.states[header]
        if found is not None:
            state = counters.bounded(self._entering[header], state, found)
        if known is None:
            return state
        self._visits[header] += 1
        known = _join(known, state, self._widening(self._visits[header]))
        return known if found is None else counters.bounded(self._entering[header], known, found)

    def narrow(self) -> None:
        """Take back what widening went too far: a block begins in what one of the blocks before it ends in.

        The states hold already, so that what follows from them does too, and both together.
        """
        states = self.states
        arriving: list[State | None] = [None] * len(states)
        arriving[0] = self._entry
        for number, block in enumerate(self._blocks):
            known, found = states[number], arriving[number]
            if known is None:
                continue
            if found is not None and all(source < number for source in block.before):
                states[number] = _meet(known, found)
            for target, leaving in self._leaving(number):
                joined = arriving[target]
                arriving[target] = leaving if joined is None else _join(joined, leaving)
        for number, (state, found) in enumerate(zip(states, arriving, strict=True)):
            states[number] = _meet(state, found) if state is not None and found is not None else None

    def _leaving(self, number: int) -> list[Edge]:
        """Where a block goes on, with what is known there; edges that cannot be taken are left out."""
        state, last = self.states[number], self._edges[number]
        if state is None:
            return []
        if last is not None and last[0] == state:
            return last[1]
        ends = state.copy()
        for effect in self._effects[number]:
            effect(ends)
        edges = _edges(self._blocks[number], ends)
        if self._related is not None and self._related[number]:
            edges = [(target, tell(self._related[number], ends, known)) for target, known in edges]
        self._edges[number] = state, edges
        return edges

    def _widening(self, visits: int) -> Sequence[int] | None:
        """Where a bound that still moves at this visit of its header stops next."""
        exact, compared, borders = _PATIENCE
        if visits <= exact:
            return None
        if visits <= compared:
            return self._limits
        return _BORDERS if visits <= borders else _WORDS


def _edges(block: Block, state: State) -> list[Edge]:
    """The ways out of a block that ends in `state`."""
    if block.end != TEST or block.taken == block.next:
        return [(target, state) for target in block.successors()]
    taken, other = ways(block.steps[-1][1], state)
    found = [] if other is None else [(block.next, other)]
    if taken is not None:
        found.append((block.taken, taken))
    return found


def _join(known: State, other: State, limits: Sequence[int] | None = None) -> State:
    """The state that holds for both; `known` itself when it covers the other. With limits, widened."""
    if known == other:
        return known
    joined = known
    for register, old in enumerate(known):
        new = other[register]
        if old == new:
            continue
        low, high, place = old
        new_low, new_high, new_place = new
        if new_low < low:
            low = new_low if limits is None else limits[bisect_right(limits, new_low) - 1]
        if new_high > high:
            high = new_high if limits is None else limits[bisect_left(limits, new_high)]
        if new_place != place:
            place = NOWHERE
        if (low, high, place) != old:
            if joined is known:
                joined = known.copy()
            joined[register] = (low, high, place)
    return joined


def _meet(known: State, other: State) -> State | None:
    """What holds where both do; of the places, the one that is known. None where that cannot be."""
    if known == other:
        return known
    met = [
        (max(a[0], b[0]), min(a[1], b[1]), a[2] if a[2] >= 0 else b[2]) if a != b else a
        for a, b in zip(known, other, strict=True)
    ]
    return None if any(low > high for low, high, _ in met) else met


def _limits(blocks: Iterable[Block]) -> list[int]:
    """Where widening stops first: the borders, and what the unit compares with."""
    limits = set(_BORDERS)
    for block in blocks:
        if block.end == TEST:
            _, _, _, mask, _, _, _, imm, from_register = block.steps[-1][1]
            if not from_register:
                limits.update(((imm & mask) - 1 & MASK64, imm & mask, (imm & mask) + 1 & MASK64))
    return sorted(limits)
