"""What each step does to the values that are known of registers.

A step is bound once to a function that changes a state, since the analysis goes over loops several times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from device.vm.analysis.lift import Unit
from device.vm.analysis.values import (
    ANY,
    RULES,
    State,
    Value,
    constant,
    cut,
    loaded,
    number,
    reached,
    unknown,
)
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
    RODATA_ADDRESS,
    STORE,
    Step,
)
from device.vm.isa import Sem
from device.vm.memory import RODATA_BASE

Effect = Callable[[State], None]
"""Changes a state to what holds behind a step."""

_MOV: Final = Sem.MOV


def bound(unit: Unit, data_base: int) -> list[list[Effect]]:
    """What each step of each block does. Control flow is not its business: a jump does nothing."""
    return [[_EFFECTS[step[0]](step, data_base) for _, step in block.steps] for block in unit.blocks]


def step_over(step: Step, state: State, data_base: int) -> None:
    """Change `state` to what holds behind the step."""
    _EFFECTS[step[0]](step, data_base)(state)


def _jump(_step: Step, _data_base: int) -> Effect:
    return _nothing


def _nothing(_state: State) -> None:
    """Of the registers nothing is changed."""


def _alu(step: Step, _data_base: int) -> Effect:
    _, sem, width, mask, dst, src, _, imm, from_register = step
    rule, value = RULES.get(sem, unknown), number(imm & mask)
    if sem is _MOV:
        return _moving(dst, src, width, mask) if from_register else _setting(dst, value)

    def operate(state: State) -> None:
        a, b = state[dst], state[src] if from_register else value
        if a[1] > mask:
            a = cut(a, width)
        if b[1] > mask:
            b = cut(b, width)
        state[dst] = rule(a, b, width)

    return operate


def _moving(dst: int, src: int, width: int, mask: int) -> Effect:
    def move(state: State) -> None:
        value = state[src]
        state[dst] = value if value[1] <= mask else cut(value, width)

    return move


def _setting(dst: int, value: Value) -> Effect:
    def put(state: State) -> None:
        state[dst] = value

    return put


def _load(step: Step, _data_base: int) -> Effect:
    case, _, width, _, dst, src, off, _, _ = step
    size, value = width // 8, loaded(width, sign=case == LOAD_SIGNED)

    def load(state: State) -> None:
        state[src] = reached(state[src], off, size)
        state[dst] = value

    return load


def _access(step: Step, _data_base: int) -> Effect:
    """A store; or an atomic operation with the register that it loads into."""
    case, _, width, _, dst, src, off, _, _ = step
    size, value = width // 8, loaded(width, sign=False)

    def store(state: State) -> None:
        state[dst] = reached(state[dst], off, size)

    def exchange(state: State) -> None:
        state[dst] = reached(state[dst], off, size)
        state[0 if case == COMPARE_EXCHANGE else src] = value

    return exchange if case in (ATOMIC_FETCH, COMPARE_EXCHANGE) else store


def _constant(step: Step, data_base: int) -> Effect:
    case, imm = step[0], step[7]
    if case == DATA_ADDRESS:
        imm = data_base + imm & MASK32
    elif case == RODATA_ADDRESS:
        imm = RODATA_BASE + imm & MASK32
    return _setting(step[4], constant(imm))


def _call_helper(_step: Step, _data_base: int) -> Effect:
    return _setting(0, ANY)


def _call_local(_step: Step, _data_base: int) -> Effect:
    def call(state: State) -> None:
        state[0:6] = [ANY] * 6

    return call


_EFFECTS: Final[dict[int, Callable[[Step, int], Effect]]] = {
    ALU: _alu,
    LOAD: _load,
    LOAD_SIGNED: _load,
    STORE: _access,
    ATOMIC: _access,
    ATOMIC_FETCH: _access,
    COMPARE_EXCHANGE: _access,
    CONSTANT: _constant,
    DATA_ADDRESS: _constant,
    RODATA_ADDRESS: _constant,
    CALL_HELPER: _call_helper,
    CALL_LOCAL: _call_local,
    BRANCH: _jump,
    JUMP: _jump,
    EXIT: _jump,
}
