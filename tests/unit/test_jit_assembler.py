"""The assembler: branches reach their labels in the shortest form, literals are found, marks tell the pc."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from itertools import pairwise

import pytest

from device.jit.assembler import Assembler
from device.jit.code import Code
from device.jit.encoder import NOP, Alu, Cond, Flags, R, alu, alu_imm, bx
from device.jit.errors import EncodingError, JitError
from device.jit.fixups import Label
from tests.unit.jit_listing import disassemble

WIDE = alu(Alu.ADD, 8, 9, 10)


def lines(code: Code, offset: int, count: int) -> list[tuple[str, int]]:
    """`count` instructions from `offset` on: the name without width, and the last number in its operands."""
    listing = []
    for name, operands in disassemble(code.text[offset : offset + 4 * count], offset):
        numbers = re.findall(r"#(-?)0?x?([0-9a-f]+)", operands)
        sign, digits = numbers[-1] if numbers else ("", "0")
        value = int(digits, 16 if "0x" in operands.rpartition("#")[2] else 10)
        listing.append((name.removesuffix(".w"), -value if sign else value))
    return listing[:count]


def destination(code: Code, offset: int, *, pairs: bool = False) -> tuple[str, int]:
    """Where the relaxed branch at `offset` goes, and under which condition; far ones are `pairs`."""
    (name, target), *others = lines(code, offset, 3)
    if name == "cmp":
        offset += size_at(code, offset)
        (name, target), *others = others
        name = {"beq": "cbz", "bne": "cbnz"}[name]
    if pairs and target == offset + 6:
        return f"not {name}", others[0][1]  # over the branch behind it
    return name, target


def size_at(code: Code, offset: int) -> int:
    return 4 if code.text[offset + 1] >= 0xE8 else 2


Make = Callable[[Assembler, Label], None]
BRANCHES: dict[str, tuple[Make, str, list[tuple[int, int]]]] = {
    "b": (lambda asm, label: asm.jump(label), "b", [(2, 2050), (4, 0)]),
    "bcc": (lambda asm, label: asm.jump_if(Cond.HI, label), "bhi", [(2, 258), (4, 0)]),
    "cbz": (lambda asm, label: asm.jump_if_zero(3, label), "cbz", [(2, 130), (4, 260), (6, 0)]),
    "cbnz high": (lambda asm, label: asm.jump_if_zero(9, label, nonzero=True), "cbnz", [(6, 262), (8, 0)]),
    "bl": (lambda asm, label: asm.call(label), "bl", [(4, 0)]),
}


@pytest.mark.parametrize(("make", "name", "sizes"), BRANCHES.values(), ids=BRANCHES)
def test_forward_branches_are_as_short_as_they_can_be(
    make: Make, name: str, sizes: list[tuple[int, int]]
) -> None:
    for between in [*range(1, 200), *range(1000, 1040)]:
        asm = Assembler()
        label = asm.label("there")
        make(asm, label)
        asm.emit(*[NOP] * between)
        asm.bind(label)
        asm.emit(bx(R.LR))
        code = asm.finish()
        size = code.label("there") - 2 * between
        assert destination(code, 0) == (name, code.label("there"))
        assert size == next(s for s, limit in sizes if not limit or 2 * between + s <= limit)


def test_backward_branches() -> None:
    for between in [*range(140), *range(1010, 1030)]:
        asm = Assembler()
        label = asm.here("there")
        asm.emit(*[NOP] * between)
        asm.mark(1)
        asm.jump(label)
        asm.mark(2)
        asm.jump_if(Cond.LT, label)
        asm.mark(3)
        asm.jump_if_zero(2, label)
        code = asm.finish()
        places = [offset for offset, _ in code.marks]
        assert [destination(code, place) for place in places] == [("b", 0), ("blt", 0), ("cbz", 0)]
        assert places[1] - places[0] == (2 if 2 * between <= 2044 else 4)
        assert places[2] - places[1] == (2 if places[1] <= 252 else 4)


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_branches_of_more_than_a_megabyte(backward: bool) -> None:
    asm = Assembler()
    label = asm.label("there")
    if backward:
        asm.bind(label)
        asm.emit(*[WIDE] * 300_000)
    asm.mark(1)
    asm.jump_if(Cond.GE, label)
    asm.mark(2)
    asm.jump_if_zero(9, label)
    asm.mark(3)
    asm.jump(label)
    asm.mark(4)
    if not backward:
        asm.emit(*[WIDE] * 300_000)
        asm.bind(label)
    asm.emit(NOP)
    code = asm.finish()
    places = [offset for offset, _ in code.marks]
    assert [b - a for a, b in pairwise(places)] == [6, 10, 4]
    targets = [destination(code, place, pairs=index < 2) for index, place in enumerate(places[:3])]
    assert targets == [
        ("not blt", code.label("there")),
        ("not cbnz", code.label("there")),
        ("b", code.label("there")),
    ]


def literal_at(code: Code, offset: int) -> int:
    """What the `ldr` at `offset` loads."""
    ((name, distance),) = lines(code, offset, 1)
    assert name == "ldr"
    place = (offset + 4 & ~3) + distance
    assert place & 3 == 0
    return int.from_bytes(code.text[place : place + 4], "little")


def test_literals_are_shared_and_counted() -> None:
    asm = Assembler()
    asm.mark(0)
    asm.literal(0, 0x12345678)
    asm.mark(1)
    asm.literal(9, 0x12345678)
    asm.mark(2)
    asm.literal(1, -1)
    asm.emit(bx(R.LR))
    code = asm.finish()
    assert [literal_at(code, offset) for offset, _ in code.marks] == [0x12345678, 0x12345678, 0xFFFFFFFF]
    assert (len(code.text), code.literals, code.instructions_size) == (20, 10, 10)


def test_a_pool_where_nothing_runs_into_it() -> None:
    asm = Assembler()
    asm.pool()
    asm.literal(0, 0xAABBCCDD)
    asm.emit(bx(R.LR))
    asm.pool()
    after = asm.here("after")
    asm.mark(5)
    asm.literal(0, 0xAABBCCDD)
    asm.jump(after)
    code = asm.finish()
    assert code.label("after") == 8
    assert literal_at(code, 0) == literal_at(code, 8) == 0xAABBCCDD


@pytest.mark.parametrize("register", [0, 9], ids=["low", "high"])
def test_nothing_but_literals(register: int) -> None:
    """Pools of the greatest size, each in reach of all its uses."""
    asm = Assembler()
    for value in range(3000):
        asm.literal(register, 0x12340000 + value)
    code = asm.finish()
    loaded: list[int] = []
    offset = 0
    while len(loaded) < 3000:
        name, to = lines(code, offset, 1)[0]
        if name == "b":
            offset = to  # over a pool
            continue
        loaded.append(literal_at(code, offset))
        offset += size_at(code, offset)
    assert loaded == [0x12340000 + value for value in range(3000)]


ADDRESSES: dict[str, tuple[int, int, list[tuple[str, int]]]] = {
    "word": (1, 8, [("adr", 4), ("addw", 4)]),
    "halfword": (2, 12, [("addw", 8), ("addw", 4)]),  # grown for 10, which is no word, and then it stays
}


@pytest.mark.parametrize(("between", "offset", "listing"), ADDRESSES.values(), ids=ADDRESSES)
def test_addresses(between: int, offset: int, listing: list[tuple[str, int]]) -> None:
    asm = Assembler()
    there = asm.label("there")
    asm.address(0, there)
    asm.address(8, there)
    asm.emit(*[NOP] * between)
    asm.bind(there)
    code = asm.finish()
    assert (code.label("there"), lines(code, 0, 2)) == (offset, listing)


@pytest.mark.parametrize("seed", range(30))
def test_random_code(seed: int) -> None:
    """Every branch reaches its label and every literal its value, islands and all."""
    generator = random.Random(seed)
    asm = Assembler()
    labels = [asm.label(f"l{n}") for n in range(60)]
    unbound = labels.copy()
    expected: list[tuple[str, object]] = []

    def note(kind: str, what: object) -> None:
        asm.mark(len(expected))
        expected.append((kind, what))

    for _ in range(generator.choice((200, 1500, 4000))):
        target = generator.choice(labels)
        match generator.randrange(9):
            case 0:
                note("b", target)
                asm.jump(target)
            case 1:
                note("bls", target)
                asm.jump_if(Cond.LS, target)
            case 2:
                note("cbz", target)
                asm.jump_if_zero(generator.randrange(12), target)
            case 3:
                value = generator.choice((generator.getrandbits(32), 0x01020304))
                note("ldr", value)
                asm.literal(generator.randrange(12), value)
            case 4 if unbound:
                asm.bind(unbound.pop())
            case 5:
                note("it", None)
                asm.if_then(Cond.HI, [alu_imm(Alu.SUB, 0, 0, 1, Flags.SET_IN_IT)], [alu(Alu.ADD, 0, 0, 1)])
            case _:
                asm.emit(*generator.choices((NOP, WIDE), k=generator.randrange(12)))
    for label in unbound:
        asm.bind(label)
    asm.emit(bx(R.LR))
    code = asm.finish()
    for offset, index in code.marks:
        kind, what = expected[index]
        place = offset
        name, to = lines(code, offset, 1)[0]
        if name == "b" and not (isinstance(what, Label) and kind == "b" and to == code.label(what.name)):
            place = to  # an island stands between the mark and its instruction: a jump over a pool
        if kind == "ldr":
            assert literal_at(code, place) == what
        elif kind == "it":
            assert [name for name, _ in lines(code, place, 3)] == ["ite", "subshi", "addls"]
        elif isinstance(what, Label):
            assert destination(code, place) == (kind, code.label(what.name))


def test_marks_tell_the_pc() -> None:
    asm = Assembler()
    asm.emit(NOP)
    asm.mark(3)
    asm.mark(4)
    asm.emit(NOP, WIDE)
    asm.mark(9)
    asm.emit(NOP)
    code = asm.finish()
    assert [code.pc_at(offset) for offset in range(0, 10, 2)] == [-1, 4, 4, 4, 9]
    for offset in (-1, 10):
        with pytest.raises(JitError):
            code.pc_at(offset)


def unbound() -> None:
    asm = Assembler()
    asm.jump(asm.label("nowhere"))
    asm.finish()


def bound_twice() -> None:
    asm = Assembler()
    asm.bind(asm.here())


def too_far() -> None:
    asm = Assembler()
    label = asm.here()
    asm.emit(*[WIDE] * 4_200_000)
    asm.jump(label)
    asm.finish()


MISTAKES: dict[str, Callable[[], object]] = {
    "a label that is never bound": unbound,
    "a label bound twice": bound_twice,
    "beyond 16 MiB": too_far,
    "an empty IT block": lambda: Assembler().if_then(Cond.EQ, []),
    "an IT block of five": lambda: Assembler().if_then(Cond.EQ, [NOP] * 3, [NOP] * 2),
    "an unknown label": lambda: Assembler().finish().label("x"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_mistakes(mistake: Callable[[], object]) -> None:
    with pytest.raises(JitError):
        mistake()


def test_the_errors_name_the_label() -> None:
    with pytest.raises(EncodingError, match="nowhere"):
        unbound()


def test_pools_are_where_literals_are() -> None:
    asm = Assembler()
    asm.literal(R.R0, 0x12345678)
    asm.pool()
    asm.emit(NOP)
    asm.literal(R.R1, 0x9ABCDEF0)
    asm.literal(R.R2, 0x9ABCDEF1)
    code = asm.finish()
    words = [code.text[start : start + size] for start, size in code.pools]
    assert words == [bytes.fromhex("78563412"), bytes.fromhex("f0debc9a f1debc9a")]
    assert all(start % 4 == 0 for start, _ in code.pools)
