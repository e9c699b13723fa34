"""One unit as a native function: its blocks in order, the budget, and the exits.

An exit is a trap behind the function's code. Whoever finds the machine stopped at one knows by its `Exit`
which instruction has to be executed again, what of the budget is to be given back, and where each register's
halves are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from device.jit.assembler import Assembler
from device.jit.encoder import (
    Alu,
    Compare,
    Cond,
    Flags,
    R,
    alu_imm,
    compare,
    load_constant,
    try_alu_imm,
    try_compare_imm,
    udf,
)
from device.jit.encoder import alu as alu_registers
from device.jit.fixups import Label
from device.jit.lowering.alu import AluWriter, Divided
from device.jit.lowering.branches import BranchWriter, Joined
from device.jit.lowering.calls import CallSite, CallWriter, arriving
from device.jit.lowering.counted import Counted, counted, limits
from device.jit.lowering.exits import Exit, Moment
from device.jit.lowering.fusing import fuse, gathered
from device.jit.lowering.literals import UNIT, literals, wishes
from device.jit.lowering.looked import Half, Looked, known, look
from device.jit.lowering.memory import Layout, MemoryWriter
from device.jit.lowering.operands import Operands
from device.jit.lowering.program import Program
from device.jit.lowering.rounds import CountedWriter, Rounds
from device.jit.lowering.webs import BUDGET, allocate, scratch_beside
from device.vm.analysis.budget import Segment, segments
from device.vm.analysis.effects import bound
from device.vm.analysis.functions import Part
from device.vm.analysis.inlining import ENTERING, LEAVING, Body, inlined
from device.vm.analysis.intervals import solve
from device.vm.analysis.lift import GO, LEAVE, RETURN, TEST, Block
from device.vm.analysis.liveness import EVERYTHING, SPARE
from device.vm.analysis.relations import distances
from device.vm.analysis.values import ANY, State
from device.vm.decode import (
    ALU,
    BRANCH,
    CALL_HELPER,
    CALL_LOCAL,
    CONSTANT,
    DATA_ADDRESS,
    EXIT,
    JUMP,
    LOAD,
    LOAD_SIGNED,
    MASK32,
    RODATA_ADDRESS,
    STORE,
)
from device.vm.isa import FRAME_POINTER, Sem

END: Final = "-"
"""What the name of a loop's beginning has behind it at its end."""

NARROWINGS = 2
"""What is proved costs nothing, so that bounds are worth some time."""

_CONSTANTS = frozenset({CONSTANT, DATA_ADDRESS, RODATA_ADDRESS})


@dataclass(frozen=True, slots=True)
class Charged:
    """Where a header takes its cost off the budget for who has tested it, and what the way back cost more."""

    label: Label
    extra: int


@dataclass(frozen=True, slots=True)
class Latch:
    """A branch back to a header that asks for the budget too, maybe `through` a block that only jumps."""

    header: int
    joined: Joined
    through: int


class FunctionWriter:
    """Compiles one unit into an assembler. Its results are by the names of labels.

    These are `exits`, `call_sites`, `requests` and `loops`; `singles` VFP registers are used.
    """

    def __init__(
        self,
        asm: Assembler,
        program: Program,
        part: Part,
        entry: State,
        prefix: str,
        passed: Sequence[Half] | None = None,
        *,
        calls: bool = False,
    ) -> None:
        """`passed` are the halves that a caller brings; None when the dispatcher calls.

        With `calls` every local call is one. Raises Crowded where that is needed.
        """
        self._asm = asm
        self._program = program
        whole = part.unit if calls else inlined(part.unit, _deep_enough(program, entry))
        if whole is not part.unit:
            entry = [*entry, *[ANY] * len(SPARE)]
        self._unit = unit = gathered(whole)
        self._prefix = prefix
        self._outermost = passed is None
        self._passed = passed or ()
        self._entry = entry
        self._segments = segments(unit, part.shape)
        effects = bound(unit, program.data_base)
        related = distances(unit, entry) if part.shape.headers else None
        self._states = solve(unit, part.shape, effects, entry, NARROWINGS, related)
        view = look(unit, effects, self._states, part.live, program.needs, program.returned_halves)
        self._looked = view.steps
        layout = Layout(program.places, program.frame_size, program.distrusted, checked=program.checked)
        fuse(view.steps, layout)
        loops = counted(unit, part.shape, view.steps, self._segments, layout) if program.checked else []
        homes = allocate(
            unit,
            part.shape,
            view,
            self._states,
            arriving(self._passed),
            [*wishes(part.shape, view.steps, layout), *limits(loops, part.shape)],
            framed=known(entry, FRAME_POINTER, high=False) is None,
        )
        self._literals = literals(homes.constants, part.shape)
        self._homes = homes.starts
        self.singles = homes.singles
        scratch = scratch_beside(homes.cores)
        self._operands = Operands(asm, scratch, [register for _, register in homes.constants])
        self._t0 = scratch[0]
        self._used = frozenset({*homes.cores, BUDGET, *scratch})
        if program.calls:
            self._used |= frozenset(R)
        self._alu = AluWriter(self._operands)
        self._branches = BranchWriter(self._operands)
        self._memory = MemoryWriter(self._operands, layout, self._exit, program.checker)
        self._calls = CallWriter(
            self._operands,
            program.request,
            lambda target: program.function(target, self._operands.at.before),
            program.returned,
            program.frame_size,
            program.deepest,
            outermost=self._outermost,
            framed=program.calls,
        )
        self.parameters: Sequence[Half] = ()
        self.exits: dict[str, Exit] = {}
        self.call_sites: dict[str, CallSite] = {}
        self.requests: dict[str, Exit] = {}
        self.loops: dict[str, Rounds] = {}
        self._waiting: list[tuple[Label, Exit]] = []
        self._shape = part.shape
        self._label_of = [asm.label() for _ in unit.blocks]
        self._front_of = {header: asm.label() for header in self._literals.kept if header != UNIT}
        self._latches: dict[int, Latch] = {}
        self._charged: dict[int, Charged] = {}
        self._flagged = {number for number in range(len(unit.blocks)) if self._leaves_flags(number)}
        self._alu.flagging = {self._looked[number][-2].pc for number in self._flagged}
        self._counted = {loop.header: self._counting(loop) for loop in loops if self._may_count(loop)}
        if program.checked:
            self._join_tests()
        self._woven = {latch.through for latch in self._latches.values()}
        self._woven |= {counted.loop.through for counted in self._counted.values()}
        self._counting_now: CountedWriter | None = None
        self._left = 0

    def write(self) -> None:
        """Write the whole function; its label is bound by the caller.

        `parameters` are then the halves that it takes from the state's words.
        """
        self.parameters = self._calls.enter(self._homes[0], self._entry, self._passed, self._used)
        self._keep(UNIT)
        for number, block in enumerate(self._unit.blocks):
            if number not in self._woven:
                self._block(number, block)
        self._asm.pool()
        for label, exit_ in self._waiting:
            name = f"{self._prefix}x{len(self.exits)}"
            self.exits[name] = exit_
            self._asm.bind(label)
            self._asm.here(name)
            self._asm.emit(udf(0))

    # Loops whose end asks for the budget of the next round too

    def _join_tests(self) -> None:
        """Find the branches back to a header that can ask both questions at once (branches.Joined)."""
        for number, block in enumerate(self._unit.blocks):
            if block.end != TEST or block.taken == block.next or not self._looked[number]:
                continue
            if number in self._counted:
                continue
            for target in (block.taken, block.next):
                header, through = self._way_back(number, target)
                need = self._segments[header][0].need
                extra = 0 if through < 0 else 1
                if header > number or not need or not self._looked[header]:
                    continue
                if self._charged.get(header, Charged(self._asm.label(), extra)).extra != extra:
                    continue
                self._stand(number)
                self._operands.at = self._looked[number][-1]
                taken, flagged = target == block.taken, number in self._flagged
                joined = self._branches.joined(need + extra, taken=taken, flagged=flagged)
                if joined is not None:
                    self._latches[number] = Latch(header, joined, through)
                    self._charged.setdefault(header, Charged(self._asm.label(), extra))
                    break

    def _way_back(self, number: int, target: int) -> tuple[int, int]:
        """Where a branch gets: to `target`, or through it where it is a jump that nobody else comes to."""
        block = self._unit.blocks[target]
        jumps = number < target and block.end == GO and len(self._looked[target]) == 1
        return (block.next, target) if jumps and block.before == [number] else (target, -1)

    def _leaves_flags(self, number: int) -> bool:
        """Whether a block ends with a test for zero of what an addition just before it has computed."""
        looked, block = self._looked[number], self._unit.blocks[number]
        if block.end != TEST or len(looked) < 2:
            return False
        case, sem, _, _, register, _, _, _, _ = looked[-2].step
        _, test, _, _, dst, _, _, imm, from_register = looked[-1].step
        low, high, _ = looked[-2].behind[register]
        return (
            (case == ALU and sem in (Sem.ADD, Sem.SUB) and test in (Sem.JEQ, Sem.JNE))
            and looked[-2].product is None
            and (register == dst and not from_register and imm == 0 and low != high)
            and self._only_in_core(looked[-2], register)
        )

    def _only_in_core(self, at: Looked, register: int) -> bool:
        """Whether a step gives nothing but a core register a value, the low half of `register`."""
        home = at.homes_behind.get((register, False))
        return home is not None and not home.single and (register, True) not in at.homes_behind

    def _end_of_loop(self, number: int, block: Block) -> None:
        """Back to where the header charges, or out; a loop that must not go on is left on the way back."""
        asm, latch = self._asm, self._latches[number]
        asm.emit(*latch.joined.encodings)
        asm.jump_if(latch.joined.cond, self._charged[latch.header].label)
        taken = self._branches.compare()
        back = latch.through if latch.through >= 0 else latch.header
        goes_on = taken if back == block.taken else taken.inverse
        asm.jump_if(goes_on, self._leaving(self._at_start(back), 0, short=True))
        self._go(number, block.next if back == block.taken else block.taken)

    # Loops that are charged for all their rounds at once

    def _may_count(self, loop: Counted) -> bool:
        """Whether registers are there for it."""
        granted = loop.wish in self._literals.kept.get(loop.header, {})
        found = granted and CountedWriter.possible(loop, self._homes[loop.header])
        for at in (at for walk in loop.walks for at in walk.accesses):
            at.walked = found
        return found

    def _counting(self, loop: Counted) -> CountedWriter:
        limit = self._literals.kept[loop.header][loop.wish]
        return CountedWriter(self._operands, loop, limit, self._homes[loop.header])

    def _begin_counted(self, number: int, counting: CountedWriter) -> int:
        counting_label = self._charged[number] = Charged(self._asm.label(), 0)
        self._operands.at = self._looked[number][0]
        nothing = counting.begin(lambda walk: self._leaving(self._at_start(number), 0, blamed=walk.slots))
        self._asm.jump_if(nothing, self._leaving(self._at_start(number), 0, short=True))
        self._asm.bind(counting_label.label)
        name = f"{self._prefix}l{number}"
        self.loops[name] = counting.rounds()
        self._asm.here(name)
        return counting.loop.cost - counting.loop.extra

    def _end_counted(self, number: int, block: Block, counting: CountedWriter) -> None:
        """Another round, or out; where the budget did not last for all, leave on the way back."""
        asm, loop = self._asm, counting.loop
        asm.jump_if(counting.again(), self._charged[number].label)
        asm.here(f"{self._prefix}l{number}{END}")
        counting.end()
        self._counting_now = None
        taken = self._branches.compare()
        back = loop.through if loop.through >= 0 else number
        goes_on = taken if back == block.taken else taken.inverse
        asm.jump_if(goes_on, self._leaving(self._at_start(back), 0, short=True))
        self._go(number, block.next if back == block.taken else block.taken)

    # Blocks

    def _block(self, number: int, block: Block) -> None:
        asm = self._asm
        if number in self._front_of:
            asm.bind(self._front_of[number])
            self._keep(number)
        asm.bind(self._label_of[number])
        self._stand(number)
        if self._states[number] is None:
            asm.emit(udf(1))  # nothing comes here
            return
        looked = self._looked[number]
        waiting = iter(self._segments[number])
        counting = self._counted.get(number)
        if counting is None:
            self._left = self._charge(next(waiting), self._at_start(number), self._charged.get(number))
        else:
            self._left = self._begin_counted(number, counting)
        self._counting_now = counting
        for at in looked:
            self._operands.at = at
            asm.mark(at.pc)
            if at.step[0] in (BRANCH, JUMP, EXIT) and at.step is not ENTERING and at.step is not LEAVING:
                break
            if not at.left_out:
                self._step(at)
            self._left -= 1
            if self._counting_now is not None and at.pc == self._counting_now.loop.counts:
                self._counting_now.ahead = 0
            if at.step[0] == CALL_LOCAL:
                self._left = self._charge(next(waiting), Moment.behind(at))
        self._end(number, block)

    def _end(self, number: int, block: Block) -> None:
        if block.end == RETURN:
            self._calls.leave()
        elif block.end == LEAVE:
            self._asm.jump(self._leaving(self._at_nothing(number, block), 0))
        elif self._counting_now is not None:
            self._end_counted(number, block, self._counting_now)
        elif number in self._latches:
            self._end_of_loop(number, block)
        elif block.end == TEST and block.taken != block.next:
            taken = self._branches.compare(flagged=number in self._flagged)
            if block.taken == self._following(number):
                self._asm.jump_if(taken.inverse, self._label_to(number, block.next))
                return
            self._asm.jump_if(taken, self._label_to(number, block.taken))
            self._go(number, block.next)
        else:
            self._go(number, block.next)

    def _following(self, number: int) -> int:
        """The block that is written next."""
        number += 1
        while number in self._woven:
            number += 1
        return number

    def _go(self, number: int, target: int) -> None:
        if target != self._following(number):
            self._asm.jump(self._label_to(number, target))

    # Constants that are kept in registers

    def _keep(self, header: int) -> None:
        """Load what is kept in a loop, or in the whole unit."""
        for value, register in self._literals.kept.get(header, {}).items():
            if value >= 0:
                self._operands.load(register, value)

    def _stand(self, number: int) -> None:
        """Be in a block, as far as constants go."""
        self._operands.held = self._literals.around(self._loop(number))

    def _loop(self, number: int) -> int:
        return self._shape.loop[number] if self._shape.structured else UNIT

    def _label_to(self, source: int, target: int) -> Label:
        """Where a jump goes: from outside of a loop to where its constants are loaded."""
        if target in self._front_of:
            header = self._loop(source)
            while header not in (UNIT, target):
                header = self._shape.outer[header]
            if header == UNIT:
                return self._front_of[target]
        return self._label_of[target]

    def _at_start(self, number: int) -> Moment:
        """Where a block begins; its first step may be another than in the text (fusing.py)."""
        block, looked = self._unit.blocks[number], self._looked[number]
        if not looked:
            return self._at_nothing(number, block)
        return replace(Moment.ahead_of(looked[0]), pc=block.start)

    def _at_nothing(self, number: int, block: Block) -> Moment:
        """Behind a block's steps, where the exact engine takes over at what cannot be decoded."""
        looked = self._looked[number]
        if looked:
            return Moment(block.leave, EVERYTHING, EVERYTHING, looked[-1].behind, looked[-1].homes_behind)
        return Moment(block.leave, EVERYTHING, EVERYTHING, self._states[number] or [], self._homes[number])

    def _charge(self, segment: Segment, begins: Moment, charged: Charged | None = None) -> int:
        """Take a segment's cost off the budget, or leave where it does not suffice.

        The label of `charged` will stand behind the test: who has asked already comes there.
        """
        asm = self._asm
        if not self._program.checked:
            return segment.cost
        if segment.need == segment.cost and charged is None:
            fused = try_alu_imm(Alu.SUB, BUDGET, BUDGET, segment.cost, Flags.SET)
            if fused is not None and segment.cost:
                asm.emit(fused)
                asm.jump_if(Cond.LO, self._leaving(begins, segment.cost, short=True))
                return segment.cost
        if segment.need:
            test = try_compare_imm(Compare.CMP, BUDGET, segment.need)
            if test is None:
                asm.emit(*load_constant(self._t0, segment.need))
                test = compare(Compare.CMP, BUDGET, self._t0)
            asm.emit(test)
            asm.jump_if(Cond.LO, self._leaving(begins, 0, short=True))
        cost = segment.cost
        if charged is not None:
            if charged.extra:
                asm.emit(alu_imm(Alu.ADD, BUDGET, BUDGET, charged.extra))
                cost += charged.extra
            asm.bind(charged.label)
        if cost:
            encoding = try_alu_imm(Alu.SUB, BUDGET, BUDGET, cost)
            if encoding is None:
                asm.emit(*load_constant(self._t0, cost))
                encoding = alu_registers(Alu.SUB, BUDGET, BUDGET, self._t0)
            asm.emit(encoding)
        return segment.cost

    # Steps

    def _step(self, at: Looked) -> None:
        case, _, _, _, dst, _, _, _, _ = at.step
        if case == ALU:
            try:
                self._alu.write()
            except Divided:
                self._ask()
        elif case in (LOAD, LOAD_SIGNED):
            self._memory.load()
        elif case == STORE:
            self._memory.store()
        elif case in _CONSTANTS:
            value = at.behind[dst][0]
            self._operands.write(dst, False, value & MASK32, self._t0)
            self._operands.write(dst, True, value >> 32, self._t0)
        elif case == JUMP:  # into a function that stands here, or out of it
            return
        elif case == CALL_HELPER:
            self._ask()
        elif case == CALL_LOCAL:
            name = f"{self._prefix}c{len(self.call_sites)}"
            site = self._calls.call(name, self._exit)
            if site is not None:
                self.call_sites[name] = site
        else:
            self._memory.atomic()

    def _ask(self) -> None:
        """A request; the label stands behind its SVC, where a machine that it stopped is found."""
        name = f"{self._prefix}r{len(self.requests)}"
        self.requests[name] = self._exit_of(Moment.ahead_of(self._operands.at), self._left)
        self._calls.ask(name)

    # Exits

    def _exit(self) -> Label:
        """An exit at the step at hand."""
        return self._leaving(Moment.ahead_of(self._operands.at), self._left)

    def _leaving(
        self, moment: Moment, refund: int, *, short: bool = False, blamed: tuple[int, ...] = ()
    ) -> Label:
        label = self._asm.label()
        exit_ = replace(self._exit_of(moment, refund), short=short, blamed=blamed)
        self._waiting.append((label, exit_))
        return label

    def _exit_of(self, moment: Moment, refund: int) -> Exit:
        rounds = self._counting_now.rounds() if self._counting_now is not None else None
        return Exit(moment.pc, refund, moment.halves(), self._outermost, rounds=rounds)


def _deep_enough(program: Program, entry: State) -> Callable[[int], Body | None]:
    """What stands for a call, where it is certain that there are frames for it."""
    pointer = known(entry, FRAME_POINTER, high=False)
    frames = 0 if pointer is None else (pointer - program.deepest) // program.frame_size

    def body(start: int) -> Body | None:
        found = program.bodies.at(start) if frames else None
        return found if found is not None and found.frames <= frames else None

    return body
