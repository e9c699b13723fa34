"""Multiplication, fields, memory, branches and VFP moves against capstone, over their operand ranges."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations, product

import pytest

from device.jit.encoder import (
    NOP,
    Access,
    Cond,
    Extend,
    Flags,
    Long,
    Unary,
    access,
    access_after,
    access_before,
    access_register,
    address_of,
    bfc,
    bfi,
    blx,
    branch_if_narrow,
    branch_if_wide,
    branch_link,
    branch_narrow,
    branch_wide,
    branch_zero,
    bx,
    copy_single,
    extend,
    from_pair,
    from_single,
    if_then,
    load_literal,
    load_many,
    long_mul,
    mla,
    mls,
    mul,
    pop,
    push,
    sbfx,
    sdiv,
    size_of,
    store_many,
    svc,
    to_pair,
    to_single,
    ubfx,
    udf,
    udiv,
    unary,
)
from device.jit.errors import EncodingError
from tests.unit.jit_listing import ADDRESS, NAMES, WORD, differences, plain

GENERAL = (*range(13), 14)
SOME = (0, 3, 7, 8, 12, 14)
Cases = Iterator[tuple[int, str]]


def multiplications() -> Cases:
    for flags, rd, rn, rm in product((Flags.KEEP,), GENERAL, GENERAL, GENERAL):
        names = f"{NAMES[rd]}, {NAMES[rn]}, {NAMES[rm]}"
        yield mul(rd, rn, rm, flags), f"mul {names}"
        yield udiv(rd, rn, rm), f"udiv {names}"
        yield sdiv(rd, rn, rm), f"sdiv {names}"
    for rd, rn in product(range(8), repeat=2):
        yield mul(rd, rn, rd, Flags.SET), f"muls {NAMES[rd]}, {NAMES[rn]}, {NAMES[rd]}"
        yield mul(rd, rd, rn), f"muls {NAMES[rd]}, {NAMES[rn]}, {NAMES[rd]}"
    for a, b, c, d in product(SOME, repeat=4):
        names = f"{NAMES[a]}, {NAMES[b]}, {NAMES[c]}, {NAMES[d]}"
        yield mla(a, b, c, d), f"mla {names}"
        yield mls(a, b, c, d), f"mls {names}"
        if a != b:
            yield from ((long_mul(op, a, b, c, d), f"{op.name.lower()} {names}") for op in Long)


def fields() -> Cases:
    for lsb in range(32):
        for width in range(1, 33 - lsb):
            for rd, rn in ((0, 1), (8, 14), (12, 7)):
                names = f"{NAMES[rd]}, {NAMES[rn]}, #{lsb}, #{width}"
                yield ubfx(rd, rn, lsb, width), f"ubfx {names}"
                yield sbfx(rd, rn, lsb, width), f"sbfx {names}"
                yield bfi(rd, rn, lsb, width), f"bfi {names}"
            yield bfc(9, lsb, width), f"bfc r9, #{lsb}, #{width}"
    for rd, rn in product(GENERAL, repeat=2):
        yield ubfx(rd, rn, 5, 6), f"ubfx {NAMES[rd]}, {NAMES[rn]}, #5, #6"


def extensions() -> Cases:
    for op, rd, rm in product(Extend, GENERAL, GENERAL):
        yield extend(op, rd, rm), f"{op.name.lower()} {NAMES[rd]}, {NAMES[rm]}"
        for rotation in (8, 16, 24):
            yield extend(op, rd, rm, rotation), f"{op.name.lower()} {NAMES[rd]}, {NAMES[rm]}, ror #{rotation}"
    for unary_op, rd, rm in product(Unary, GENERAL, GENERAL):
        yield unary(unary_op, rd, rm), f"{unary_op.name.lower()} {NAMES[rd]}, {NAMES[rm]}"


def at(rn: int, offset: int) -> str:
    return f"[{NAMES[rn]}, #{offset}]" if offset else f"[{NAMES[rn]}]"


def accesses() -> Cases:
    for op in Access:
        name = op.name.lower()
        for offset in range(-255, 4096):
            for rt, rn in ((1, 2), (5, 13), (8, 0)):
                yield access(op, rt, rn, offset), f"{name} {NAMES[rt]}, {at(rn, offset)}"
        for rt, rn, offset in product(GENERAL, (*GENERAL, 13), (0, 4, 128, -8)):
            yield access(op, rt, rn, offset), f"{name} {NAMES[rt]}, {at(rn, offset)}"


def accesses_by_register() -> Cases:
    for op, rt, rn, rm in product(Access, SOME, (*SOME, 13), SOME):
        name = f"{op.name.lower()} {NAMES[rt]}"
        yield access_register(op, rt, rn, rm), f"{name}, [{NAMES[rn]}, {NAMES[rm]}]"
        for shift in (1, 2, 3):
            place = f"[{NAMES[rn]}, {NAMES[rm]}, lsl #{shift}]"
            yield access_register(op, rt, rn, rm, shift), f"{name}, {place}"


def accesses_with_writeback() -> Cases:
    for op, offset in product(Access, range(-255, 256)):
        rt, rn = (2, 13) if op not in (Access.STR, Access.LDR) else (2, 9)
        name = f"{op.name.lower()} {NAMES[rt]}"
        yield access_before(op, rt, rn, offset), f"{name}, [{NAMES[rn]}, #{offset}]!"
        yield access_after(op, rt, rn, offset), f"{name}, [{NAMES[rn]}], #{offset}"
    for op, rt, rn in product(Access, GENERAL, GENERAL):
        if rt != rn:
            yield access_after(op, rt, rn, 1), f"{op.name.lower()} {NAMES[rt]}, [{NAMES[rn]}], #1"


def literals() -> Cases:
    for distance in range(-4095, 4096):
        yield load_literal(Access.LDR, 3, distance), f"ldr r3, [pc, #{distance}]"
    for rt, distance in product(range(8), range(0, 1021, 4)):
        yield load_literal(Access.LDR, rt, distance, narrow=True), f"ldr {NAMES[rt]}, [pc, #{distance}]"
        yield address_of(rt, distance, narrow=True), f"adr {NAMES[rt]}, #{distance}"
    for op in (Access.LDRB, Access.LDRH, Access.LDRSB, Access.LDRSH):
        yield load_literal(op, 9, 77), f"{op.name.lower()} r9, [pc, #77]"
    for distance in range(1, 4096):
        yield address_of(8, distance), f"addw r8, pc, #{distance}"
        yield address_of(8, -distance), f"subw r8, pc, #{distance}"


def listed(registers: Iterable[int]) -> str:
    return "{" + ", ".join(NAMES[register] for register in sorted(registers)) + "}"


def register_lists() -> Iterator[tuple[int, ...]]:
    for size in (1, 2, 3):
        yield from combinations((0, 1, 4, 7, 8, 11, 12, 14), size)
    generator = random.Random(1)
    for _ in range(500):
        yield tuple(sorted(generator.sample(GENERAL, generator.randrange(2, 14))))


def stacking() -> Cases:
    for registers in register_lists():
        if len(registers) == 1 and registers[0] > 7:
            if registers[0] != 14:
                yield push(registers), f"str {NAMES[registers[0]]}, [sp, #-4]!"
            yield pop(registers), f"ldr {NAMES[registers[0]]}, [sp], #4"
            continue
        yield push(registers), f"push {listed(registers)}"
        returning = tuple(15 if register == 14 else register for register in registers)
        yield pop(registers), f"pop {listed(registers)}"
        yield pop(returning), f"pop {listed(returning)}"
    yield push([14]), "push {lr}"
    yield pop([15]), "pop {pc}"


def several() -> Cases:
    for registers, rn in product(register_lists(), (0, 7, 9)):
        if len(registers) == 1 and (registers[0] > 7 or rn > 7):
            continue
        text = listed(registers)
        if rn not in registers:
            yield load_many(rn, registers, writeback=True), f"ldm {NAMES[rn]}!, {text}"
            yield store_many(rn, registers, writeback=True), f"stm {NAMES[rn]}!, {text}"
        if len(registers) > 1:
            yield load_many(rn, registers), f"ldm {NAMES[rn]}, {text}"
            yield store_many(rn, registers), f"stm {NAMES[rn]}, {text}"
            yield load_many(rn, registers, before=True), f"ldmdb {NAMES[rn]}, {text}"
            yield store_many(rn, registers, before=True), f"stmdb {NAMES[rn]}, {text}"


def target(distance: int) -> str:
    return f"#{ADDRESS + distance & WORD}"


def branches() -> Cases:
    for distance in range(-2044, 2051, 2):
        yield branch_narrow(distance), f"b {target(distance)}"
    for cond in list(Cond)[:-1]:
        name = f"b{cond.name.lower()}"
        for distance in range(-252, 259, 2):
            yield branch_if_narrow(cond, distance), f"{name} {target(distance)}"
        for distance in far(20):
            yield branch_if_wide(cond, distance), f"{name} {target(distance)}"
    for rn, distance in product(range(8), range(4, 131, 2)):
        yield branch_zero(rn, distance), f"cbz {NAMES[rn]}, {target(distance)}"
        yield branch_zero(rn, distance, nonzero=True), f"cbnz {NAMES[rn]}, {target(distance)}"
    for distance in far(24):
        yield branch_wide(distance), f"b {target(distance)}"
        yield branch_link(distance), f"bl {target(distance)}"


def far(bits: int) -> Iterator[int]:
    """Both ends, both sides of every power of two, and some between."""
    yield from (-(1 << bits) + 4, (1 << bits) + 2, 0, 2, 4)
    for bit in range(1, bits):
        yield from (4 + (1 << bit) - 2, 4 + (1 << bit), 4 - (1 << bit), 4 - (1 << bit) - 2)
    generator = random.Random(bits)
    yield from (2 * generator.randrange(-(1 << bits - 1) + 2, 1 << bits - 1) for _ in range(500))


def system() -> Cases:
    for rm in GENERAL:
        yield bx(rm), f"bx {NAMES[rm]}"
        yield blx(rm), f"blx {NAMES[rm]}"
    for number in range(256):
        yield svc(number), f"svc #{number}"
        if number not in (249, 254):  # capstone knows them by other names: Windows' division by zero, trap
            yield udf(number), f"udf #{number}"
    patterns = [""] + ["".join(letters) for size in (1, 2, 3) for letters in product("te", repeat=size)]
    for cond, pattern in product(list(Cond)[:-1], patterns):
        yield if_then(cond, pattern), f"it{pattern} {cond.name.lower()}"
    yield NOP, "nop"


def vfp() -> Cases:
    for sn, rt in product(range(32), GENERAL):
        yield to_single(sn, rt), f"vmov s{sn}, {NAMES[rt]}"
        yield from_single(rt, sn), f"vmov {NAMES[rt]}, s{sn}"
    for sd, sm in product(range(32), repeat=2):
        yield copy_single(sd, sm), f"vmov.f32 s{sd}, s{sm}"
    for dn, low, high in product(range(16), GENERAL, GENERAL):
        yield to_pair(2 * dn, low, high), f"vmov d{dn}, {NAMES[low]}, {NAMES[high]}"
        if low != high:
            yield from_pair(low, high, 2 * dn), f"vmov {NAMES[low]}, {NAMES[high]}, d{dn}"


FAMILIES: list[Callable[[], Cases]] = [
    multiplications,
    fields,
    extensions,
    accesses,
    accesses_by_register,
    accesses_with_writeback,
    literals,
    stacking,
    several,
    branches,
    system,
    vfp,
]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_capstone_reads_what_was_meant(family: Callable[[], Cases]) -> None:
    assert differences(family()) == []


NARROW = {
    "ldr words to 124": (access(Access.LDR, 0, 1, 124), 2),
    "ldr 128": (access(Access.LDR, 0, 1, 128), 4),
    "ldr unaligned offset": (access(Access.LDR, 0, 1, 2), 4),
    "ldrh to 62": (access(Access.LDRH, 0, 1, 62), 2),
    "strb to 31": (access(Access.STRB, 0, 1, 31), 2),
    "strb 32": (access(Access.STRB, 0, 1, 32), 4),
    "ldrsb has no short immediate": (access(Access.LDRSB, 0, 1, 0), 4),
    "str sp 1020": (access(Access.STR, 7, 13, 1020), 2),
    "str sp 1024": (access(Access.STR, 7, 13, 1024), 4),
    "by register": (access_register(Access.LDRSB, 0, 1, 2), 2),
    "by shifted register": (access_register(Access.LDR, 0, 1, 2, 2), 4),
    "push low and lr": (push([0, 7, 14]), 2),
    "pop low and pc": (pop([0, 7, 15]), 2),
    "push high": (push([4, 8]), 4),
    "muls": (mul(0, 0, 1), 2),
    "mul three": (mul(0, 1, 2), 4),
    "uxtb": (extend(Extend.UXTB, 0, 1), 2),
    "rev": (unary(Unary.REV, 0, 1), 2),
}


@pytest.mark.parametrize(("encoding", "size"), NARROW.values(), ids=NARROW)
def test_short_forms_where_they_fit(encoding: int, size: int) -> None:
    assert size_of(encoding) == size


def test_a_list_without_order_is_the_same_list() -> None:
    assert plain(push([14, 4, 4, 7])) == "push {r4, r7, lr}"


IMPOSSIBLE: dict[str, Callable[[], object]] = {
    "mul of sp": lambda: mul(0, 13, 1),
    "muls of three": lambda: mul(0, 1, 2, Flags.SET),
    "mla of pc": lambda: mla(0, 1, 2, 15),
    "long product into one register": lambda: long_mul(Long.UMULL, 1, 1, 2, 3),
    "field of no bits": lambda: ubfx(0, 1, 3, 0),
    "field beyond the end": lambda: bfi(0, 1, 3, 30),
    "field from -1": lambda: bfc(0, -1, 3),
    "rotation by 4": lambda: extend(Extend.UXTB, 0, 1, 4),
    "rev of sp": lambda: unary(Unary.REV, 0, 13),
    "offset 4096": lambda: access(Access.LDR, 0, 1, 4096),
    "offset -256": lambda: access(Access.LDR, 0, 1, -256),
    "base pc": lambda: access(Access.LDR, 0, 15, 0),
    "store of sp": lambda: access(Access.STR, 13, 0, 0),
    "index shifted by 4": lambda: access_register(Access.LDR, 0, 1, 2, 4),
    "index sp": lambda: access_register(Access.LDR, 0, 1, 13),
    "writeback to itself": lambda: access_after(Access.LDR, 1, 1, 4),
    "writeback by 256": lambda: access_before(Access.LDR, 0, 1, 256),
    "stored literal": lambda: load_literal(Access.STR, 0, 0),
    "literal at 4096": lambda: load_literal(Access.LDR, 0, 4096),
    "narrow literal backwards": lambda: load_literal(Access.LDR, 0, -4, narrow=True),
    "narrow literal between words": lambda: load_literal(Access.LDR, 0, 2, narrow=True),
    "push of nothing": lambda: push([]),
    "push of sp": lambda: push([13]),
    "push of pc": lambda: push([15]),
    "pop of lr and pc": lambda: pop([14, 15]),
    "ldm of one, wide": lambda: load_many(8, [1]),
    "ldm over its base": lambda: load_many(8, [8, 9], writeback=True),
    "stm of pc": lambda: store_many(0, [1, 15]),
    "odd distance": lambda: branch_narrow(3),
    "b too far": lambda: branch_narrow(2052),
    "bcc too far": lambda: branch_if_narrow(Cond.EQ, 260),
    "bal": lambda: branch_if_narrow(Cond.AL, 4),
    "bal.w": lambda: branch_if_wide(Cond.AL, 4),
    "cbz backwards": lambda: branch_zero(0, 2),
    "cbz of a high register": lambda: branch_zero(8, 10),
    "b.w too far": lambda: branch_wide((1 << 24) + 4),
    "bcc.w too far": lambda: branch_if_wide(Cond.EQ, -(1 << 20) + 2),
    "bx pc": lambda: bx(15),
    "blx sp": lambda: blx(13),
    "it of five": lambda: if_then(Cond.EQ, "tttt"),
    "it al": lambda: if_then(Cond.AL),
    "it x": lambda: if_then(Cond.EQ, "x"),
    "svc 256": lambda: svc(256),
    "udf -1": lambda: udf(-1),
    "adr far": lambda: address_of(0, 4096),
    "adr between words, narrow": lambda: address_of(0, 2, narrow=True),
    "s32": lambda: to_single(32, 0),
    "vmov of pc": lambda: from_single(15, 0),
    "odd pair": lambda: to_pair(1, 0, 1),
    "pair into one register": lambda: from_pair(1, 1, 0),
    "vmov to s-1": lambda: copy_single(-1, 0),
    "inverse of al": lambda: Cond.AL.inverse,
}


@pytest.mark.parametrize("encode", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_operands(encode: Callable[[], object]) -> None:
    with pytest.raises(EncodingError):
        encode()


def test_inverse_conditions() -> None:
    pairs = {Cond.EQ: Cond.NE, Cond.HS: Cond.LO, Cond.HI: Cond.LS, Cond.GE: Cond.LT, Cond.GT: Cond.LE}
    assert all(a.inverse is b and b.inverse is a for a, b in pairs.items())
