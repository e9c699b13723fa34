"""One unit as a native function: its blocks in order, the budget, and the exits.

An exit is a trap behind the function's code. Whoever finds the machine stopped at one knows by its `Exit`
which instruction has to be executed again, what of the budget is to be given back, and where each register's
halves are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from device.jit.assembler import Assembler
from device.jit.encoder import (
    Alu,
    Compare,
    Cond,
    Flags,
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
from device.jit.lowering.calls import CallSite, CallWriter, Request
from device.jit.lowering.homes import (
    BUDGET,
    SCRATCH,
    Half,
    Home,
    Homes,
    allocate,
    high_halves,
    weigh,
)
from device.jit.lowering.looked import Looked, look
from device.jit.lowering.memory import MemoryWriter, Place
from device.jit.lowering.operands import Operands, known
from device.vm.analysis.budget import Segment, segments
from device.vm.analysis.functions import Part
from device.vm.analysis.intervals import State, solve
from device.vm.analysis.lift import LEAVE, RETURN, TEST, Block
from device.vm.analysis.liveness import BOTH, EVERYTHING, HIGH, LOW
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
from device.vm.memory import STACK_TOP

T0, T1, T2, T3 = SCRATCH
NARROWINGS = 2
"""What is proved costs nothing, so that bounds are worth some time."""

_LOGIC = frozenset({Sem.AND, Sem.OR, Sem.XOR})
_THREE_OPERANDS = _LOGIC | {Sem.ADD, Sem.SUB, Sem.MUL, Sem.LSH, Sem.RSH, Sem.ARSH}
_CONSTANTS = frozenset({CONSTANT, DATA_ADDRESS, RODATA_ADDRESS})


@dataclass(frozen=True, slots=True)
class Exit:
    """Where compiled code is left at `pc`: `refund` instructions were charged and not executed.

    `halves` are those that are live, each in its home or a constant. `short` says that the budget left may
    not last to where it is looked at next.
    """

    pc: int
    refund: int
    halves: tuple[tuple[Half, Home | int], ...]
    short: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """What functions have in program.

    `places` are the regions by window, `needs` the halves that a function reads of its caller, `returned` the
    argument registers that callers read behind a call; `function` gives a callee's label, `checker` the label
    of the routine for accesses of unknown place, `request` a number for a request.
    """

    places: Sequence[Place | None]
    frame_size: int
    frames: int
    data_base: int
    distrusted: frozenset[int]
    needs: Callable[[int], int]
    returned: tuple[int, ...]
    function: Callable[[int, State], Label]
    checker: Callable[[int, bool], Label]
    request: Callable[[Request], int]
    checked: bool = True

    @property
    def returned_halves(self) -> int:
        """`returned` as liveness wants it."""
        return sum(BOTH[register] for register in self.returned)

    @property
    def deepest(self) -> int:
        """r10 in the deepest frame."""
        return STACK_TOP - (self.frames - 1) * self.frame_size


class FunctionWriter:
    """Compiles one unit into an assembler. `exits` and `calls` are by the names of their labels."""

    def __init__(
        self,
        asm: Assembler,
        program: Program,
        part: Part,
        entry: State,
        prefix: str,
    ) -> None:
        self._asm = asm
        self._program = program
        self._unit = unit = part.unit
        self._prefix = prefix
        self._segments = segments(unit, part.shape)
        self._live = part.live
        self._states = solve(unit, part.shape, entry, program.data_base, NARROWINGS)
        self._looked = look(
            unit, self._states, part.live, program.data_base, program.needs, program.returned_halves
        )
        self._needed = self._looked[0][0].live if self._looked[0] else part.entering
        highs = high_halves(at for steps in self._looked for at in steps)
        weights = weigh(self._looked, part.shape, highs, self._needed)
        if entry[FRAME_POINTER][0] != entry[FRAME_POINTER][1]:
            weights.setdefault((FRAME_POINTER, False), 1)
        self.homes: Homes = allocate(weights)
        self._entry = entry
        self._operands = Operands(asm, self.homes)
        self._alu = AluWriter(self._operands)
        self._branches = BranchWriter(self._operands)
        self._memory = MemoryWriter(
            self._operands,
            program.places,
            program.frame_size,
            program.distrusted,
            self._exit,
            program.checker,
            checked=program.checked,
        )
        self._calls = CallWriter(
            self._operands,
            program.request,
            lambda target: program.function(target, self._operands.at.before),
            program.needs,
            program.returned,
            program.frame_size,
            program.deepest,
        )
        self.exits: dict[str, Exit] = {}
        self.call_sites: dict[str, CallSite] = {}
        self.requests: dict[str, Exit] = {}
        self._waiting: list[tuple[Label, Exit]] = []
        self._label_of = [asm.label() for _ in unit.blocks]
        self._joined: dict[int, tuple[int, Joined]] = {}
        self._charged: dict[int, Label] = {}
        if program.checked:
            self._join_tests()
        self._left = 0

    @property
    def parameters(self) -> list[Half]:
        """The halves that the function takes from the state's words."""
        return [half for half, _ in self._parameters()]

    def write(self) -> None:
        """Write the whole function; its label is bound by the caller."""
        self._calls.enter(self._parameters())
        home = self.homes.get((FRAME_POINTER, False))
        if home is not None and self._entry[FRAME_POINTER][0] == STACK_TOP and not home.single:
            self._operands.load(home.number, STACK_TOP)
        for number, block in enumerate(self._unit.blocks):
            self._block(number, block)
        self._asm.pool()
        for label, exit_ in self._waiting:
            name = f"{self._prefix}x{len(self.exits)}"
            self.exits[name] = exit_
            self._asm.bind(label)
            self._asm.here(name)
            self._asm.emit(udf(0))

    def _parameters(self) -> list[tuple[Half, Home]]:
        found: list[tuple[Half, Home]] = []
        for register in range(FRAME_POINTER):
            for high, halves in ((False, LOW), (True, HIGH)):
                if self._needed & halves[register] and (register, high) in self.homes:
                    found.append(((register, high), self.homes[register, high]))
        low, high_bound, _ = self._entry[FRAME_POINTER]
        if low != high_bound and (FRAME_POINTER, False) in self.homes:
            found.append(((FRAME_POINTER, False), self.homes[FRAME_POINTER, False]))
        return found

    # Loops whose end asks for the budget of the next round too

    def _join_tests(self) -> None:
        """Find the branches back to a header that can ask both questions at once (branches.Joined)."""
        for number, block in enumerate(self._unit.blocks):
            if block.end != TEST or block.taken == block.next or not self._looked[number]:
                continue
            header = min(block.taken, block.next)
            need = self._segments[header][0].need
            if header > number or not need or not self._looked[header]:
                continue
            self._operands.at = self._looked[number][-1]
            joined = self._branches.joined(need, taken=header == block.taken)
            if joined is not None:
                self._joined[number] = header, joined
                self._charged.setdefault(header, self._asm.label())

    def _end_of_loop(self, number: int, block: Block) -> None:
        """Back to where the header charges, or out; a loop that must not go on is left at its header."""
        asm = self._asm
        header, joined = self._joined[number]
        asm.emit(*joined.encodings)
        asm.jump_if(joined.cond, self._charged[header])
        taken = self._branches.compare()
        goes_on = taken if header == block.taken else taken.inverse
        start, first = self._unit.blocks[header].start, self._looked[header][0]
        asm.jump_if(goes_on, self._leaving(start, 0, first.live, first.wanted, first.before, short=True))
        self._go(number, block.next if header == block.taken else block.taken)

    # Blocks

    def _block(self, number: int, block: Block) -> None:
        asm = self._asm
        asm.bind(self._label_of[number])
        if self._states[number] is None:
            asm.emit(udf(1))  # nothing comes here
            return
        looked = self._looked[number]
        waiting = iter(self._segments[number])
        live, wanted = (looked[0].live, looked[0].wanted) if looked else (EVERYTHING, EVERYTHING)
        state = self._states[number] or []
        charged = self._charged.get(number)
        self._left = self._charge(next(waiting), block.start, live, wanted, state, charged)
        for index, at in enumerate(looked):
            self._operands.at = at
            asm.mark(at.pc)
            if at.step[0] in (BRANCH, JUMP, EXIT):
                break
            if not self._is_left_out(index, looked):
                self._step(at)
                self._operands.alias = None
            self._left -= 1
            if at.step[0] == CALL_LOCAL:
                behind = looked[index + 1] if index + 1 < len(looked) else at
                self._left = self._charge(
                    next(waiting), at.pc + 1, at.live_behind, at.wanted_behind, behind.before
                )
        self._end(number, block)

    def _end(self, number: int, block: Block) -> None:
        if block.end == RETURN:
            self._calls.leave()
        elif block.end == LEAVE:
            looked = self._looked[number]
            state = looked[-1].behind if looked else self._states[number]
            self._asm.jump(self._leaving(block.leave, 0, EVERYTHING, EVERYTHING, state or []))
        elif number in self._joined:
            self._end_of_loop(number, block)
        elif block.end == TEST and block.taken != block.next:
            taken = self._branches.compare()
            if block.taken == number + 1:
                self._asm.jump_if(taken.inverse, self._label_of[block.next])
                return
            self._asm.jump_if(taken, self._label_of[block.taken])
            self._go(number, block.next)
        else:
            self._go(number, block.next)

    def _go(self, number: int, target: int) -> None:
        if target != number + 1:
            self._asm.jump(self._label_of[target])

    def _charge(
        self,
        segment: Segment,
        pc: int,
        live: int,
        wanted: int,
        state: State,
        charged: Label | None = None,
    ) -> int:
        """Take a segment's cost off the budget, or leave where it does not suffice.

        `charged` will stand behind the test: who has asked already comes there.
        """
        asm = self._asm
        if not self._program.checked:
            return segment.cost
        if segment.need == segment.cost and charged is None:
            fused = try_alu_imm(Alu.SUB, BUDGET, BUDGET, segment.cost, Flags.SET)
            if fused is not None and segment.cost:
                asm.emit(fused)
                asm.jump_if(Cond.LO, self._leaving(pc, segment.cost, live, wanted, state, short=True))
                return segment.cost
        if segment.need:
            test = try_compare_imm(Compare.CMP, BUDGET, segment.need)
            if test is None:
                asm.emit(*load_constant(T0, segment.need))
                test = compare(Compare.CMP, BUDGET, T0)
            asm.emit(test)
            asm.jump_if(Cond.LO, self._leaving(pc, 0, live, wanted, state, short=True))
        if charged is not None:
            asm.bind(charged)
        if segment.cost:
            encoding = try_alu_imm(Alu.SUB, BUDGET, BUDGET, segment.cost)
            if encoding is None:
                asm.emit(*load_constant(T0, segment.cost))
                encoding = alu_registers(Alu.SUB, BUDGET, BUDGET, T0)
            asm.emit(encoding)
        return segment.cost

    # Steps

    def _is_left_out(self, index: int, looked: Sequence[Looked]) -> bool:
        """Whether this is a move whose target the next instruction computes with: that reads the source."""
        if index + 1 == len(looked):
            return False
        case, sem, _, _, dst, src, _, _, from_register = looked[index].step
        if case != ALU or sem is not Sem.MOV or not from_register or src == dst:
            return False
        at = looked[index + 1]
        case, sem, width, _, target, _, _, imm, from_register = at.step
        if case != ALU or target != dst or sem not in _THREE_OPERANDS or not at.live_behind & BOTH[dst]:
            return False
        if not from_register and (sem in _LOGIC or not imm & (width - 1)):
            return False  # it may have nothing to do, in place
        self._operands.alias = (dst, src)
        return True

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
            self._operands.write(dst, False, value & MASK32, T0)
            self._operands.write(dst, True, value >> 32, T0)
        elif case == CALL_HELPER:
            self._ask()
        elif case == CALL_LOCAL:
            name = f"{self._prefix}c{len(self.call_sites)}"
            self.call_sites[name] = self._calls.call(name, self._exit)
        else:
            self._memory.atomic()

    def _ask(self) -> None:
        """A request; the label stands behind its SVC, where a machine that it stopped is found."""
        at = self._operands.at
        name = f"{self._prefix}r{len(self.requests)}"
        self.requests[name] = self._exit_of(at.pc, self._left, at.live, at.wanted, at.before)
        self._calls.ask(name)

    # Exits

    def _exit(self) -> Label:
        """An exit at the step at hand."""
        at = self._operands.at
        return self._leaving(at.pc, self._left, at.live, at.wanted, at.before)

    def _leaving(
        self, pc: int, refund: int, live: int, wanted: int, state: State, *, short: bool = False
    ) -> Label:
        label = self._asm.label()
        exit_ = self._exit_of(pc, refund, live, wanted, state)
        self._waiting.append((label, replace(exit_, short=short)))
        return label

    def _exit_of(self, pc: int, refund: int, live: int, wanted: int, state: State) -> Exit:
        halves: list[tuple[Half, Home | int]] = []
        for register in range(FRAME_POINTER):
            for high, bits in ((False, LOW), (True, HIGH)):
                if live & bits[register]:
                    constant = known(state, register, high, self.homes)
                    home = self.homes.get((register, high))
                    where = home if home is not None else constant
                    if where is None:
                        raise AssertionError(f"a half of r{register} is live and has no home")
                    halves.append(((register, high), where))
                elif wanted & bits[register]:
                    halves.append(((register, high), 0))
        return Exit(pc, refund, tuple(halves))
