"""The exact tier: one closure for each instruction, built when it is first reached.

A closure changes the registers and the machine and returns the slot of the next instruction. What it cannot
do it raises: GuestFault at this instruction, Finished when the entry function returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from device.vm.arithmetic import ATOMICS, CONDITIONS, OPERATIONS, signed
from device.vm.decode import (
    ALU,
    ATOMIC,
    ATOMIC_FETCH,
    BRANCH,
    CALL_HELPER,
    CALL_LOCAL,
    COMPARE_EXCHANGE,
    CONSTANT,
    DATA_ADDRESS,
    EXIT,
    JUMP,
    LOAD,
    LOAD_SIGNED,
    MASK32,
    MASK64,
    RODATA_ADDRESS,
    STORE,
    Step,
    decode_step,
)
from device.vm.faults import FaultCode, GuestFault
from device.vm.interpreter.machine import Finished, Machine, Renewed
from device.vm.isa import FRAME_POINTER, SLOT_SIZE, Sem
from device.vm.memory import ADDRESS_MASK, RODATA_BASE
from device.vm.program import PERIODIC_WAKEUP

Closure = Callable[[list[int], Machine], int]


class Closures:
    """The closures of one text, by slot; `code[slots]` stands for running past the end."""

    __slots__ = ("_data_base", "_steps", "code", "slots", "text")

    def __init__(self, text: bytes, data_base: int) -> None:
        self.text = text
        self._data_base = data_base
        self._steps: dict[int, Step] = {}
        self.slots = len(text) // SLOT_SIZE
        self.code: list[Closure] = [partial(self._first, pc) for pc in range(self.slots)]
        self.code.append(_past_the_end)

    def step(self, pc: int) -> Step:
        """The decoded instruction at a slot inside the text; raises GuestFault where there is none."""
        step = self._steps.get(pc)
        if step is None:
            step = self._steps[pc] = decode_step(self.text, pc)
        return step

    def build(self, pc: int) -> Closure:
        """The closure of the instruction at `pc`; one that raises where there is none."""
        try:
            step = self.step(pc)
        except GuestFault as fault:
            return partial(_refuse, fault.code, fault.detail)
        return _BUILDERS[step[0]](step, pc, self.slots, self._data_base)

    def whole(self) -> tuple[Closure, ...]:
        """The closures of all slots: what there is to execute when there is no text any more."""
        return tuple(map(self.build, range(self.slots)))

    def _first(self, pc: int, r: list[int], m: Machine) -> int:
        closure = self.build(pc)
        self.code[pc] = closure
        return closure(r, m)


class WholeClosures(Closures):
    """Closures that were made before the text went. Several of these may share them."""

    __slots__ = ("_whole",)

    def __init__(self, whole: Sequence[Closure]) -> None:
        super().__init__(b"", 0)
        self._whole = whole
        self.slots = len(whole)
        self.code = [*whole, _past_the_end]

    def build(self, pc: int) -> Closure:
        """See Closures."""
        return self._whole[pc]


def _past_the_end(_r: list[int], _m: Machine) -> int:
    raise GuestFault(FaultCode.NO_RETURN, "the program runs past its end")


def _refuse(code: FaultCode, detail: str, _r: list[int], _m: Machine) -> int:
    raise GuestFault(code, detail)


def _alu(step: Step, pc: int, _slots: int, _data_base: int) -> Closure:
    _, sem, width, mask, dst, src, _, imm, from_register = step
    operation, after, value = OPERATIONS[sem], pc + 1, imm & mask
    if sem is Sem.MOV and from_register:

        def move(r: list[int], _m: Machine) -> int:
            r[dst] = r[src] & mask
            return after

        return move
    if sem is Sem.MOV:

        def move_constant(r: list[int], _m: Machine) -> int:
            r[dst] = value
            return after

        return move_constant
    if sem is Sem.ADD and from_register:

        def add(r: list[int], _m: Machine) -> int:
            r[dst] = (r[dst] + r[src]) & mask
            return after

        return add
    if sem is Sem.ADD:

        def add_constant(r: list[int], _m: Machine) -> int:
            r[dst] = (r[dst] + value) & mask
            return after

        return add_constant
    if from_register:

        def operate(r: list[int], _m: Machine) -> int:
            r[dst] = operation(r[dst] & mask, r[src] & mask, width) & mask
            return after

        return operate

    def operate_constant(r: list[int], _m: Machine) -> int:
        r[dst] = operation(r[dst] & mask, value, width) & mask
        return after

    return operate_constant


def _branch(step: Step, pc: int, slots: int, _data_base: int) -> Closure:
    _, sem, width, mask, dst, src, target, imm, from_register = step
    condition, after, value = CONDITIONS[sem], pc + 1, imm & mask
    if not 0 <= target < slots:

        def lost(r: list[int], _m: Machine) -> int:
            if condition(r[dst] & mask, (r[src] & mask) if from_register else value, width):
                raise _outside(target)
            return after

        return lost
    if from_register:

        def test(r: list[int], _m: Machine) -> int:
            return target if condition(r[dst] & mask, r[src] & mask, width) else after

        return test

    def compare(r: list[int], _m: Machine) -> int:
        return target if condition(r[dst] & mask, value, width) else after

    return compare


def _jump(step: Step, _pc: int, slots: int, _data_base: int) -> Closure:
    target = step[6]
    if not 0 <= target < slots:

        def lost(_r: list[int], _m: Machine) -> int:
            raise _outside(target)

        return lost

    def jump(_r: list[int], _m: Machine) -> int:
        return target

    return jump


def _outside(target: int) -> GuestFault:
    return GuestFault(FaultCode.ILLEGAL_JUMP, f"jump to #{target} outside the program")


def _constant(step: Step, pc: int, _slots: int, data_base: int) -> Closure:
    case, _, _, _, dst, _, _, imm, _ = step
    value = imm if case == CONSTANT else (data_base if case == DATA_ADDRESS else RODATA_BASE) + imm & MASK32
    after = pc + 2

    def load_constant(r: list[int], _m: Machine) -> int:
        r[dst] = value
        return after

    return load_constant


def _load(step: Step, pc: int, _slots: int, _data_base: int) -> Closure:
    case, _, width, _, dst, src, off, _, _ = step
    size, after = width // 8, pc + 1
    if case == LOAD_SIGNED:

        def load_signed(r: list[int], m: Machine) -> int:
            r[dst] = signed(m.memory.load(r[src] + off & ADDRESS_MASK, size), width) & MASK64
            return after

        return load_signed

    def load(r: list[int], m: Machine) -> int:
        r[dst] = m.memory.load(r[src] + off & ADDRESS_MASK, size)
        return after

    return load


def _store(step: Step, pc: int, _slots: int, _data_base: int) -> Closure:
    _, _, width, _, dst, src, off, imm, from_register = step
    size, after = width // 8, pc + 1

    def store(r: list[int], m: Machine) -> int:
        m.memory.store(r[dst] + off & ADDRESS_MASK, size, r[src] if from_register else imm)
        return after

    return store


def _atomic(step: Step, pc: int, _slots: int, _data_base: int) -> Closure:
    case, sem, width, mask, dst, src, off, _, _ = step
    size, after = width // 8, pc + 1

    def exchange(r: list[int], m: Machine) -> int:
        address, memory = r[dst] + off & ADDRESS_MASK, m.memory
        memory.find(address, size, write=True)
        old = memory.load(address, size)
        if old == r[0] & mask:
            memory.store(address, size, r[src])
        r[0] = old
        return after

    def change(r: list[int], m: Machine) -> int:
        address, memory = r[dst] + off & ADDRESS_MASK, m.memory
        memory.find(address, size, write=True)
        old = memory.load(address, size)
        memory.store(address, size, ATOMICS[sem](old, r[src]))
        if case == ATOMIC_FETCH:
            r[src] = old
        return after

    return exchange if case == COMPARE_EXCHANGE else change


def _call_helper(step: Step, pc: int, _slots: int, _data_base: int) -> Closure:
    helper, after = step[7], pc + 1

    def call(r: list[int], m: Machine) -> int:
        r[0] = m.help(helper, *r[1:6]) & MASK64
        return after

    def wake_up(r: list[int], m: Machine) -> int:
        r[0] = m.help(helper, *r[1:6]) & MASK64
        if m.run.renews:
            raise Renewed(after)
        return after

    return wake_up if helper == PERIODIC_WAKEUP else call


def _call_local(step: Step, pc: int, slots: int, _data_base: int) -> Closure:
    target, after = step[6], pc + 1

    def call(r: list[int], m: Machine) -> int:
        if not 0 <= target < slots:
            raise GuestFault(FaultCode.ILLEGAL_CALL, f"local call to #{target} outside the program")
        frames, stack = m.frames, m.stack
        if len(frames) + 1 == stack.frames:
            detail = f"local call for frame {stack.frames + 1}, limit {stack.frames}"
            raise GuestFault(FaultCode.CALL_DEPTH, detail)
        frames.append((after, r[6:]))
        stack.activate(len(frames) + 1)
        r[FRAME_POINTER] -= stack.frame_size
        return target

    return call


def _exit(_step: Step, _pc: int, _slots: int, _data_base: int) -> Closure:
    def leave(r: list[int], m: Machine) -> int:
        if not m.frames:
            raise Finished
        after, r[6:] = m.frames.pop()
        m.stack.activate(len(m.frames) + 1)
        return after

    return leave


_BUILDERS: Final[dict[int, Callable[[Step, int, int, int], Closure]]] = {
    ALU: _alu,
    BRANCH: _branch,
    JUMP: _jump,
    CONSTANT: _constant,
    DATA_ADDRESS: _constant,
    RODATA_ADDRESS: _constant,
    LOAD: _load,
    LOAD_SIGNED: _load,
    STORE: _store,
    ATOMIC: _atomic,
    ATOMIC_FETCH: _atomic,
    COMPARE_EXCHANGE: _atomic,
    CALL_HELPER: _call_helper,
    CALL_LOCAL: _call_local,
    EXIT: _exit,
}
