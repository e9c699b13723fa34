"""Basic blocks as Python statements. Every statement that may fault is a line of its own (lines.py)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from device.vm.analysis.budget import Segment
from device.vm.analysis.effects import step_over
from device.vm.analysis.inlining import ENTERING
from device.vm.analysis.lift import LEAVE, RETURN, TEST, Block
from device.vm.analysis.liveness import BOTH, EVERYTHING, SAVED
from device.vm.analysis.values import State
from device.vm.decode import (
    ALU,
    ATOMIC_FETCH,
    BRANCH,
    CALL_HELPER,
    CALL_LOCAL,
    COMPARE_EXCHANGE,
    EXIT,
    JUMP,
    LOAD,
    LOAD_SIGNED,
    MASK64,
    STORE,
    Step,
)
from device.vm.interpreter.access import Access, Base
from device.vm.interpreter.ahead import ARGUMENTS, CONSTANTS, Ahead
from device.vm.interpreter.expressions import (
    BYTE_ORDERS,
    DIVISIONS,
    EXTENSIONS,
    ONE_OPERAND,
    condition,
    narrow,
    operate,
    reorder,
)
from device.vm.interpreter.lines import Kind, Lines, Site
from device.vm.interpreter.pending import Pending
from device.vm.interpreter.texts import Text, cut, number, variable
from device.vm.isa import FRAME_POINTER, Sem
from device.vm.program import PERIODIC_WAKEUP

_HELP: Final = ("help", "m.help")
_WAKE_UP: Final = ("wake_up", "m.wake_up")
_ATOMIC_SIGNS: Final[Mapping[Sem, str]] = {
    Sem.ATOMIC_ADD: "+",
    Sem.ATOMIC_FETCH_ADD: "+",
    Sem.ATOMIC_OR: "|",
    Sem.ATOMIC_FETCH_OR: "|",
    Sem.ATOMIC_AND: "&",
    Sem.ATOMIC_FETCH_AND: "&",
    Sem.ATOMIC_XOR: "^",
    Sem.ATOMIC_FETCH_XOR: "^",
}


@dataclass(frozen=True, slots=True)
class Callees:
    """What a caller has to know of local functions.

    `needs` gives the halves that one reads of its caller; `returned` are the argument registers that come
    back beside r0; while `quiet` functions run it does not matter which frames are accessible; `name` gives
    the unit for a callee's slot and what is known of its registers.
    """

    needs: Callable[[int], int]
    returned: tuple[int, ...]
    quiet: Collection[int]
    name: Callable[[int, State], str]


@dataclass(frozen=True, slots=True)
class Frames:
    """The stack's shape: bytes of a frame, and r10 in the deepest one."""

    size: int
    deepest: int


class BlockWriter:
    """Writes blocks of one unit, one after the other."""

    def __init__(
        self, lines: Lines, access: Access, callees: Callees, frames: Frames, data_base: int
    ) -> None:
        self._lines = lines
        self._registers = Pending(lines)
        self._access = access
        self._callees = callees
        self._ahead = Ahead(callees.needs, callees.returned)
        self._frames = frames
        self._data_base = data_base
        self._live_behind = 0
        self._framed = False
        self._steps: Mapping[int, Callable[[Step, Site], dict[int, Text]]] = {
            LOAD: self._load,
            LOAD_SIGNED: self._load,
            STORE: self._store,
            CALL_HELPER: self._call_helper,
        }

    def write(
        self,
        block: Block,
        state: State,
        live_out: int,
        segments: Sequence[Segment] | int,
        *,
        repeated: bool,
    ) -> None:
        """Write the steps of a block, except a jump or test at its end, whose cost is charged here too.

        In a loop that counts the budget nothing is charged: what was spent before is in place of `segments`.
        `repeated` says whether the block is in any loop.
        """
        registers = self._registers
        registers.begin(state, repeated=repeated)
        self._framed = False
        lives, uses = self._ahead.look(block, live_out)
        registers.uses = uses[0]
        if isinstance(segments, int):
            waiting: Iterator[Segment] = iter(())
            left = -segments
        else:
            waiting = iter(segments)
            left = self._charge(next(waiting), block.start, lives[0])
        for index, (pc, step) in enumerate(block.steps):
            case = step[0]
            self._live_behind = lives[index + 1]
            if case == ALU:
                self._compute(step, uses[index + 1])
            elif case in (BRANCH, JUMP, EXIT):
                if step is ENTERING:
                    self._need_frame(Site(pc, left, lives[index]))
            elif case == CALL_LOCAL:
                self._call_local(step, Site(pc, left, lives[index]))
                left = self._charge(next(waiting), pc + 1, lives[index + 1]) + 1
                registers.uses = uses[index + 1]
            else:
                self._step(step, Site(pc, left, lives[index]), uses[index + 1])
            left -= 1
        if block.end == LEAVE:
            registers.write_out(EVERYTHING)
            self._lines.add("raise Elsewhere", Site(block.leave, 0, EVERYTHING))
        elif block.end != RETURN and (block.end != TEST or block.taken == block.next):
            registers.write_load()
            registers.write_out(live_out)

    def test(self, block: Block, live_out: int, *, taken: bool) -> tuple[str, Site | None]:
        """The condition of the jump at the block's end (or its opposite); what is live behind is written."""
        _, sem, width, mask, dst, src, _, imm, from_register = block.steps[-1][1]
        registers = self._registers
        registers.write_out(live_out)
        b = registers.take(src) if from_register else number(imm & mask)
        a = registers.take(dst)
        return condition(sem, width, a, b, taken=taken), a.site or b.site

    def result(self) -> str:
        """What a return hands back: the budget left, r0, and what callers read behind a call."""
        registers = self._registers
        registers.write_load()
        values = [registers.take(register).exact for register in (0, *self._callees.returned)]
        return f"return {', '.join(['n', *values])}"

    def look(self, block: Block, live_out: int, need: int) -> None:
        """Look at the budget in front of a block."""
        self._look(need, block.start, self._ahead.live_before(block, live_out))

    def _look(self, need: int, pc: int, live: int) -> None:
        more = self._lines.use("more", "m.more")
        self._lines.add(f"if n < {need}: n = {more}(n, {need})", Site(pc, 0, live))

    def _charge(self, segment: Segment, pc: int, live: int) -> int:
        """Take a segment's cost off the budget, or leave where it does not suffice."""
        if segment.need:
            self._look(segment.need, pc, live)
        if segment.cost:
            self._lines.add(f"n -= {segment.cost}")
        return segment.cost

    # Steps

    def _compute(self, step: Step, uses: list[int]) -> None:
        """An ALU step; nothing is written for it unless something else is in its way."""
        dst, registers = step[4], self._registers
        if not self._live_behind & BOTH[dst]:
            registers.forget(dst)
            step_over(step, registers.state, self._data_base)
            return
        registers.make_room(dst, self._ahead.reads(step))
        kept = registers.state[dst]
        step_over(step, registers.state, self._data_base)
        found = registers.state[dst]
        if found[0] == found[1]:
            registers.write_load()  # which may fault, though what comes of it is known
        registers.state[dst] = kept
        made = self._alu(step)
        registers.state[dst] = found
        registers.uses = uses
        registers.define(dst, self._known(dst, made), live=True)

    def _step(self, step: Step, site: Site, uses: list[int]) -> None:
        case, _, _, _, dst, _, _, _, _ = step
        registers = self._registers
        registers.write_load()
        for register in self._ahead.writes(step):
            registers.make_room(register)
        made = {} if case in CONSTANTS else self._steps.get(case, self._atomic)(step, site)
        step_over(step, registers.state, self._data_base)
        registers.uses = uses
        if case in CONSTANTS:
            made[dst] = number(registers.state[dst][0])
        for register, value in made.items():
            registers.define(
                register, self._known(register, value), live=bool(self._live_behind & BOTH[register])
            )

    def _known(self, register: int, value: Text) -> Text:
        """A result with what the intervals know of it."""
        low, high, _ = self._registers.state[register]
        if low == high and value.site is None:
            return number(low)
        if low <= value.low and high >= value.high:
            return value
        low, high = max(low, value.low), min(high, value.high)
        return value.bounded(low, high) if low <= high else value

    def _alu(self, step: Step) -> Text:
        _, sem, width, mask, dst, src, _, imm, from_register = step
        registers = self._registers
        if sem in BYTE_ORDERS:
            return reorder(sem, registers.take(dst))
        if sem in DIVISIONS and (from_register or not imm & mask):
            registers.write_load()  # by zero, nothing would be left of it
        b = registers.take(src) if from_register else number(imm & mask)
        if sem in ONE_OPERAND:
            return operate(sem, width, b, b)
        if from_register and sem in DIVISIONS:
            b = registers.named(cut(b, width))
        return operate(sem, width, registers.take(dst), b)

    def _base(self, register: int, off: int) -> Base:
        return Base(self._registers.take(register), self._registers.state[register], off, register)

    def _load(self, step: Step, site: Site) -> dict[int, Text]:
        case, _, width, mask, dst, src, off, _, _ = step
        site = self._registers.noted(site)
        place = self._access.find(self._registers, self._base(src, off), width // 8, site, write=False)
        value = Text(place.loaded, 0, mask, place.reads, bits=width, atom=True, site=site)
        if case == LOAD_SIGNED:
            value = operate(EXTENSIONS[width], 64, value, value)
        return {dst: value}

    def _store(self, step: Step, site: Site) -> dict[int, Text]:
        _, _, width, mask, dst, src, off, imm, from_register = step
        registers = self._registers
        site = registers.noted(site)
        value = narrow(registers.take(src), width) if from_register else str(imm & mask)
        place = self._access.find(registers, self._base(dst, off), width // 8, site, write=True)
        registers.add(place.stored(value), site)
        return {}

    def _atomic(self, step: Step, site: Site) -> dict[int, Text]:
        """Load, change, store; what a fetch gives is the old value."""
        case, sem, width, mask, dst, src, off, _, _ = step
        registers, lines = self._registers, self._lines
        site = registers.noted(site)
        compared = narrow(registers.take(0), width) if case == COMPARE_EXCHANGE else ""
        operand = narrow(registers.take(src), width)
        place = self._access.find(registers, self._base(dst, off), width // 8, site, write=True)
        old = variable(lines.temporary(), 0, mask)
        registers.add(f"{old.text} = {place.loaded}", site)
        if case == COMPARE_EXCHANGE:
            registers.add(f"if {old.text} == ({compared}): {place.stored(operand)}", site)
            return {0: old}
        sign = _ATOMIC_SIGNS.get(sem)
        changed = operand if sign is None else f"({old.text} {sign} ({operand})) & {mask}"
        registers.add(place.stored(changed), site)
        return {src: old} if case == ATOMIC_FETCH else {}

    def _call_helper(self, step: Step, site: Site) -> dict[int, Text]:
        registers = self._registers
        site = registers.noted(site._replace(kind=Kind.HELPER))
        arguments = ", ".join(registers.take(register).exact for register in ARGUMENTS)
        registers.forget(0)
        call = self._lines.use(*(_WAKE_UP if step[7] == PERIODIC_WAKEUP else _HELP))
        registers.add(f"r0 = {call}({step[7]}, {arguments}) & {MASK64}", site)
        return {}

    def _need_frame(self, site: Site) -> Text:
        """Leave it to the exact tier to call something in the deepest frame, once a block; what r10 is."""
        registers, lines = self._registers, self._lines
        registers.write_load()
        pointer = registers.value(FRAME_POINTER)
        if self._framed:
            return pointer
        self._framed = True
        if not pointer.is_constant:
            lines.add(f"if r10 == {self._frames.deepest}: raise Elsewhere", registers.noted(site))
        elif pointer.low == self._frames.deepest:
            lines.add("raise Elsewhere", registers.noted(site))
        return pointer

    def _call_local(self, step: Step, site: Site) -> None:
        """A callee's frame lies below ours and is accessible while it runs."""
        registers, lines, target = self._registers, self._lines, step[6]
        pointer = self._need_frame(site)
        name = self._callees.name(target, registers.state)
        registers.write_out(self._live_behind & SAVED)
        arguments = ["n", "m", f"{pointer.text} - {self._frames.size}"]
        arguments += [registers.take(register).exact for register in self._ahead.arguments(target)]
        kept = registers.noted(Site(site.pc + 1, 0, self._live_behind & SAVED, kind=Kind.CALL))
        back = ", ".join(f"r{register}" for register in (0, *self._callees.returned))
        call = f"n, {back} = {name}({', '.join(arguments)})"
        if target in self._callees.quiet:
            lines.add(call, kept)
        else:
            stack = lines.use("k", "m.stack")
            lines.add(f"{stack}.base -= {self._frames.size}")
            lines.add(call, kept)
            lines.add(f"{stack}.base += {self._frames.size}")
        for register in (0, *ARGUMENTS):
            registers.forget(register)
        step_over(step, registers.state, self._data_base)
