"""That nothing of the encoder is left out of the comparison with capstone; and the long form of it, nightly.

The families of test_jit_encoder_data and test_jit_encoder_rest go through operands where there are few and
through their ends where there are many. Here all registers meet all registers and every number is encoded.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from itertools import product
from types import FunctionType

import pytest

from device.jit import encoder
from device.jit.encoder import (
    Access,
    Alu,
    Compare,
    Extend,
    Flags,
    Long,
    Shift,
    access,
    access_register,
    alu,
    alu_imm,
    bfc,
    bfi,
    compare,
    compare_imm,
    extend,
    load_literal,
    long_mul,
    mla,
    mls,
    movt,
    movw,
    mvn,
    sbfx,
    shift_imm,
    shift_reg,
    try_alu_imm,
    try_compare_imm,
    ubfx,
)
from tests.unit import test_jit_encoder_data as data
from tests.unit import test_jit_encoder_rest as rest
from tests.unit.jit_listing import NAMES, differences
from tests.unit.test_jit_encoder_data import GENERAL, MODIFIED, SETTERS, Cases, amounts, operand, suffix
from tests.unit.test_jit_encoder_rest import at

ENCODERS = {
    name
    for name in encoder.__all__
    if isinstance(getattr(encoder, name), FunctionType) and name not in ("decode_modified", "encode_modified")
}
ELSEWHERE = {"size_of", "load_constant"}
"""Not one encoding: tests of their own."""


def called(family: Callable[[], Cases]) -> set[str]:
    """The names that a family calls."""
    tree = ast.parse(inspect.getsource(family))
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {call.id for call in calls if isinstance(call, ast.Name)}


def test_every_encoding_is_compared() -> None:
    compared = set[str]().union(*(called(family) for family in (*data.FAMILIES, *rest.FAMILIES)))
    compared |= {name.removeprefix("try_") for name in compared}
    assert compared >= ENCODERS - ELSEWHERE


def test_every_public_function_of_its_modules_is_exported() -> None:
    """An encoding that is not could be emitted without being compared."""
    modules = (encoder.arithmetic, encoder.control, encoder.data, encoder.memory)
    for module in modules:
        own = {
            name
            for name, value in vars(module).items()
            if isinstance(value, FunctionType) and value.__module__ == module.__name__ and name[0] != "_"
        }
        assert own <= ENCODERS


# The long form


FIELDS = [(lsb, width) for lsb in range(0, 32, 3) for width in range(1, 33 - lsb)]
LITERAL = (Access.LDR, Access.LDRB, Access.LDRH, Access.LDRSB, Access.LDRSH)


def all_of_three_registers() -> Cases:
    for op, flags, rd, rn, rm in product(Alu, SETTERS, GENERAL, GENERAL, GENERAL):
        names = f"{NAMES[rd]}, {NAMES[rn]}, {NAMES[rm]}"
        yield alu(op, rd, rn, rm, flags), f"{op.name.lower()}{suffix(flags)} {names}"
    for shift, flags, rd, rn, rm in product(Shift, SETTERS, GENERAL, GENERAL, GENERAL):
        names = f"{NAMES[rd]}, {NAMES[rn]}, {NAMES[rm]}"
        yield shift_reg(shift, rd, rn, rm, flags), f"{shift.name.lower()}{suffix(flags)} {names}"


def all_shifted() -> Cases:
    for op, shift, flags in product(Alu, Shift, SETTERS):
        for amount, rd in product(amounts(shift), GENERAL):
            rn, rm = (rd + 5) % 13, (rd + 9) % 13
            text = f"{op.name.lower()}{suffix(flags)} {NAMES[rd]}, {NAMES[rn]}, {operand(rm, shift, amount)}"
            yield alu(op, rd, rn, rm, flags, shift, amount), text
    for shift, flags in product(Shift, SETTERS):
        for amount, rd, rm in product(amounts(shift), GENERAL, GENERAL):
            name = shift.name.lower() + suffix(flags)
            yield shift_imm(shift, rd, rm, amount, flags), f"{name} {NAMES[rd]}, {NAMES[rm]}, #{amount}"
    for test, shift in product(Compare, Shift):
        for amount, rn in product(amounts(shift), GENERAL):
            rm = (rn + 5) % 13
            text = f"{test.name.lower()} {NAMES[rn]}, {operand(rm, shift, amount)}"
            yield compare(test, rn, rm, shift, amount), text
    for shift, rd, rm in product(Shift, GENERAL, GENERAL):
        for amount in amounts(shift):
            yield mvn(rd, rm, Flags.KEEP, shift, amount), f"mvn {NAMES[rd]}, {operand(rm, shift, amount)}"


def all_constants() -> Cases:
    for op, flags, index in product(Alu, SETTERS, range(len(MODIFIED))):
        rd, rn, value = GENERAL[index % 14], GENERAL[index // 14 % 14], MODIFIED[index]
        if try_alu_imm(op, rd, rn, value, flags) is not None:
            text = f"{op.name.lower()}{suffix(flags)} {NAMES[rd]}, {NAMES[rn]}, #{value}"
            yield alu_imm(op, rd, rn, value, flags), text
    for test, rn, value in product(Compare, GENERAL, MODIFIED):
        if try_compare_imm(test, rn, value) is not None:
            yield compare_imm(test, rn, value), f"{test.name.lower()} {NAMES[rn]}, #{value}"
    for value in range(1 << 16):
        rd = GENERAL[value % 14]
        yield movw(rd, value), f"movw {NAMES[rd]}, #{value}"
        yield movt(rd, value), f"movt {NAMES[rd]}, #{value}"


def all_of_four_registers() -> Cases:
    for a, b, c, d in product(GENERAL, repeat=4):
        names = f"{NAMES[a]}, {NAMES[b]}, {NAMES[c]}, {NAMES[d]}"
        yield mla(a, b, c, d), f"mla {names}"
        yield mls(a, b, c, d), f"mls {names}"
        if a != b:
            yield from ((long_mul(op, a, b, c, d), f"{op.name.lower()} {names}") for op in Long)


def all_fields() -> Cases:
    for rd, rn in product(GENERAL, repeat=2):
        for lsb, width in FIELDS:
            names = f"{NAMES[rd]}, {NAMES[rn]}, #{lsb}, #{width}"
            yield ubfx(rd, rn, lsb, width), f"ubfx {names}"
            yield sbfx(rd, rn, lsb, width), f"sbfx {names}"
            yield bfi(rd, rn, lsb, width), f"bfi {names}"
            yield bfc(rd, lsb, width), f"bfc {NAMES[rd]}, #{lsb}, #{width}"
    for op, rd, rm, rotation in product(Extend, GENERAL, GENERAL, (8, 16, 24)):
        text = f"{op.name.lower()} {NAMES[rd]}, {NAMES[rm]}, ror #{rotation}"
        yield extend(op, rd, rm, rotation), text


def all_accesses() -> Cases:
    for op, rt, rn, rm in product(Access, GENERAL, (*GENERAL, 13), GENERAL):
        name = f"{op.name.lower()} {NAMES[rt]}"
        yield access_register(op, rt, rn, rm), f"{name}, [{NAMES[rn]}, {NAMES[rm]}]"
        for shift in (1, 2, 3):
            place = f"[{NAMES[rn]}, {NAMES[rm]}, lsl #{shift}]"
            yield access_register(op, rt, rn, rm, shift), f"{name}, {place}"
    for op, offset, rt in product(Access, range(-255, 4096), (0, 7, 8, 14)):
        rn = (3, 12, 13, 0)[(offset + rt) % 4]
        yield access(op, rt, rn, offset), f"{op.name.lower()} {NAMES[rt]}, {at(rn, offset)}"
    for op, distance in product(
        (Access.LDR, Access.LDRB, Access.LDRH, Access.LDRSB, Access.LDRSH), range(-4095, 4096)
    ):
        rt = GENERAL[distance % 13]
        yield load_literal(op, rt, distance), f"{op.name.lower()} {NAMES[rt]}, [pc, #{distance}]"


WHOLE: list[Callable[[], Cases]] = [
    all_of_three_registers,
    all_shifted,
    all_constants,
    all_of_four_registers,
    all_fields,
    all_accesses,
]


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", WHOLE, ids=lambda family: family.__name__)
def test_capstone_reads_what_was_meant(family: Callable[[], Cases]) -> None:
    assert differences(family()) == []
