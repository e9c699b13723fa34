"""Calls: requests to Python (helpers, 64-bit division) and local functions.

A request leaves its operands in words of the mailbox, except those that are known when code is compiled,
which stand in its `Request`. A local call saves what is live of the caller on the native stack, in an order
that its `CallSite` tells, so that whoever takes a run over finds every caller's registers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

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
    pop,
    push,
    svc,
    to_single,
    try_compare_imm,
)
from device.jit.fixups import Label
from device.jit.layout import FREE, MAILBOX, REQUEST
from device.jit.lowering.homes import SCRATCH, Half, Home
from device.jit.lowering.operands import Operands
from device.vm.analysis.liveness import HIGH, LOW
from device.vm.decode import ALU, CALL_HELPER
from device.vm.isa import FRAME_POINTER, Sem

T0, T1, T2, T3 = SCRATCH
OPERANDS: Final = FREE
"""The first word of a request's operands, and of its result: low and high halves in turn."""

STATE: Final = FREE + 16
"""The words of the registers where a function is entered: r0 low, r0 high, r1 low, and so on to r10."""

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
    """A local call: where the caller goes on, and what it saved, from the stack's top on.

    `constants` are the halves that are live behind the call and were known instead.
    """

    pc: int
    saved: Sequence[Half]
    constants: Mapping[Half, int]


class CallWriter:
    """Writes the call at `operands.at`.

    `request` numbers a request, `function` gives the label of a callee for what is known at the call,
    `needs` the halves that it reads, `returned` the argument registers that callers read behind a call.
    """

    def __init__(
        self,
        operands: Operands,
        request: Callable[[Request], int],
        function: Callable[[int], Label],
        needs: Callable[[int], int],
        returned: Sequence[int],
        frame_size: int,
        deepest: int,
    ) -> None:
        self._o = operands
        self._asm = operands.asm
        self._request = request
        self._function = function
        self._needs = needs
        self._returned = returned
        self._frame_size = frame_size
        self._deepest = deepest

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

    def _send(
        self,
        name: str,
        operands: Sequence[tuple[int, int | None]],
        helper: int | None,
        operation: Sem | None,
    ) -> None:
        o, asm = self._o, self._asm
        known: dict[int, int] = {}
        asm.emit(*load_constant(T0, MAILBOX))
        for index, (register, value) in enumerate(operands):
            for high in (False, True):
                word = 2 * index + high
                constant = o.constant(register, high) if value is None else value >> 32 * high & 0xFFFFFFFF
                if constant is not None:
                    known[word] = constant
                else:
                    holder = o.read(register, high, T1)
                    asm.emit(access(Access.STR, holder, T0, _WORD * (OPERANDS + word)))
        number = self._request(Request(helper, operation, known))
        asm.emit(*load_constant(T1, number), access(Access.STR, T1, T0, _WORD * REQUEST))
        asm.here(name)
        asm.emit(svc(0))

    def _receive(self, register: int) -> None:
        o = self._o
        for high in (False, True):
            if o.wants(register, high):
                holder = o.target(register, high, T1)
                self._asm.emit(access(Access.LDR, holder, T0, _WORD * (OPERANDS + high)))
                o.done(register, high, holder)

    # Local functions

    def call(self, name: str, exit_: Callable[[], Label]) -> CallSite:
        """A local call; `name` will be the label behind it. The callee's frame lies below ours."""
        o, asm, target = self._o, self._asm, self._o.at.step[6]
        self._check_depth(exit_)
        constants, saved = self._behind()
        asm.emit(*load_constant(T0, MAILBOX))
        needs = self._needs(target)
        for register in range(FRAME_POINTER):
            for high, halves in ((False, LOW), (True, HIGH)):
                if needs & halves[register]:
                    holder = o.read(register, high, T1)
                    asm.emit(access(Access.STR, holder, T0, _WORD * state_word(register, high)))
        pointer = o.read(FRAME_POINTER, False, T1)
        asm.emit(alu_imm(Alu.SUB, T2, pointer, self._frame_size))
        asm.emit(access(Access.STR, T2, T0, _WORD * state_word(FRAME_POINTER, False)))
        layout = self._save(saved)
        asm.call(self._function(target))
        asm.here(name)
        self._restore(layout)
        self._take_back()
        self._tell_frame()
        return CallSite(o.at.pc + 1, layout, constants)

    def _tell_frame(self) -> None:
        """Our frame is the one that helpers may reach again: they go by the r10 in the mailbox."""
        asm = self._asm
        asm.emit(*load_constant(T0, MAILBOX))
        pointer = self._o.read(FRAME_POINTER, False, T1)
        asm.emit(access(Access.STR, pointer, T0, _WORD * state_word(FRAME_POINTER, False)))

    def _check_depth(self, exit_: Callable[[], Label]) -> None:
        o, asm = self._o, self._asm
        pointer = o.constant(FRAME_POINTER, False)
        if pointer is not None:
            if pointer == self._deepest:
                asm.jump(exit_())
            return
        holder = o.read(FRAME_POINTER, False, T0)
        test = try_compare_imm(Compare.CMP, holder, self._deepest)
        if test is None:
            asm.emit(*load_constant(T1, self._deepest))
            test = compare(Compare.CMP, holder, T1)
        asm.emit(test)
        asm.jump_if(Cond.EQ, exit_())

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
                if (register, high) in o.homes:
                    saved.append((register, high))
                else:
                    constants[register, high] = o.constant(register, high) or 0
        if (FRAME_POINTER, False) in o.homes:
            saved.append((FRAME_POINTER, False))
        return constants, saved

    def _save(self, saved: Sequence[Half]) -> list[Half]:
        """Push them; what was pushed from the stack's top on."""
        o, asm = self._o, self._asm
        singles = [half for half in saved if o.homes[half].single]
        cores = sorted((half for half in saved if not o.homes[half].single), key=lambda h: o.homes[h].number)
        for half in singles:
            asm.emit(from_single(T1, o.homes[half].number), push([T1]))
        if cores:
            asm.emit(push([o.homes[half].number for half in cores]))
        return [*cores, *reversed(singles)]

    def _restore(self, layout: Sequence[Half]) -> None:
        """Pop them; T0 and T3 hold the result meanwhile."""
        o, asm = self._o, self._asm
        cores = [o.homes[half].number for half in layout if not o.homes[half].single]
        if cores:
            asm.emit(pop(cores))
        for half in layout:
            if o.homes[half].single:
                asm.emit(pop([T1]), to_single(o.homes[half].number, T1))

    def _take_back(self) -> None:
        """r0 comes in T0 and T3, other registers by their words."""
        o, asm = self._o, self._asm
        for high, holder in ((False, T0), (True, T3)):
            if o.wants(0, high):
                o.done(0, high, holder)
        wanted = [(r, high) for r in self._returned for high in (False, True) if o.wants(r, high)]
        if wanted:
            asm.emit(*load_constant(T0, MAILBOX))
        for register, high in wanted:
            holder = o.target(register, high, T1)
            asm.emit(access(Access.LDR, holder, T0, _WORD * state_word(register, high)))
            o.done(register, high, holder)

    # Entry and return

    def enter(self, parameters: Sequence[tuple[Half, Home]]) -> None:
        """A function's beginning: what it reads of its caller comes from the words of the state."""
        asm = self._asm
        asm.emit(push([R.LR]))
        if parameters:
            asm.emit(*load_constant(T0, MAILBOX))
        for (register, high), home in parameters:
            holder = int(T1) if home.single else home.number
            asm.emit(access(Access.LDR, holder, T0, _WORD * state_word(register, high)))
            if home.single:
                asm.emit(to_single(home.number, holder))

    def leave(self) -> None:
        """A return: r0 to T0 and T3, what callers read beside it to the state."""
        o, asm = self._o, self._asm
        if self._returned:
            asm.emit(*load_constant(T0, MAILBOX))
        for register in self._returned:
            for high in (False, True):
                holder = o.read(register, high, T1)
                asm.emit(access(Access.STR, holder, T0, _WORD * state_word(register, high)))
        o.copy(0, False, T0)
        o.copy(0, True, T3)
        asm.emit(pop([R.PC]))
