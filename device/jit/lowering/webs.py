"""Which values share a home: webs of definitions and uses, what is live together, and what they get.

A web is what becomes of a half between its definitions and the uses that they reach; where ways meet, the
definitions that come together belong to one web. Two webs may have the same home unless one is defined while
the other is live and not the very thing that is copied. Core registers go first to what is used most for as
long as it lives, counted by the depth of loops; a move whose two sides may share a home costs nothing then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final, TypeVar

from device.jit.encoder import R
from device.jit.encoder.operands import LOW
from device.jit.lowering.literals import Wish
from device.jit.lowering.looked import FRAME, Half, Home, Homes, Looked, View, halves_of, known, weight_of
from device.jit.lowering.operands import Scratch
from device.vm.analysis.lift import Unit
from device.vm.analysis.structure import Structure
from device.vm.analysis.values import State
from device.vm.decode import ALU, ATOMIC_FETCH, CALL_LOCAL, EXIT
from device.vm.isa import Sem

BUDGET: Final = R.R7
"""Holds what is left of the budget."""

CORE: Final = (R.R0, R.R1, R.R2, R.R3, R.R4, R.R5, R.R6, R.R8, R.R9)
"""Homes, those with 16-bit instructions first."""

SINGLES: Final = 16
"""VFP registers that are homes: those that a function need not preserve."""

_SPARE: Final[Sequence[tuple[int, ...]]] = (
    (R.R12, R.LR, R.R11, R.R10),
    (R.LR, R.R12, R.R11),
    (R.R12, R.R11),
    (R.R12,),
    (),
)
"""What an instruction may use while it is executed, beside so many low registers that are no homes."""

_LOW_FIRST: Final = frozenset({Sem.ADD, Sem.SUB, Sem.AND, Sem.OR, Sem.XOR, Sem.MOV, Sem.NEG, Sem.LE64})
_SHIFTS: Final = frozenset({Sem.LSH, Sem.RSH, Sem.ARSH})
_TWO_OPERANDS: Final = frozenset({*_SHIFTS, Sem.ADD, Sem.SUB, Sem.AND, Sem.OR, Sem.XOR, Sem.MUL, Sem.NEG})
_EITHER_WAY: Final = frozenset({Sem.ADD, Sem.AND, Sem.OR, Sem.XOR, Sem.MUL})


_From = TypeVar("_From")
_To = TypeVar("_To")


@dataclass(slots=True)
class Web:
    """What is known of a web when homes are given: what it is worth, and how many steps it is live at.

    `beside` are the webs that must not share its home, as bits. `likes` are webs and `hints` registers that
    it had better be in the same home with, by what that is worth. A `constant` that is kept may go without.
    """

    worth: int = 0
    span: int = 1
    beside: int = 0
    needed: bool = False
    constant: bool = False
    likes: dict[int, int] = field(default_factory=dict)
    hints: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Allocation:
    """Homes where each block begins, registers of constants, and what is used: core registers, VFP ones."""

    starts: Sequence[Homes]
    constants: Sequence[tuple[Wish, int]]
    cores: frozenset[int]
    singles: int


def scratch_beside(used: Collection[int]) -> Scratch:
    """What an instruction may use while it is executed: registers with short forms, if there are any."""
    free = [int(register) for register in CORE if register in LOW and register not in used][:4]
    first, second, third, fourth = [*free, *_SPARE[len(free)]]
    return first, second, third, fourth


def allocate(
    unit: Unit,
    shape: Structure,
    view: View,
    states: Sequence[State | None],
    entering: Mapping[Half, int],
    wishes: Sequence[Wish],
    *,
    framed: bool,
    singles: int = SINGLES,
) -> Allocation:
    """Give every step its homes.

    `states` are those at the start of each block, `entering` the registers in which the unit finds halves,
    `wishes` constants that would like a register. With `framed`, r10 has a home everywhere. Where `singles`
    VFP registers do not suffice, each half has one home for the whole unit, of which there are few enough.
    """
    for whole in (False, True):
        found = _Webs(unit, shape, view, states, framed=framed, whole=whole)
        found.describe(entering)
        constants = found.add(wishes)
        homes = _coloured(found.webs, _merged(found.webs, found.moves))
        used = max((home.number + 1 for home in homes.values() if home.single), default=0)
        if used <= singles:
            break
    cores = frozenset(home.number for home in homes.values() if not home.single)
    given = [(wish, homes[root].number) for root, wish in constants.items() if root in homes]
    return Allocation(found.settle(homes), given, cores, used)


class _Webs:
    """Numbers for the values of halves, at first one for each definition, then one for each web."""

    def __init__(
        self,
        unit: Unit,
        shape: Structure,
        view: View,
        states: Sequence[State | None],
        *,
        framed: bool,
        whole: bool,
    ) -> None:
        self._unit = unit
        self._shape = shape
        self._looked = view.steps
        self._states = states
        self._parents: list[int] = []
        self._whole: dict[Half, int] | None = {} if whole else None
        self._frame = self._new(FRAME) if framed else -1
        self._starts = [
            self._started(halves_of(live)) if state is not None else {}
            for live, state in zip(view.starts, states, strict=True)
        ]
        self._behind: list[list[dict[Half, int]]] = []
        for number, steps in enumerate(view.steps):
            self._behind.append(self._walk(self._starts[number], steps))
        self._meet()
        self.webs: dict[int, Web] = {}
        self.moves: dict[tuple[int, int], int] = {}
        self._originals = count()

    def _new(self, half: Half) -> int:
        if self._whole is not None:
            found = self._whole.get(half)
            if found is not None:
                return found
            self._whole[half] = len(self._parents)
        self._parents.append(len(self._parents))
        return len(self._parents) - 1

    def _started(self, halves: Iterable[Half]) -> dict[Half, int]:
        found = {half: self._new(half) for half in halves}
        if self._frame >= 0:
            found[FRAME] = self._frame
        return found

    def _walk(self, current: dict[Half, int], steps: Sequence[Looked]) -> list[dict[Half, int]]:
        """The numbers of the halves live behind each step."""
        found = []
        live = -1
        for at in steps:
            defined = at.written & at.live_behind
            if defined or at.live_behind != live:
                live = at.live_behind
                behind = {half: current[half] for half in halves_of(live & ~defined)}
                for half in halves_of(defined):
                    behind[half] = self._new(half)
                if self._frame >= 0:
                    behind[FRAME] = self._frame
                current = behind
            found.append(current)
        return found

    def _meet(self) -> None:
        """What is live where a block begins is what comes there from all before it."""
        for number, block in enumerate(self._unit.blocks):
            if self._states[number] is None:
                continue
            leaving = self._behind[number][-1] if self._behind[number] else self._starts[number]
            for target in block.successors():
                for half, value in self._starts[target].items():
                    one, other = self._root(leaving[half]), self._root(value)
                    if one != other:
                        self._parents[max(one, other)] = min(one, other)

    def _root(self, value: int) -> int:
        parents = self._parents
        while parents[value] != value:
            parents[value] = value = parents[parents[value]]
        return value

    # What is to be known of them

    def describe(self, entering: Mapping[Half, int]) -> None:
        """Find out all about the webs."""
        roots = [self._root(value) for value in range(len(self._parents))]
        self._starts = [{half: roots[value] for half, value in start.items()} for start in self._starts]
        self._behind = [
            _each(maps, lambda numbers: {half: roots[value] for half, value in numbers.items()})
            for maps in self._behind
        ]
        self.webs = {root: Web() for root in set(roots)}
        if self._frame >= 0:
            frame = self.webs[self._frame]
            frame.needed, frame.beside = True, sum(1 << root for root in self.webs if root != self._frame)
        for half, register in entering.items():
            if half in self._starts[0]:
                self.webs[self._starts[0][half]].hints[register] = 2
        for number, (start, steps) in enumerate(zip(self._starts, self._looked, strict=True)):
            state = self._states[number]
            if state is None:
                continue
            self._begin(start, state, entry=number == 0)
            weight = weight_of(self._shape, number)
            ahead = start
            same: dict[Half, int] = {}
            for at, behind in zip(steps, self._behind[number], strict=True):
                self._note(at, ahead, behind, weight, same)
                ahead = behind
        for root, web in self.webs.items():
            for other in _bits(web.beside):
                self.webs[other].beside |= 1 << root

    def _begin(self, start: Mapping[Half, int], state: State, *, entry: bool) -> None:
        mask = sum(1 << root for root in start.values()) if entry else 0
        for (register, high), root in start.items():
            web = self.webs[root]
            if known(state, register, high) is None:
                web.needed = True
            if entry:
                web.beside |= mask & ~(1 << root)
                web.worth += 1

    def _note(
        self,
        at: Looked,
        ahead: Mapping[Half, int],
        behind: Mapping[Half, int],
        weight: int,
        same: dict[Half, int],
    ) -> None:
        """What a step does to webs. In `same` are halves of the block that are copies, by what of."""
        webs = self.webs
        for root in behind.values():
            webs[root].span += 1
        for half in halves_of(at.read & at.live):
            webs[ahead[half]].worth += weight
        if self._frame >= 0 and FRAME[0] in at.step[4:6]:
            webs[self._frame].worth += weight
        defined = halves_of(at.written & at.live_behind)
        if not defined:
            if at.step[0] == EXIT:
                for half, register in RESULTS.items():
                    if half in ahead:
                        webs[ahead[half]].hints[register] = webs[ahead[half]].hints.get(register, 0) + weight
            return
        mask = 0
        for root in behind.values():
            mask |= 1 << root
        copied = _copied(at)
        for half in defined:
            register, high = half
            root = behind[half]
            web = webs[root]
            web.worth += weight
            if known(at.behind, register, high) is None:
                web.needed = True
            beside = mask
            source = ahead.get(copied[half], root) if half in copied else root
            if source == root:
                same.pop(half, None)
            else:
                self.moves[root, source] = self.moves.get((root, source), 0) + weight
                if copied[half] not in same:
                    same[copied[half]] = next(self._originals)
                same[half] = same[copied[half]]
                for other, equal in behind.items():
                    if same.get(other) == same[half]:
                        beside &= ~(1 << equal)
                beside &= ~(1 << source)
            for other in _clobbering(at, half):
                if other in ahead:
                    beside |= 1 << ahead[other]
            web.beside |= beside & ~(1 << root)
            self._prefer(at, half, ahead, root, weight)

    def _prefer(self, at: Looked, half: Half, ahead: Mapping[Half, int], root: int, weight: int) -> None:
        case, sem, _, _, _, src, _, _, from_register = at.step
        _, high = half
        if case == CALL_LOCAL:
            if half in RESULTS:
                hints = self.webs[root].hints
                hints[RESULTS[half]] = hints.get(RESULTS[half], 0) + weight
        elif case == ALU and sem in _TWO_OPERANDS:
            if half in ahead:
                _like(self.webs, root, ahead[half], weight)
            if from_register and sem in _EITHER_WAY and (src, high) in ahead:
                _like(self.webs, root, ahead[src, high], weight)

    def add(self, wishes: Sequence[Wish]) -> dict[int, Wish]:
        """A web for each constant that would like a register: beside all that lives where it does."""
        inside = [
            {root for numbers in (start, *maps) for root in numbers.values()}
            for start, maps in zip(self._starts, self._behind, strict=True)
        ]
        found: dict[int, Wish] = {}
        for number, wish in enumerate(wishes, len(self._parents)):
            beside = {root for block in wish.blocks for root in inside[block]}
            span = sum(len(self._looked[block]) for block in wish.blocks)
            web = self.webs[number] = Web(wish.worth, span + 1, needed=True, constant=True)
            for root in beside:
                web.beside |= 1 << root
                self.webs[root].beside |= 1 << number
            for other, wished in found.items():
                if not {*wish.blocks}.isdisjoint(wished.blocks):
                    web.beside |= 1 << other
                    self.webs[other].beside |= 1 << number
            found[number] = wish
        return found

    # Homes

    def settle(self, homes: Mapping[int, Home]) -> list[Homes]:
        """Give all steps their homes; those at the start of each block."""

        def of(numbers: Mapping[Half, int]) -> Homes:
            return {half: homes[root] for half, root in numbers.items() if root in homes}

        starts = [of(start) for start in self._starts]
        for start, steps, maps in zip(starts, self._looked, self._behind, strict=True):
            ahead = start
            for at, behind in zip(steps, _each(maps, of), strict=True):
                at.homes = ahead
                at.homes_behind = ahead = behind
        return starts


RESULTS: Final[Mapping[Half, int]] = {(0, False): int(R.R0), (0, True): int(R.R1)}
"""Where a function leaves r0."""


def _each(maps: Sequence[_From], change: Callable[[_From], _To]) -> list[_To]:
    """What becomes of each, with one result for the same object in a row."""
    found: list[_To] = []
    last = None
    for one in maps:
        found.append(found[-1] if one is last else change(one))
        last = one
    return found


def _like(webs: Mapping[int, Web], one: int, other: int, worth: int) -> None:
    if one != other:
        webs[one].likes[other] = webs[one].likes.get(other, 0) + worth
        webs[other].likes[one] = webs[other].likes.get(one, 0) + worth


def _copied(at: Looked) -> Mapping[Half, Half]:
    """The halves of its result that a step only copies, and from where."""
    case, sem, width, _, dst, src, _, _, from_register = at.step
    if case != ALU or not from_register or sem not in (Sem.MOV, Sem.MOVSX32):
        return {}
    if sem is Sem.MOV and width > 32:
        return {(dst, False): (src, False), (dst, True): (src, True)}
    return {(dst, False): (src, False)}


def _clobbering(at: Looked, half: Half) -> tuple[Half, ...]:
    """The halves that are still read when the step has given `half` its value."""
    case, sem, width, _, dst, src, _, imm, from_register = at.step
    register, high = half
    if case == ATOMIC_FETCH:
        return () if high else ((register, True),)
    if case != ALU or width == 32:
        return ()
    if sem in _SHIFTS:
        if not from_register and imm & 63 >= 32:
            return ((dst, True),) if sem is Sem.ARSH and not high else ()
        return ((dst, not high),)
    if sem in _LOW_FIRST and not high:
        return ((dst, True), (src, True)) if from_register else ((dst, True),)
    return ()


def _merged(webs: Mapping[int, Web], moves: Mapping[tuple[int, int], int]) -> dict[int, int]:
    """Make one web of the two sides of a move where they may share a home; what became part of which.

    The moves that are worth most come first.
    """
    into: dict[int, int] = {}

    def of(root: int) -> int:
        while root in into:
            root = into[root]
        return root

    for one, other in sorted(moves, key=lambda pair: (-moves[pair], pair)):
        kept, gone = of(one), of(other)
        web, part = webs[kept], webs[gone]
        if kept == gone or web.beside >> gone & 1 or not (web.needed and part.needed):
            continue
        into[gone] = kept
        web.worth += part.worth
        web.span += part.span
        web.beside |= part.beside
        for neighbour in _bits(part.beside):
            webs[neighbour].beside |= 1 << kept
        for liked, worth in part.likes.items():
            web.likes[liked] = web.likes.get(liked, 0) + worth
        for register, worth in part.hints.items():
            web.hints[register] = web.hints.get(register, 0) + worth
    return {root: of(root) for root in into}


def _coloured(webs: Mapping[int, Web], into: Mapping[int, int]) -> dict[int, Home]:
    """Homes, core registers to what is worth most for each step that it lives.

    `into` are the webs that are part of others.
    """
    homes: dict[int, Home] = {}
    ordered = sorted(
        (root for root, web in webs.items() if web.needed and root not in into),
        key=lambda n: (-webs[n].worth / webs[n].span, n),
    )
    for root in ordered:
        web = webs[root]
        cores = singles = 0
        for other in _bits(web.beside):
            home = homes.get(other)
            if home is None:
                continue
            if home.single:
                singles |= 1 << home.number
            else:
                cores |= 1 << home.number
        free = [register for register in CORE if not cores >> register & 1]
        if free:
            homes[root] = Home(_best(web, free, homes, into))
        elif not web.constant:
            homes[root] = Home((~singles & singles + 1).bit_length() - 1, single=True)
    return homes | {part: homes[root] for part, root in into.items()}


def _best(web: Web, free: Sequence[int], homes: Mapping[int, Home], into: Mapping[int, int]) -> int:
    """The free register that most of what likes the web is in; else the first."""
    scores = dict.fromkeys(free, 0)
    for register, worth in web.hints.items():
        if register in scores:
            scores[register] += worth
    for other, worth in web.likes.items():
        home = homes.get(into.get(other, other))
        if home is not None and not home.single and home.number in scores:
            scores[home.number] += worth
    return max(free, key=lambda register: scores[register])  # the first of them, where several are


def _bits(mask: int) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        mask ^= lowest
        yield lowest.bit_length() - 1
