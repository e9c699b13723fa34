"""Constants that are kept in registers: those that a loop, or a whole unit, would load again and again.

What an instruction cannot have in its encoding has to be loaded before it. Where it is in a loop the constant
is loaded in front of that instead, if it gets a register (webs.py). Which constants that are is foreseen
here by the rules of the writers; where this errs, a register is lost, or a constant loaded where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from device.jit.encoder import Alu, Compare, try_alu_imm, try_compare_imm, try_mov_imm
from device.jit.lowering.alu import is_shifted
from device.jit.lowering.looked import Looked, Product, known, weight_of
from device.jit.lowering.memory import Layout, Way, access_of, way_of
from device.jit.lowering.operands import NEAR
from device.vm.analysis.liveness import HIGH, LOW
from device.vm.analysis.structure import Structure
from device.vm.decode import (
    ALU,
    BRANCH,
    CALL_LOCAL,
    MASK32,
    STORE,
)
from device.vm.isa import Sem

UNIT: Final = -1
"""Stands for the whole unit among the headers of loops."""

_ENCODED: Final = {
    Sem.ADD: (Alu.ADD, Alu.ADC),
    Sem.SUB: (Alu.SUB, Alu.SBC),
    Sem.AND: (Alu.AND, Alu.AND),
    Sem.OR: (Alu.ORR, Alu.ORR),
    Sem.XOR: (Alu.EOR, Alu.EOR),
}
_LOGIC: Final = frozenset({Sem.AND, Sem.OR, Sem.XOR})
_LOADED: Final = frozenset({Sem.MUL, Sem.DIV, Sem.MOD, Sem.SDIV, Sem.SMOD})
_LEAST: Final = 2
"""Uses from which a constant is worth a register outside of loops."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A constant that had better be in a register in some blocks: all of a loop (by its header) or of a UNIT.

    `worth` are the instructions that this saves, weighed as those of webs are.
    """

    scope: int
    value: int
    worth: int
    blocks: Sequence[int]


@dataclass(frozen=True, slots=True)
class Literals:
    """The constants by what they are kept for, the header of a loop or UNIT, with their registers."""

    kept: Mapping[int, Mapping[int, int]]
    outer: Mapping[int, int]

    def around(self, header: int) -> dict[int, int]:
        """What is kept in the loop of `header`: there, in those around it, and in the whole unit."""
        found = dict(self.kept.get(UNIT, {}))
        while header != UNIT:
            found |= self.kept.get(header, {})
            header = self.outer.get(header, UNIT)
        return found


def literals(given: Iterable[tuple[Wish, int]], shape: Structure) -> Literals:
    """The wishes that were granted, with their registers."""
    kept: dict[int, dict[int, int]] = {}
    for wish, register in given:
        kept.setdefault(wish.scope, {})[wish.value] = register
    return Literals(kept, shape.outer)


def wishes(shape: Structure, looked: Sequence[Sequence[Looked]], layout: Layout) -> list[Wish]:
    """The constants that are worth a register."""
    if not shape.structured:
        return []
    scopes = _Scopes(shape, looked)
    wanted: dict[tuple[int, int], int] = {}
    addresses: dict[int, dict[int, int]] = {}
    for number, steps in enumerate(looked):
        scope = scopes.of[number]
        if scope is None:
            continue
        weight = weight_of(shape, number)
        for at in steps:
            for value in _loaded(at, layout):
                # A shift does for some factors: these are for registers that nobody else wants.
                worth = weight // 4 if at.product is not None and is_shifted(value) else weight
                wanted[scope, value] = wanted.get((scope, value), 0) + worth
            address = _address(at, layout)
            if address is not None:
                inside = addresses.setdefault(scope, {})
                inside[address] = inside.get(address, 0) + weight
    for scope, inside in addresses.items():
        for anchor, weight in _anchors(inside):
            wanted[scope, anchor] = wanted.get((scope, anchor), 0) + weight
    return [
        Wish(scope, value, worth * _cost(value), scopes.blocks[scope])
        for (scope, value), worth in wanted.items()
        if worth >= _LEAST
    ]


class _Scopes:
    """For every block the outermost loop around it that calls nothing, or UNIT; None where all call."""

    def __init__(self, shape: Structure, looked: Sequence[Sequence[Looked]]) -> None:
        calling: set[int] = set()
        chains = [_chain(shape, number) for number in range(len(looked))]
        self.blocks: dict[int, list[int]] = {}
        for number, (chain, steps) in enumerate(zip(chains, looked, strict=True)):
            if any(at.step[0] == CALL_LOCAL for at in steps):
                calling |= {*chain}
            for header in chain:
                self.blocks.setdefault(header, []).append(number)
        self.of: list[int | None] = []
        for chain in chains:
            free = [header for header in chain if header not in calling]
            inside = [header for header in free if header != UNIT]
            self.of.append(inside[0] if inside else free[0] if free else None)


def _chain(shape: Structure, number: int) -> list[int]:
    """UNIT and the headers of the loops around a block, the outermost first."""
    found = []
    header = shape.loop[number]
    while header != -1:
        found.append(header)
        header = shape.outer[header]
    return [UNIT, *reversed(found)]


def _cost(value: int) -> int:
    return 1 if try_mov_imm(0, value) is not None else 2


def _anchors(addresses: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Addresses from which others can be reached, with what those weigh together."""
    anchor, weight = -1, 0
    for address in sorted(addresses):
        if weight and address - anchor not in NEAR:
            yield anchor, weight
            weight = 0
        if not weight:
            anchor = address
        weight += addresses[address]
    if weight:
        yield anchor, weight


def _address(at: Looked, layout: Layout) -> int | None:
    """The address of an access, where only one is possible and it needs no test."""
    if at.fused is not None:
        return None
    found = access_of(at)
    if found is None:
        return None
    register, size, write = found
    base = known(at.before, register, high=False)
    if base is None:
        return None
    if way_of(at, register, size, layout, write=write).test != Way.PLAIN:
        return None
    return base + at.step[6] & MASK32


def _loaded(at: Looked, layout: Layout) -> Iterator[int]:
    """The constants that a step needs in registers."""
    case = at.step[0]
    if at.left_out:
        return
    if at.product is not None:
        yield from _by_product(at, at.product)
        return
    if at.fused is not None and case != ALU:
        values = (
            known(at.fused.first.before, register, False) for register in (at.fused.one, at.fused.other)
        )
        yield from (value for value in values if value is not None)
    if case == ALU:
        yield from _by_alu(at)
    elif case == BRANCH:
        for high in (False, True) if at.step[2] > 32 else (False,):
            value = _second(at, high)
            if value is not None and try_compare_imm(Compare.CMP, 0, value) is None:
                yield value
    else:
        found = access_of(at)
        if found is not None:
            yield from _by_access(at, *found, layout)


def _by_product(at: Looked, product: Product) -> Iterator[int]:
    """An instruction that multiplies and adds has its operands in registers."""
    factor = product.factor if product.other < 0 else known(product.first.before, product.other, False)
    for value in (factor, known(product.first.before, product.one, False)):
        if value is not None:
            yield value
    rest = _second(at, False) if product.behind else None
    if rest is not None:
        yield rest


def _by_access(at: Looked, register: int, size: int, write: bool, layout: Layout) -> Iterator[int]:
    way = way_of(at, register, size, layout, write=write)
    if way.test == Way.WITHIN:
        origin, last = way.numbers(at.step[6], size)
        if try_alu_imm(Alu.SUB, 0, 1, origin) is None:
            yield origin
        if try_compare_imm(Compare.CMP, 0, last) is None:
            yield last
    if at.step[0] == STORE:
        for high in (False, True) if size == 8 else (False,):
            value = _second(at, high)
            if value is not None:
                yield value


def _second(at: Looked, high: bool) -> int | None:
    """A half of the second operand, where it is a constant."""
    _, _, _, mask, _, src, _, imm, from_register = at.step
    if from_register:
        return known(at.before, src, high)
    return (imm & mask) >> 32 if high else imm & mask & MASK32


def _by_alu(at: Looked) -> Iterator[int]:
    _, sem, width, _, dst, _, _, _, _ = at.step
    low, high, _ = at.behind[dst]
    computes_high = width > 32 and high > MASK32 and at.live_behind & HIGH[dst] != 0
    if low == high or not (at.live_behind & LOW[dst] or computes_high):
        return
    halves = (False, True) if computes_high else (False,)
    if sem in _ENCODED:
        for half in halves:
            value = _second(at, half)
            neutral = sem in _LOGIC and value in (0, MASK32)
            if value is not None and not neutral:
                op = _ENCODED[sem][half]
                if try_alu_imm(op, 0, 1, value) is None:
                    yield value
            elif value is None:
                first = known(at.before, dst, half)
                if first is not None and try_alu_imm(_ENCODED[sem][half], 0, 1, first) is None:
                    yield first
    elif sem in _LOADED:
        for half in halves:
            value = _second(at, half)
            if value and not (sem is Sem.MUL and not computes_high and is_shifted(value)):
                yield value
