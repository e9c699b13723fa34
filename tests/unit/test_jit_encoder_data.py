"""Data processing against capstone: every form, over its whole operand range where that is small."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import product

import pytest

from device.jit.encoder import (
    Alu,
    Compare,
    Cond,
    Flags,
    Shift,
    alu,
    alu_imm,
    compare,
    compare_imm,
    decode_modified,
    encode_modified,
    if_then,
    load_constant,
    mov,
    movt,
    movw,
    mvn,
    mvn_imm,
    rrx,
    shift_imm,
    shift_reg,
    size_of,
    try_alu_imm,
    try_compare_imm,
    try_mov_imm,
)
from device.jit.errors import EncodingError
from tests.unit.jit_listing import NAMES, WORD, differences, disassemble, meaning, plain, to_bytes

GENERAL = (*range(13), 14)
SOME = (0, 3, 7, 8, 12, 14)
SETTERS = (Flags.KEEP, Flags.SET)
CORNERS = (0, 1, 2, 3, 4, 7, 8, 31, 127, 128, 255, 256, 257, 508, 512, 1020, 4095, 4096, 0x7FFF, 0xFFFF)
CONSTANTS = sorted(
    {v & WORD for c in CORNERS for v in (c, -c, c << 16, c << 23, ~c, c * 0x10001, 0x80000000 + c)}
)
MODIFIED = [decode_modified(f) for f in range(4096) if f & 0xFF or not 0 < f >> 8 < 4]

Cases = Iterator[tuple[int, str]]


def suffix(flags: Flags) -> str:
    return "s" if flags in (Flags.SET, Flags.SET_IN_IT) else ""


def operand(rm: int, shift: Shift, amount: int) -> str:
    return f"{NAMES[rm]}, {shift.name.lower()} #{amount}"


def amounts(shift: Shift) -> range:
    first = 0 if shift is Shift.LSL else 1
    return range(first or 1, 33 if shift in (Shift.LSR, Shift.ASR) else 32)


def alu_registers() -> Cases:
    for op, flags in product(Alu, SETTERS):
        for rd, rn, rm in product(GENERAL, repeat=3):
            if op in (Alu.RSB, Alu.ORN) and rd not in SOME:
                continue
            yield (
                alu(op, rd, rn, rm, flags),
                f"{op.name.lower()}{suffix(flags)} {NAMES[rd]}, {NAMES[rn]}, {NAMES[rm]}",
            )


def alu_shifted() -> Cases:
    for op, shift, flags in product(Alu, Shift, SETTERS):
        for amount, (rd, rn, rm) in product(amounts(shift), ((0, 1, 2), (8, 8, 7), (14, 3, 12))):
            text = f"{op.name.lower()}{suffix(flags)} {NAMES[rd]}, {NAMES[rn]}, {operand(rm, shift, amount)}"
            yield alu(op, rd, rn, rm, flags, shift, amount), text


def alu_with_sp() -> Cases:
    for rd, rm in product(GENERAL, repeat=2):
        yield alu(Alu.ADD, rd, 13, rm), f"add {NAMES[rd]}, sp, {NAMES[rm]}"
        yield alu(Alu.SUB, rd, 13, rm), f"sub {NAMES[rd]}, sp, {NAMES[rm]}"
    for rm in GENERAL:
        yield alu(Alu.ADD, 13, 13, rm), f"add sp, sp, {NAMES[rm]}"
        yield alu(Alu.SUB, 13, 13, rm, Flags.ANY, Shift.LSL, 3), f"sub sp, sp, {NAMES[rm]}, lsl #3"
    for rd, value in product((*GENERAL, 13), (0, 4, 8, 508, 512, 1020, 1024, 3, 4095)):
        yield alu_imm(Alu.ADD, rd, 13, value, Flags.KEEP), f"add {NAMES[rd]}, sp, #{value}"
        yield alu_imm(Alu.SUB, rd, 13, value, Flags.KEEP), f"sub {NAMES[rd]}, sp, #{value}"


def alu_constants() -> Cases:
    for op, flags, value in product(Alu, SETTERS, (*MODIFIED, *CONSTANTS)):
        for rd, rn in ((0, 0), (3, 4), (8, 14)):
            encoding = try_alu_imm(op, rd, rn, value, flags)
            if encoding is not None:
                yield encoding, f"{op.name.lower()}{suffix(flags)} {NAMES[rd]}, {NAMES[rn]}, #{value}"


def alu_constants_registers() -> Cases:
    for op, flags, rd, rn, value in product(
        Alu, SETTERS, GENERAL, GENERAL, (0, 1, 7, 8, 255, WORD, WORD - 254)
    ):
        encoding = try_alu_imm(op, rd, rn, value, flags)
        if encoding is not None:
            yield encoding, f"{op.name.lower()}{suffix(flags)} {NAMES[rd]}, {NAMES[rn]}, #{value}"


def add_wide() -> Cases:
    for value in range(4096):
        yield alu_imm(Alu.ADD, 9, 2, value, Flags.KEEP), f"add r9, r2, #{value}"
        yield alu_imm(Alu.ADD, 1, 2, -value, Flags.KEEP), f"sub r1, r2, #{value}"
        yield alu_imm(Alu.SUB, 1, 1, value, Flags.KEEP), f"sub r1, r1, #{value}"


def compares() -> Cases:
    for op in Compare:
        name = op.name.lower()
        for rn, rm in product(GENERAL, repeat=2):
            yield compare(op, rn, rm), f"{name} {NAMES[rn]}, {NAMES[rm]}"
        for shift in Shift:
            for amount in amounts(shift):
                yield compare(op, 2, 9, shift, amount), f"{name} r2, {operand(9, shift, amount)}"
        for rn, value in product(GENERAL, (*CONSTANTS, *MODIFIED[::7])):
            encoding = try_compare_imm(op, rn, value)
            if encoding is not None:
                yield encoding, f"{name} {NAMES[rn]}, #{value}"
    yield compare(Compare.CMP, 13, 4), "cmp sp, r4"
    yield compare_imm(Compare.CMN, 13, 4), "cmn sp, #4"


def moves() -> Cases:
    for flags, rd, rm in product(SETTERS, GENERAL, GENERAL):
        yield mov(rd, rm, flags), f"mov{suffix(flags)} {NAMES[rd]}, {NAMES[rm]}"
        yield mvn(rd, rm, flags), f"mvn{suffix(flags)} {NAMES[rd]}, {NAMES[rm]}"
        yield rrx(rd, rm, flags), f"rrx{suffix(flags)} {NAMES[rd]}, {NAMES[rm]}"
    for shift in Shift:
        for amount in amounts(shift):
            yield mvn(3, 4, Flags.KEEP, shift, amount), f"mvn r3, {operand(4, shift, amount)}"
    for rd in GENERAL:
        yield mov(rd, 13), f"mov {NAMES[rd]}, sp"
        yield mov(13, rd), f"mov sp, {NAMES[rd]}"


def move_constants() -> Cases:
    for flags, rd, value in product(SETTERS, (0, 7, 8, 14), (*MODIFIED, *CONSTANTS)):
        encoding = try_mov_imm(rd, value, flags)
        if encoding is not None:
            yield encoding, f"mov{suffix(flags)} {NAMES[rd]}, #{value}"
    for value in MODIFIED:
        yield mvn_imm(5, value, Flags.SET), f"mvns r5, #{value}"


def halves() -> Cases:
    for value in range(0, 0x10000, 3):
        yield movw(value % 13, value), f"movw {NAMES[value % 13]}, #{value}"
        yield movt(value % 13, value), f"movt {NAMES[value % 13]}, #{value}"


def shifts() -> Cases:
    for shift, flags in product(Shift, SETTERS):
        name = shift.name.lower() + suffix(flags)
        for amount, rd, rm in product(amounts(shift), SOME, SOME):
            yield shift_imm(shift, rd, rm, amount, flags), f"{name} {NAMES[rd]}, {NAMES[rm]}, #{amount}"
        for rd, rn, rm in product(SOME, repeat=3):
            yield shift_reg(shift, rd, rn, rm, flags), f"{name} {NAMES[rd]}, {NAMES[rn]}, {NAMES[rm]}"


FAMILIES: list[Callable[[], Cases]] = [
    alu_registers,
    alu_shifted,
    alu_with_sp,
    alu_constants,
    alu_constants_registers,
    add_wide,
    compares,
    moves,
    move_constants,
    halves,
    shifts,
]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_capstone_reads_what_was_meant(family: Callable[[], Cases]) -> None:
    assert differences(family()) == []


def test_flags_that_do_not_matter_change_only_the_flags() -> None:
    def without_s(encoding: int) -> tuple[str, ...]:
        name, *operands = meaning(plain(encoding))
        return (name.removesuffix("s"), *operands)

    for op, rd, rn, rm in product(Alu, SOME, SOME, SOME):
        any_, keep = alu(op, rd, rn, rm), alu(op, rd, rn, rm, Flags.KEEP)
        assert without_s(any_) == without_s(keep)
        assert size_of(any_) == min(size_of(keep), size_of(alu(op, rd, rn, rm, Flags.SET)))


NARROW = {
    "add three low": (alu(Alu.ADD, 0, 1, 2, Flags.SET), 2),
    "add three low, keeping flags": (alu(Alu.ADD, 0, 1, 2, Flags.KEEP), 4),
    "add two, keeping flags": (alu(Alu.ADD, 0, 0, 2, Flags.KEEP), 2),
    "add two, exchanged": (alu(Alu.ADD, 9, 2, 9), 2),
    "and two": (alu(Alu.AND, 0, 0, 1), 2),
    "and two, exchanged": (alu(Alu.AND, 0, 1, 0), 2),
    "sbc does not commute": (alu(Alu.SBC, 0, 1, 0), 4),
    "and three": (alu(Alu.AND, 0, 1, 2), 4),
    "add 255": (alu_imm(Alu.ADD, 0, 0, 255), 2),
    "add 256": (alu_imm(Alu.ADD, 0, 0, 256), 4),
    "add -255": (alu_imm(Alu.ADD, 0, 0, -255), 2),
    "add 7 to another": (alu_imm(Alu.ADD, 0, 1, 7), 2),
    "add 8 to another": (alu_imm(Alu.ADD, 0, 1, 8), 4),
    "negate": (alu_imm(Alu.RSB, 0, 1, 0), 2),
    "sp + 1020": (alu_imm(Alu.ADD, 0, 13, 1020), 2),
    "sp += 508": (alu_imm(Alu.ADD, 13, 13, 508), 2),
    "sp -= 508": (alu_imm(Alu.SUB, 13, 13, 508), 2),
    "cmp 255": (compare_imm(Compare.CMP, 7, 255), 2),
    "cmp 256": (compare_imm(Compare.CMP, 7, 256), 4),
    "cmp high": (compare(Compare.CMP, 8, 1), 2),
    "tst": (compare(Compare.TST, 0, 1), 2),
    "mov": (mov(8, 1), 2),
    "movs": (mov(0, 1, Flags.SET), 2),
    "lsr 32": (shift_imm(Shift.LSR, 0, 1, 32), 2),
    "lsl by register": (shift_reg(Shift.LSL, 0, 0, 1), 2),
    "in an IT block, with flags": (alu_imm(Alu.SUB, 0, 0, 1, Flags.SET_IN_IT), 4),
}


@pytest.mark.parametrize(("encoding", "size"), NARROW.values(), ids=NARROW)
def test_short_forms_where_they_fit(encoding: int, size: int) -> None:
    assert size_of(encoding) == len(to_bytes(encoding)) == size


def test_zero_is_never_exchanged() -> None:
    """`subs #0` and `cmp #0` set C, `adds #0` and `cmn #0` clear it."""
    assert plain(alu_imm(Alu.SUB, 0, 0, 0, Flags.SET)) == "subs r0, #0"
    assert plain(alu_imm(Alu.ADD, 8, 8, 0, Flags.SET)) == "adds r8, r8, #0"
    assert plain(compare_imm(Compare.CMP, 8, 0)) == "cmp r8, #0"
    assert plain(compare_imm(Compare.CMN, 8, 0)) == "cmn r8, #0"


def test_inside_an_it_block() -> None:
    """ANY keeps the flags there, SET_IN_IT sets them: the fused budget of engines.md."""
    body = (alu_imm(Alu.SUB, 0, 0, 1), alu_imm(Alu.SUB, 0, 0, 1, Flags.SET_IN_IT))
    listing = list(disassemble(b"".join(map(to_bytes, (if_then(Cond.HI, "t"), *body)))))
    assert [name for name, _ in listing] == ["itt", "subhi", "subshi.w"]


def test_modified_immediates_are_a_bijection() -> None:
    fields = [field for field in range(4096) if field & 0xFF or not 0 < field >> 8 < 4]
    assert [encode_modified(decode_modified(field)) for field in fields] == fields
    assert len(set(MODIFIED)) == len(fields) == 4093
    reachable = set(MODIFIED)
    generator = random.Random(4)
    others = [generator.getrandbits(32) for _ in range(20_000)]
    assert all((encode_modified(value) is not None) == (value in reachable) for value in others)
    assert encode_modified(-1) == encode_modified(WORD)


@pytest.mark.parametrize("field", [0x100, 0x200, 0x300, -1, 0x1000])
def test_fields_that_are_no_constant(field: int) -> None:
    with pytest.raises(EncodingError):
        decode_modified(field)


def test_constants_of_two_instructions() -> None:
    generator = random.Random(5)
    for value in (*CONSTANTS, *(generator.getrandbits(32) for _ in range(500))):
        result = 0
        for encoding in load_constant(6, value):
            name, _, constant = meaning(plain(encoding))
            number = int(constant[1:])
            result = result & 0xFFFF | number << 16 if name == "movt" else number
        assert result == value


IMPOSSIBLE: dict[str, Callable[[], object]] = {
    "pc": lambda: alu(Alu.ADD, 15, 0, 1),
    "register 16": lambda: alu(Alu.EOR, 0, 16, 1),
    "register -1": lambda: alu(Alu.EOR, 0, -1, 1),
    "sp in logic": lambda: alu(Alu.AND, 0, 13, 1),
    "sp as second source": lambda: alu(Alu.SUB, 0, 1, 13),
    "sp written from elsewhere": lambda: alu(Alu.SUB, 13, 0, 1),
    "sp twice": lambda: alu(Alu.ADD, 13, 13, 13),
    "sp shifted too far": lambda: alu(Alu.SUB, 13, 13, 1, Flags.ANY, Shift.LSL, 4),
    "shift by 32": lambda: alu(Alu.ADD, 0, 1, 2, Flags.ANY, Shift.LSL, 32),
    "lsr by 0": lambda: alu(Alu.ADD, 0, 1, 2, Flags.ANY, Shift.LSR, 0),
    "ror by 0": lambda: shift_imm(Shift.ROR, 0, 1, 0),
    "lsr by 33": lambda: shift_imm(Shift.LSR, 0, 1, 33),
    "shift of sp": lambda: shift_reg(Shift.LSL, 13, 13, 0),
    "constant": lambda: alu_imm(Alu.AND, 0, 0, 0x12345678),
    "constant, with flags": lambda: alu_imm(Alu.ADD, 0, 0, 4093, Flags.SET),
    "constant to sp": lambda: alu_imm(Alu.EOR, 13, 13, 1),
    "compared constant": lambda: compare_imm(Compare.CMP, 0, 0x12345678),
    "tested sp": lambda: compare_imm(Compare.TST, 13, 1),
    "compared with pc": lambda: compare(Compare.CMP, 0, 15),
    "mvn constant": lambda: mvn_imm(0, 0x12345678),
    "mov of pc": lambda: mov(0, 15),
    "movs of sp": lambda: mov(0, 13, Flags.SET),
    "mov constant to sp": lambda: try_mov_imm(13, 1),
    "movw of 17 bits": lambda: movw(0, 0x10000),
    "movt of -1": lambda: movt(0, -1),
    "rrx of sp": lambda: rrx(0, 13),
    "two instructions with flags": lambda: load_constant(0, 0x12345678, Flags.SET),
}


@pytest.mark.parametrize("encode", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_operands(encode: Callable[[], object]) -> None:
    with pytest.raises(EncodingError):
        encode()
