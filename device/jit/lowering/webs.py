"""Which values share a home: webs of definitions and uses, what is live together, and what they get.

A web is what becomes of a half between its definitions and the uses that they reach; where ways meet, the
definitions that come together belong to one web. Two webs may have the same home unless one is defined while
the other is live and not the very thing that is copied. Core registers go first to what is used most for as
long as it lives, counted by the depth of loops; a move whose two sides may share a home costs nothing then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final, NamedTuple

from device.jit.encoder import R
from device.jit.encoder.operands import LOW
from device.jit.lowering.literals import Wish
from device.jit.lowering.looked import FRAME, Half, Home, Homes, Looked, View, halves_of, known, weight_of
from device.jit.lowering.operands import Scratch
from device.vm.analysis.lift import Unit
from device.vm.analysis.structure import Structure
from device.vm.analysis.values import State
from device.vm.decode import ALU, ATOMIC_FETCH, CALL_LOCAL, EXIT, MASK32
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
_MOV, _LSH, _ARSH = Sem.MOV, Sem.LSH, Sem.ARSH
_COPIES: Final = frozenset({Sem.MOV, Sem.MOVSX32})
_NEUTRAL: Final = {Sem.AND: MASK32, Sem.OR: 0, Sem.XOR: 0}
_EITHER_WAY: Final = frozenset({Sem.ADD, Sem.AND, Sem.OR, Sem.XOR, Sem.MUL})


@dataclass(slots=True)
class Web:
    """What is known of a web when homes are given: what it is worth, and how many steps it is live at.

    `members` are the webs that it has become the home of, itself included, and `beside` those that live where
    one of them is defined and must not share its home, both as bits. `likes` are webs and `hints` registers
    that it had better be in the same home with, by what that is worth. A `constant` that is kept may go
    without.
    """

    members: int
    worth: int = 0
    span: int = 1
    beside: int = 0
    needed: bool = False
    constant: bool = False
    likes: dict[int, int] = field(default_factory=dict)
    hints: dict[int, int] = field(default_factory=dict)

    def meets(self, other: Web) -> bool:
        """Whether the two must not share a home."""
        return bool(self.beside & other.members or other.beside & self.members)


class Crowded(Exception):
    """More halves are to be kept than there are homes."""


class _Change(NamedTuple):
    """What a step changes in what is live: the halves that are not any more, and those with a new value."""

    gone: Sequence[Half]
    made: Sequence[tuple[Half, int]]


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
    VFP registers do not suffice, each half has one home for the whole unit. Raises Crowded where there are
    not enough even then, which only happens in units with spare registers.
    """
    for whole in (False, True):
        found = _Webs(unit, shape, view, states, framed=framed, whole=whole)
        found.describe(entering)
        constants = found.add(wishes)
        homes = _coloured(found.webs, _merged(found.webs, found.moves))
        used = max((home.number + 1 for home in homes.values() if home.single), default=0)
        if used <= singles:
            break
    if used > SINGLES:
        raise Crowded
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
        self._leaving = [dict(start) for start in self._starts]
        self._changes = [
            [self._change(at, leaving) for at in steps]
            for steps, leaving in zip(view.steps, self._leaving, strict=True)
        ]
        self._meet()
        self._roots: list[int] = []  # a parent's number is below those of its children
        for value, parent in enumerate(self._parents):
            self._roots.append(value if parent == value else self._roots[parent])
        self._inside = [0] * len(view.steps)  # the webs of each block, as bits
        self.webs: dict[int, Web] = {}
        self.moves: dict[tuple[int, int], int] = {}
        self._originals = count()

    def _new(self, half: Half) -> int:
        if self._whole is not None:
            found = self._whole.get(half)
            if found is not None:
                return found
            self._whole[half] = len(self._parents)
        value = len(self._parents)
        self._parents.append(value)
        return value

    def _started(self, halves: Iterable[Half]) -> dict[Half, int]:
        found = {half: self._new(half) for half in halves}
        if self._frame >= 0:
            found[FRAME] = self._frame
        return found

    def _change(self, at: Looked, live: dict[Half, int]) -> _Change | None:
        """What a step changes in what is live; a half that it defines is gone before it is made."""
        defined = at.written & at.live_behind
        gone = at.live & (defined | ~at.live_behind)
        if not defined and not gone:
            return None
        change = _Change(halves_of(gone), [(half, self._new(half)) for half in halves_of(defined)])
        for half in change.gone:
            del live[half]
        live.update(change.made)
        return change

    def _meet(self) -> None:
        """What is live where a block begins is what comes there from all before it."""
        parents = self._parents
        for number, block in enumerate(self._unit.blocks):
            if self._states[number] is None:
                continue
            leaving = self._leaving[number]
            for target in block.successors():
                for half, value in self._starts[target].items():
                    one, other = self._root(leaving[half]), self._root(value)
                    if one != other:
                        parents[max(one, other)] = min(one, other)

    def _root(self, value: int) -> int:
        parents = self._parents
        while parents[value] != value:
            parents[value] = value = parents[parents[value]]
        return value

    # What is to be known of them

    def describe(self, entering: Mapping[Half, int]) -> None:
        """Find out all about the webs."""
        roots = self._roots
        self.webs = {root: Web(1 << root) for root in set(roots)}
        self._starts = [{half: roots[value] for half, value in start.items()} for start in self._starts]
        if self._frame >= 0:
            frame = self.webs[self._frame]
            frame.needed, frame.beside = True, sum(1 << root for root in self.webs if root != self._frame)
        for half, register in entering.items():
            if half in self._starts[0]:
                self.webs[self._starts[0][half]].hints[register] = 2
        for number, (start, steps) in enumerate(zip(self._starts, self._looked, strict=True)):
            state = self._states[number]
            if state is not None:
                self._begin(start, state, entry=number == 0)
                self._go_through(number, start, steps)

    def _go_through(self, number: int, start: Mapping[Half, int], steps: Sequence[Looked]) -> None:
        """Note what the steps of a block say; `ahead` are the webs live before each, `alive` those behind."""
        webs, roots, weight = self.webs, self._roots, weight_of(self._shape, number)
        ahead, same = dict(start), dict[Half, int]()
        inside = alive = sum([1 << root for root in ahead.values()])
        for index, (at, change) in enumerate(zip(steps, self._changes[number], strict=True)):
            self._note_uses(at, ahead, weight)
            if change is None:
                continue
            before = ahead
            ahead = before.copy()
            for half in change.gone:
                root = ahead.pop(half)
                webs[root].span += index
                alive &= ~(1 << root)
            for half, value in change.made:
                root = ahead[half] = roots[value]
                webs[root].span -= index
                alive |= 1 << root
            for half, _ in change.made:
                others = alive & ~self._copies(at, half, same, before, ahead)
                self._note_value(at, half, ahead[half], before, others, weight)
            inside |= alive
        for root in ahead.values():
            webs[root].span += len(steps)
        self._inside[number] = inside

    def _copies(
        self,
        at: Looked,
        half: Half,
        same: dict[Half, int],
        before: Mapping[Half, int],
        behind: Mapping[Half, int],
    ) -> int:
        """The webs that hold what a step copies to a half. `same` are the copies of a block, by what of."""
        source = _copied(at, half)
        if source is None or source not in before or (source != half and source[0] == at.step[4]):
            same.pop(half, None)  # no copy, or one of what the step gives another value
            return 0
        if source not in same:
            same[source] = next(self._originals)
        original = same[half] = same[source]
        return sum([1 << root for other, root in behind.items() if same.get(other) == original])

    def _begin(self, start: Mapping[Half, int], state: State, *, entry: bool) -> None:
        mask = sum([1 << root for root in start.values()]) if entry else 0
        for (register, high), root in start.items():
            web = self.webs[root]
            if known(state, register, high) is None:
                web.needed = True
            if entry:
                web.beside |= mask & ~(1 << root)
                web.worth += 1

    def _note_uses(self, at: Looked, ahead: Mapping[Half, int], weight: int) -> None:
        case, _, _, _, dst, src, _, _, _ = at.step
        for half in halves_of(at.read & at.live):
            self.webs[ahead[half]].worth += weight
        if self._frame >= 0 and FRAME[0] in (dst, src):
            self.webs[self._frame].worth += weight
        if case == EXIT:
            for half, register in RESULTS.items():
                if half in ahead:
                    hints = self.webs[ahead[half]].hints
                    hints[register] = hints.get(register, 0) + weight

    def _note_value(
        self, at: Looked, half: Half, root: int, ahead: Mapping[Half, int], alive: int, weight: int
    ) -> None:
        """A web gets its value from a step behind which the webs in `alive` live with others."""
        web = self.webs[root]
        web.worth += weight
        if not web.needed and known(at.behind, *half) is None:
            web.needed = True
        source = _copied(at, half)
        copied = root if source is None else ahead.get(source, root)
        if copied != root:
            alive &= ~(1 << copied)
            self.moves[root, copied] = self.moves.get((root, copied), 0) + weight
        for other in _clobbering(at, half):
            if other in ahead:
                alive |= 1 << ahead[other]
        web.beside |= alive & ~(1 << root)
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
        found: dict[int, Wish] = {}
        for number, wish in enumerate(wishes, len(self._parents)):
            span = sum(len(self._looked[block]) for block in wish.blocks)
            web = self.webs[number] = Web(1 << number, wish.worth, span + 1, needed=True, constant=True)
            for block in wish.blocks:
                web.beside |= self._inside[block]
            for other, wished in found.items():
                if not {*wish.blocks}.isdisjoint(wished.blocks):
                    web.beside |= 1 << other
            found[number] = wish
        return found

    # Homes

    def settle(self, homes: Mapping[int, Home]) -> list[Homes]:
        """Give all steps their homes; those at the start of each block."""
        starts: list[Homes] = []
        for start, steps, changes in zip(self._starts, self._looked, self._changes, strict=True):
            ahead = {half: homes[root] for half, root in start.items() if root in homes}
            starts.append(ahead)
            for at, change in zip(steps, changes, strict=True):
                at.homes = ahead
                if change is not None:
                    ahead = ahead.copy()
                    for half in change.gone:
                        ahead.pop(half, None)
                    for half, value in change.made:
                        home = homes.get(self._roots[value])
                        if home is not None:
                            ahead[half] = home
                at.homes_behind = ahead
        return starts


RESULTS: Final[Mapping[Half, int]] = {(0, False): int(R.R0), (0, True): int(R.R1)}
"""Where a function leaves r0."""


def _like(webs: Mapping[int, Web], one: int, other: int, worth: int) -> None:
    if one != other:
        webs[one].likes[other] = webs[one].likes.get(other, 0) + worth
        webs[other].likes[one] = webs[other].likes.get(one, 0) + worth


def _copied(at: Looked, half: Half) -> Half | None:
    """The half of which a step makes nothing but a copy, if it does."""
    case, sem, width, _, dst, src, _, imm, from_register = at.step
    if case != ALU:
        return None
    _, high = half
    if sem in _COPIES and from_register:
        return (src, high) if not high or (sem is _MOV and width > 32) else None
    if width == 32:
        return None
    if sem in _NEUTRAL:
        second = known(at.before, src, high) if from_register else imm >> 32 * high & MASK32
        return (dst, high) if second == _NEUTRAL[sem] else None
    if sem in _SHIFTS and not from_register and imm & 63 == 32:
        return (dst, not high) if high is (sem is _LSH) else None
    return None


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
            return ((dst, True),) if sem is _ARSH and not high else ()
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
        if kept == gone or not (web.needed and part.needed) or web.meets(part):
            continue
        into[gone] = kept
        web.worth += part.worth
        web.span += part.span
        web.beside |= part.beside
        web.members |= part.members
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
    cores = _Places([int(register) for register in CORE])
    singles = _Places([])
    for root in ordered:
        web = webs[root]
        free = cores.free(web)
        if free:
            homes[root] = Home(cores.take(_best(web, free, homes, into), web))
        elif not web.constant:
            homes[root] = Home(singles.take(singles.first(web), web), single=True)
    return homes | {part: homes[root] for part, root in into.items()}


class _Places:
    """Registers, and what is in them so far."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._members = dict.fromkeys(numbers, 0)
        self._beside = dict.fromkeys(numbers, 0)

    def free(self, web: Web) -> list[int]:
        """Those that a web may be in."""
        members, beside, others = web.members, web.beside, self._beside
        return [at for at, mask in self._members.items() if not (mask & beside or others[at] & members)]

    def first(self, web: Web) -> int:
        """The first that a web may be in, a new one if there is none."""
        free = self.free(web)
        return free[0] if free else len(self._members)

    def take(self, number: int, web: Web) -> int:
        """Put a web there."""
        self._members[number] = self._members.get(number, 0) | web.members
        self._beside[number] = self._beside.get(number, 0) | web.beside
        return number


def _best(web: Web, free: Sequence[int], homes: Mapping[int, Home], into: Mapping[int, int]) -> int:
    """The free register that most of what likes the web is in; else the first."""
    if not (web.hints or web.likes):
        return free[0]
    scores = dict.fromkeys(free, 0)
    for register, worth in web.hints.items():
        if register in scores:
            scores[register] += worth
    for other, worth in web.likes.items():
        home = homes.get(into.get(other, other))
        if home is not None and not home.single and home.number in scores:
            scores[home.number] += worth
    return max(free, key=scores.__getitem__)  # the first of them, where several are
