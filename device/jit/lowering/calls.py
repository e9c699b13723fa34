"""Calls: requests to Python (helpers, 64-bit division) and local functions.

A request leaves its operands in words of the mailbox, except those that are known when code is compiled,
which stand in its `Request`. A local call saves what is live of the caller on the native stack, in an order
that its `CallSite` tells, so that whoever takes a run over finds every caller's registers; what the callee
reads comes in R0 and up, and in words of the mailbox when those do not suffice. r0 comes back in R0 and R1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from device.jit.assembler import Assembler
from device.jit.encoder import (
    Access,
    Alu,
    Compare,
    Cond,
    R,
    access,
    alu_imm,
    compare,
    from_single,
    load_constant,
    mov,
    pop,
    push,
    svc,
    to_single,
    try_compare_imm,
)
from device.jit.fixups import Label
from device.jit.layout import FREE, MAILBOX, REQUEST
from device.jit.lowering.looked import FRAME, Half, Home, Homes, known
from device.jit.lowering.operands import Operands
from device.jit.lowering.webs import BUDGET, RESULTS
from device.vm.analysis.liveness import HIGH, LOW
from device.vm.analysis.values import State
from device.vm.decode import ALU, CALL_HELPER
from device.vm.isa import FRAME_POINTER, Sem

OPERANDS: Final = FREE
"""The first word of a request's operands, and of its result: low and high halves in turn."""

STATE: Final = FREE + 16
"""The words of the registers where a function is entered: r0 low, r0 high, r1 low, and so on to r10."""

BUDGET_WORD: Final = STATE + 22
"""The word of the budget where code is entered."""

_IN_REGISTERS: Final = (R.R0, R.R1, R.R2, R.R3, R.R4, R.R5, R.R6)
"""Where a local function finds the first halves that it reads."""

_PRESERVED: Final = frozenset({R.R4, R.R5, R.R6, R.R7, R.R8, R.R9, R.R10, R.R11})
"""What the dispatcher's callee has to preserve."""

_SPARE: Final = (int(R.R12), int(R.LR), int(R.R11))
"""No homes, and around a local call no scratch registers either."""

_WORD: Final = 4


def state_word(register: int, high: bool) -> int:
    """The word of a half at an entry."""
    return STATE + 2 * register + high


@dataclass(frozen=True, slots=True)
class Request:
    """What an SVC stands for: a helper's id, or an operation on two 64-bit numbers.

    `known` are the values of operand words that code does not store, by their number.
    """

    helper: int | None
    operation: Sem | None
    known: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class CallSite:
    """A local call: where the caller goes on, and the halves in each word saved, the stack's top first.

    `constants` are the halves that are live behind the call and were known instead. Nobody called an
    `outermost` caller but the dispatcher.
    """

    pc: int
    saved: Sequence[Sequence[Half]]
    constants: Mapping[Half, int]
    outermost: bool


@dataclass(frozen=True, slots=True)
class Callee:
    """A local function as it is called: its label, and the halves that it wants of its caller, in order."""

    label: Label
    passed: Sequence[Half]


def arriving(passed: Sequence[Half]) -> dict[Half, int]:
    """The registers that halves come in."""
    return dict(zip(passed, map(int, _IN_REGISTERS), strict=False))


class CallWriter:
    """Writes the call at `operands.at`, and where a function begins and ends.

    `request` numbers a request, `function` gives a callee for what is known at the call, `returned` are the
    argument registers that callers read behind a call. A function that is `outermost` is called by the
    dispatcher. With `framed`, there are several frames: helpers are told by r10 which of them is ours.
    """

    def __init__(
        self,
        operands: Operands,
        request: Callable[[Request], int],
        function: Callable[[int], Callee],
        returned: Sequence[int],
        frame_size: int,
        deepest: int,
        *,
        outermost: bool,
        framed: bool,
    ) -> None:
        self._o = operands
        self._asm: Assembler = operands.asm
        self._t0, self._t1, _, _ = operands.scratch
        self._request = request
        self._function = function
        self._returned = returned
        self._frame_size = frame_size
        self._deepest = deepest
        self._outermost = outermost
        self._framed = framed
        self._saved: list[int] = []

    # Requests

    def ask(self, name: str) -> None:
        """A helper call, or a division that there is no instruction for; `name` labels the SVC."""
        case, sem, _, mask, dst, src, _, imm, from_register = self._o.at.step
        if case == CALL_HELPER:
            self._send(name, [(register, None) for register in range(1, 6)], imm, None)
            self._receive(0)
            return
        if case != ALU:
            raise AssertionError(f"no request for case {case}")
        operands = [(dst, None), (src, None) if from_register else (-1, imm & mask)]
        self._send(name, operands, None, sem)
        self._receive(dst)

    def _mailbox(self) -> tuple[int, int]:
        """A register, and how far from what it points at the mailbox begins."""
        if self._outermost:  # the dispatcher calls with SP at the mailbox
            return R.SP, _WORD * len(self._saved)
        self._asm.emit(*load_constant(self._t0, MAILBOX))
        return self._t0, 0

    def _send(
        self,
        name: str,
        operands: Sequence[tuple[int, int | None]],
        helper: int | None,
        operation: Sem | None,
    ) -> None:
        o, asm = self._o, self._asm
        known_words: dict[int, int] = {}
        base, start = self._mailbox()
        for index, (register, value) in enumerate(operands):
            for high in (False, True):
                word = 2 * index + high
                constant = o.constant(register, high) if value is None else value >> 32 * high & 0xFFFFFFFF
                if constant is not None:
                    known_words[word] = constant
                else:
                    holder = o.read(register, high, self._t1)
                    asm.emit(access(Access.STR, holder, base, start + _WORD * (OPERANDS + word)))
        if self._framed and helper is not None:
            holder = o.read(FRAME_POINTER, False, self._t1)
            asm.emit(access(Access.STR, holder, base, start + _WORD * state_word(FRAME_POINTER, False)))
        number = self._request(Request(helper, operation, known_words))
        holder = o.spare(self._t1)
        o.load(holder, number)
        asm.emit(access(Access.STR, holder, base, start + _WORD * REQUEST))
        asm.here(name)
        asm.emit(svc(0))
        self._from = base, start

    def _receive(self, register: int) -> None:
        o, (base, start) = self._o, self._from
        for high in (False, True):
            if o.wants(register, high):
                holder = o.target(register, high, self._t1)
                self._asm.emit(access(Access.LDR, holder, base, start + _WORD * (OPERANDS + high)))
                o.done(register, high, holder)

    # Local functions

    def call(self, name: str, exit_: Callable[[], Label]) -> CallSite | None:
        """A local call; `name` will be the label behind it. None where there is no frame for it."""
        o, asm = self._o, self._asm
        if not self._check_depth(exit_):
            return None
        callee = self._function(o.at.step[6])
        constants, saved = self._behind()
        layout = self._save(saved)
        self._pass(callee.passed)
        asm.call(callee.label)
        asm.here(name)
        self._take_back(layout)
        words = [halves for _, halves in layout]
        return CallSite(o.at.pc + 1, words, constants, self._outermost)

    def _check_depth(self, exit_: Callable[[], Label]) -> bool:
        """Leave where there is no frame below ours; False when that is certain."""
        o, asm = self._o, self._asm
        pointer = o.constant(FRAME_POINTER, False)
        if pointer is not None:
            if pointer == self._deepest:
                asm.jump(exit_())
            return pointer != self._deepest
        holder = o.read(FRAME_POINTER, False, self._t0)
        test = try_compare_imm(Compare.CMP, holder, self._deepest)
        if test is None:
            o.load(self._t1, self._deepest)
            test = compare(Compare.CMP, holder, self._t1)
        asm.emit(test)
        asm.jump_if(Cond.EQ, exit_())
        return True

    def _behind(self) -> tuple[dict[Half, int], list[Half]]:
        """What is live of r6 to r10 behind the call: the constants, and the halves in homes."""
        o = self._o
        constants: dict[Half, int] = {}
        saved: list[Half] = []
        for register in range(6, FRAME_POINTER):
            for high, halves in ((False, LOW), (True, HIGH)):
                if not o.at.live_behind & halves[register]:
                    if o.at.wanted_behind & halves[register]:
                        constants[register, high] = 0
                    continue
                if (register, high) in o.at.homes_behind:
                    saved.append((register, high))
                else:
                    constants[register, high] = o.constant(register, high) or 0
        if FRAME in o.at.homes_behind:
            saved.append(FRAME)
        return constants, saved

    def _save(self, saved: Sequence[Half]) -> list[tuple[Home, list[Half]]]:
        """Push them; which home each word was in from the stack's top on, and the halves that share it."""
        homes, asm = self._o.at.homes_behind, self._asm
        sharing: dict[Home, list[Half]] = {}
        for half in saved:
            sharing.setdefault(homes[half], []).append(half)
        singles = [home for home in sharing if home.single]
        cores = sorted((home for home in sharing if not home.single), key=lambda home: home.number)
        for home in singles:
            asm.emit(from_single(R.R12, home.number), push([R.R12]))
        if cores:
            asm.emit(push([home.number for home in cores]))
        return [(home, sharing[home]) for home in (*cores, *reversed(singles))]

    def _pass(self, passed: Sequence[Half]) -> None:
        """Bring the halves to where the callee wants them; r10 is the callee's."""
        o, asm = self._o, self._asm
        above = passed[len(_IN_REGISTERS) :]
        if above:
            asm.emit(*load_constant(R.R12, MAILBOX))
        for register, high in above:
            holder = o.read(register, high, R.LR)
            if register == FRAME_POINTER:
                asm.emit(alu_imm(Alu.SUB, R.LR, holder, self._frame_size))
                holder = R.LR
            asm.emit(access(Access.STR, holder, R.R12, _WORD * state_word(register, high)))
        moves: dict[int, int] = {}
        late: list[tuple[int, Half]] = []
        for half, target in zip(passed, _IN_REGISTERS, strict=False):
            core = o.core(*half)
            if core is None:
                late.append((target, half))
            else:
                moves[target] = core
        move_together(asm, moves)
        for place, (register, high) in late:
            o.copy(register, high, place)
        for (register, _), target in zip(passed, _IN_REGISTERS, strict=False):
            if register == FRAME_POINTER:
                asm.emit(alu_imm(Alu.SUB, target, target, self._frame_size))

    def _take_back(self, layout: Sequence[tuple[Home, Sequence[Half]]]) -> None:
        """Pop what was saved, and take r0 from R0 and R1, other registers from their words."""
        o, asm, homes = self._o, self._asm, self._o.at.homes_behind
        results = [half for half in RESULTS if half in homes]
        cores = [home.number for home, _ in layout if not home.single]
        waiting: dict[int, int] = {}
        for half, spare in zip(RESULTS, _SPARE, strict=False):
            if half in results and RESULTS[half] in cores:
                asm.emit(mov(spare, RESULTS[half]))
                waiting[spare] = RESULTS[half]
        if cores:
            asm.emit(pop(cores))
        for home, _ in layout:
            if home.single:
                asm.emit(pop([R.R11]), to_single(home.number, R.R11))
        held = {register: spare for spare, register in waiting.items()}
        moves: dict[int, int] = {}
        holder: int
        for half in results:
            holder, home = held.get(RESULTS[half], RESULTS[half]), homes[half]
            if home.single:
                asm.emit(to_single(home.number, holder))
            else:
                moves[home.number] = holder
        move_together(asm, moves)
        wanted = [(r, high) for r in self._returned for high in (False, True) if o.wants(r, high)]
        if wanted:
            asm.emit(*load_constant(R.R12, MAILBOX))
        for register, high in wanted:
            holder = o.target(register, high, R.R11)
            asm.emit(access(Access.LDR, holder, R.R12, _WORD * state_word(register, high)))
            o.done(register, high, holder)

    # Entry and return

    def enter(self, homes: Homes, state: State, passed: Sequence[Half], used: frozenset[int]) -> list[Half]:
        """A function's beginning: its halves into their homes. Returns those that it takes from words.

        `state` is what is known of the registers, `passed` are the halves that a caller brings, and `used`
        the registers that the function changes.
        """
        asm = self._asm
        if self._outermost:
            self._saved = [*sorted(used & _PRESERVED), R.LR]
            asm.emit(push(self._saved))
            asm.emit(access(Access.LDR, BUDGET, R.SP, _WORD * (len(self._saved) + BUDGET_WORD)))
            from_words = [half for half in homes if known(state, *half) is None]
        else:
            asm.emit(push([R.LR]))
            self._distribute(homes, passed[: len(_IN_REGISTERS)])
            from_words = [half for half in passed[len(_IN_REGISTERS) :] if half in homes]
        if from_words:
            self._fetch(homes, from_words)
        for half, home in homes.items():
            value = known(state, *half)
            if value is not None:
                holder = int(self._t0) if home.single else home.number
                self._o.load(holder, value)
                if home.single:
                    asm.emit(to_single(home.number, holder))
        return from_words

    def _distribute(self, homes: Homes, passed: Sequence[Half]) -> None:
        """What came in registers to its homes."""
        moves: dict[int, int] = {}
        for half, register in zip(passed, _IN_REGISTERS, strict=False):
            home = homes.get(half)
            if home is None:
                continue
            if home.single:
                self._asm.emit(to_single(home.number, register))
            else:
                moves[home.number] = register
        move_together(self._asm, moves)

    def _fetch(self, homes: Homes, halves: Sequence[Half]) -> None:
        base, start = (R.SP, _WORD * len(self._saved)) if self._outermost else (R.R12, 0)
        if not self._outermost:
            self._asm.emit(*load_constant(base, MAILBOX))
        for register, high in halves:
            home = homes[register, high]
            holder = int(R.LR) if home.single else home.number
            self._asm.emit(access(Access.LDR, holder, base, start + _WORD * state_word(register, high)))
            if home.single:
                self._asm.emit(to_single(home.number, holder))

    def leave(self) -> None:
        """A return: r0 to R0 and R1, what callers read beside it to its words, the budget to R2."""
        o, asm = self._o, self._asm
        if self._returned:
            asm.emit(*load_constant(R.R12, MAILBOX))
        for register in self._returned:
            for high in (False, True):
                holder = o.read(register, high, R.LR)
                asm.emit(access(Access.STR, holder, R.R12, _WORD * state_word(register, high)))
        moves: dict[int, int] = {}
        late: list[Half] = []
        for half, target in RESULTS.items():
            core = o.core(*half)
            if core is None:
                late.append(half)
            else:
                moves[target] = core
        move_together(asm, moves)
        o.held = {}  # a constant that was kept may have been in one of these
        for half in late:
            o.copy(*half, RESULTS[half])
        if self._outermost:
            asm.emit(mov(R.R2, BUDGET))
            asm.emit(pop([*self._saved[:-1], R.PC]))
        else:
            asm.emit(pop([R.PC]))


def move_together(asm: Assembler, moves: Mapping[int, int]) -> None:
    """Move core registers to others at once: `moves` has the source of each target. R12 may be lost."""
    left = {target: source for target, source in moves.items() if target != source}
    while left:
        ready = [target for target in left if target not in left.values()]
        if ready:
            asm.emit(mov(ready[0], left.pop(ready[0])))
            continue
        source = next(iter(left.values()))  # in a circle: its value waits elsewhere
        asm.emit(mov(R.R12, source))
        left = {other: R.R12 if wanted == source else wanted for other, wanted in left.items()}
