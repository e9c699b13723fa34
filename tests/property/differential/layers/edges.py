"""Memory on both sides of each end of each region, by every kind of access and of pointer.

Of the stack, the regions are its active frames: one, two and eight of them, of several sizes. Pointers are
known, affine to a known one, read from memory, or move through a loop and over an end in its midst.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from device.vm.isa import Form, Op
from device.vm.memory import (
    CONTEXT_BASE,
    DATA_BASE,
    EXTRA_BASE,
    EXTRA_STRIDE,
    MAX_EXTRA_REGIONS,
    PACKET_BUFFER_BASE,
    PACKET_VIEW_BASE,
    RODATA_BASE,
    STACK_TOP,
)
from tests.property.differential.builder import Builder
from tests.property.differential.case import Case, Setup
from tests.property.differential.layers.operands import words
from tests.property.differential.layers.trial import Family, Product, Trial
from tests.property.programs import MEMORY, ROWS, WIDE

BUDGET: Final = 3000
SIZES: Final = (1, 2, 4, 7, 8, 9, 16, 63, 64, 100, 1023, 1024, 1025, 2048)
"""Bytes: around the width of accesses, and the pages that machines map."""
FRAMES: Final = ((32, 1), (40, 2), (512, 1), (512, 2), (512, 8), (100, 8))
"""Bytes of a frame, and how many are active."""
NEAR: Final = tuple(range(-9, 10))
FAR: Final = (-0x8000, -1024, -513, 1024, 0x7FFF)
STEPS: Final = (1, 3, 4, 8, -1, -8)

_FILL: Final = bytes(range(1, 256)) * 9
_CHOSEN: Final = (
    *("ldxb", "ldxsh", "ldxw", "ldxdw", "stb", "sth", "stw", "stdw", "stxb", "stxh", "stxw", "stxdw"),
    *("lock add", "lock fetch or32", "lock xchg32", "lock cmpxchg"),
)
_FEW: Final = ("ldxb", "ldxw", "stxdw", "sth", "lock add")
ACCESSES: Final = tuple(op for op in MEMORY if op.mnemonic in _CHOSEN)
FEW_ACCESSES: Final = tuple(op for op in MEMORY if op.mnemonic in _FEW)


@dataclass(frozen=True, slots=True)
class Area:
    """[`start`, `end`) is a region of the case. Its program is called through `depth` functions.

    Arguments of programs lie in an extra region of their own, which r2 points to.
    """

    start: int
    end: int
    case: Case
    depth: int = 0


def areas(size: int) -> list[Area]:
    """Every region but the stack, `size` bytes of it, with every right that it can have."""
    fill = _FILL[:size]
    found = [
        Area(RODATA_BASE, RODATA_BASE + size, Case(b"", rodata=fill)),
        Area(DATA_BASE, DATA_BASE + size, Case(b"", data=fill)),
        Area(DATA_BASE, DATA_BASE + size, Case(b"", data=fill[: size // 2], bss_size=size - size // 2)),
    ]
    for base, setup in (
        (CONTEXT_BASE, Setup(context=fill)),
        (CONTEXT_BASE, Setup(context=fill, context_writable=False)),
        (PACKET_VIEW_BASE, Setup(packet=(fill, b"neighbour"))),
        (PACKET_BUFFER_BASE, Setup(packet=(b"neighbour", fill))),
        (EXTRA_BASE + EXTRA_STRIDE, Setup(extra=((b"", True), (fill, True)))),
        (EXTRA_BASE + EXTRA_STRIDE, Setup(extra=((b"", True), (fill, False)))),
        (EXTRA_BASE + 15 * EXTRA_STRIDE, Setup(extra=((b"neighbour", True),) * 15 + ((fill, True),))),
    ):
        found.append(Area(base, base + size, Case(b"", setup)))
    return found


def frames() -> list[Area]:
    """The active part of the stack."""
    return [
        Area(STACK_TOP - size * count, STACK_TOP, Case(b"", Setup(frame_size=size)), count - 1)
        for size, count in FRAMES
    ]


AREAS: Final = tuple(area for size in SIZES for area in areas(size)) + tuple(frames())


def program(area: Area, *arguments: int) -> tuple[Builder, Case]:
    """A builder at the place where the access is to be, with r1 and r2 as the run began; and the case."""
    setup = area.case.setup
    extra = setup.extra or ((b"", True),)
    extra = ((words(*arguments), False), *extra[1:])
    assert len(extra) <= MAX_EXTRA_REGIONS
    setup = replace(setup, extra=extra, r2=EXTRA_BASE)
    out = Builder()
    for _ in range(area.depth):
        below = out.label()
        out.call_local(below)
        out.exit()
        out.place(below)
    return out, replace(area.case, setup=setup, budget=BUDGET)


def access(out: Builder, op: Op, base: int, off: int = 0) -> None:
    """By `op` at `base` + `off`; what is loaded is in r0, and there is something to store."""
    if op.form is Form.LOAD:
        out.emit(op, 0, base, off)
        return
    if op.form is not Form.STORE_IMM:
        out.emit(WIDE, 5, imm=0x8877665544332211)
    out.emit(op, base, 5, off, op.select if op.form is Form.ATOMIC else -2)


def known(area: Area, op: Op, end: bool, distance: int, split: int) -> Trial:  # an axis
    """At an address that is in the program; `split` of it is in the instruction's offset."""
    out, case = program(area)
    place = (area.end if end else area.start) + distance
    out.emit(WIDE, 3, imm=place - split)
    access(out, op, 3, split)
    out.exit()
    return Trial(replace(case, text=out.text()))


def by_frame_pointer(area: Area, op: Op, end: bool, distance: int) -> Trial:  # an axis
    """Of the frames, relative to r10 itself."""
    out, case = program(area)
    pointer = STACK_TOP - area.depth * case.setup.frame_size
    access(out, op, 10, (area.end if end else area.start) + distance - pointer)
    out.exit()
    return Trial(replace(case, text=out.text()))


def _argued(out: Builder, case: Case, arguments: list[tuple[int, ...]]) -> Trial:
    """The program with other arguments each time."""
    rest = case.setup.extra[1:]
    given = [replace(case.setup, extra=((words(*values), False), *rest)) for values in arguments]
    return Trial(replace(case, text=out.text(), setup=given[0]), tuple(given[1:]))


def read(area: Area, op: Op, split: int, before: str) -> Trial:
    """At addresses that are read: one program, all places. Another access may have been `before` it."""
    out, case = program(area, 0)
    out.emit(ROWS["ldxdw", Form.LOAD], 3, 2)
    if before == "same":
        out.emit(ROWS["ldxb", Form.LOAD], 4, 3, split)
    elif before == "other":
        out.emit(ROWS["stb", Form.STORE_IMM], 10, off=-1, imm=9)
    access(out, op, 3, split)
    out.exit()
    places = [end + distance for end in (area.start, area.end) for distance in (*NEAR, *FAR)]
    return _argued(out, case, [(place - split,) for place in places])


def indexed(area: Area, op: Op, mask: int, origin: str) -> Trial:
    """A known pointer and a number of which the bounds are known: partly inside, partly not."""
    out, case = program(area, 0)
    out.emit(ROWS["ldxdw", Form.LOAD], 3, 2)
    out.alu("and", 3, mask)
    if origin == "end":
        out.emit(WIDE, 4, imm=area.end - mask // 2)
    else:
        out.emit(WIDE, 4, imm=area.start - (mask // 2 if origin == "before" else 0))
    out.alu_reg("add", 3, 4)
    access(out, op, 3)
    out.exit()
    size = area.end - area.start
    indices = {*range(10), mask // 2, mask // 2 - op.size, mask, mask - 1, size - op.size, size - 1, size}
    return _argued(out, case, [(index & mask,) for index in sorted(indices)])


def walk(area: Area, op: Op, step: int, control: str, origin: str) -> Trial:
    """Through a loop: the pointer moves by `step` and may cross an end; how far is known or read."""
    out, case = program(area, 0)
    again, done = out.label(), out.label()
    size = min(area.end - area.start, 200)
    start = area.start if step > 0 else area.end - op.size
    if origin == "late":
        start = area.end - size if step > 0 else area.start + size - op.size
    out.emit(WIDE, 3, imm=start)
    if control == "known":
        out.alu("mov", 6, size // abs(step))
    else:
        out.emit(ROWS["ldxdw", Form.LOAD], 6, 2)
    if control == "up":
        out.alu("mov", 7, 0)
    out.place(again)
    if control == "while":
        out.emit(ROWS["jeq", Form.BRANCH_IMM], 6, label=done)
    access(out, op, 3)
    out.alu("add", 3, step)
    if control == "up":
        out.alu("add", 7, 1)
        out.emit(ROWS["jlt", Form.BRANCH_REG], 7, 6, label=again)
    else:
        out.alu("add", 6, -1)
        if control == "while":
            out.jump(again)
        else:
            out.emit(ROWS["jne", Form.BRANCH_IMM], 6, label=again)
    out.place(done)
    out.exit()
    full = size // abs(step)
    counts = [count for count in (1, full - 1, full, full + 1, full + 9) if count > 0]
    return _argued(out, case, [(count,) for count in (*counts, 1 << 32 | full)])


_ENDS: Final = (False, True)
_SPLITS: Final = (0, 5, -300)
_STACKS: Final = tuple(frames())

FAMILIES: Final[tuple[Family, ...]] = (
    Product(known, AREAS, ACCESSES, _ENDS, tuple(range(-9, 3)), (0, 5)),
    Product(known, AREAS[::3], FEW_ACCESSES, _ENDS, (*NEAR, *FAR), _SPLITS),
    Product(by_frame_pointer, _STACKS, ACCESSES, _ENDS, (*NEAR, *FAR[1:4])),
    Product(read, AREAS, ACCESSES, _SPLITS, ("none", "same", "other")),
    Product(indexed, AREAS, ACCESSES, (7, 63, 255, 2047), ("start", "before", "end")),
    Product(walk, AREAS, ACCESSES, STEPS, ("known", "down", "up", "while"), ("early", "late")),
)
