"""Loads, stores and atomics. What is not proved is compared with the ends of a region first.

The regions' lengths and rights are part of what code is compiled for, so that their ends are constants. An
access that fails its test goes to its exit, where the exact engine looks at it again: the guess at the region
may have been wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from device.jit.assembler import Assembler
from device.jit.encoder import (
    Access,
    Alu,
    Compare,
    Cond,
    Flags,
    R,
    Shift,
    access,
    access_register,
    alu,
    alu_imm,
    bx,
    compare,
    compare_imm,
    load_constant,
    mov,
    shift_imm,
    try_alu_imm,
    try_compare_imm,
)
from device.jit.fixups import Label
from device.jit.lowering.looked import Fused, Looked
from device.jit.lowering.operands import Operands, Scratch
from device.vm.decode import (
    ATOMIC,
    ATOMIC_FETCH,
    COMPARE_EXCHANGE,
    LOAD,
    LOAD_SIGNED,
    MASK32,
    STORE,
)
from device.vm.isa import FRAME_POINTER, Sem
from device.vm.memory import STACK_PLACE

_LOADS: Final = {1: Access.LDRB, 2: Access.LDRH, 4: Access.LDR}
_SIGNED: Final = {1: Access.LDRSB, 2: Access.LDRSH, 4: Access.LDR}
_STORES: Final = {1: Access.STRB, 2: Access.STRH, 4: Access.STR}
_REACH: Final = range(-255, 4088)
_ATOMICS: Final = {
    Sem.ATOMIC_ADD: Alu.ADD,
    Sem.ATOMIC_FETCH_ADD: Alu.ADD,
    Sem.ATOMIC_OR: Alu.ORR,
    Sem.ATOMIC_FETCH_OR: Alu.ORR,
    Sem.ATOMIC_AND: Alu.AND,
    Sem.ATOMIC_FETCH_AND: Alu.AND,
    Sem.ATOMIC_XOR: Alu.EOR,
    Sem.ATOMIC_FETCH_XOR: Alu.EOR,
}


@dataclass(frozen=True, slots=True)
class Place:
    """A region that code is compiled for: the bytes [start, end), of the stack those of all frames."""

    start: int
    end: int
    writable: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """What is known of memory: the regions by window, the size of frames, and accesses not to guess at."""

    places: Sequence[Place | None]
    frame_size: int
    distrusted: Collection[int]
    checked: bool = True


@dataclass(frozen=True, slots=True)
class Way:
    """What an access needs to be tested for: whether it is in [start, end), or anywhere at all."""

    PLAIN: ClassVar = "nothing"
    WITHIN: ClassVar = "one region"
    UNKNOWN: ClassVar = "any region"
    NOWHERE: ClassVar = "it can only fail"

    test: str
    start: int = 0
    end: int = 0

    def numbers(self, off: int, size: int) -> tuple[int, int]:
        """What is taken off the base register, and the most that may be left."""
        return self.start - off & MASK32, self.end - self.start - size


def access_of(at: Looked) -> tuple[int, int, bool] | None:
    """The base register, the size and the kind of an access, if it is one."""
    case, _, width, _, dst, src, _, _, _ = at.step
    if case in (LOAD, LOAD_SIGNED):
        return src, width // 8, False
    if case in (STORE, ATOMIC, ATOMIC_FETCH, COMPARE_EXCHANGE):
        return dst, width // 8, True
    return None


def way_of(at: Looked, register: int, size: int, layout: Layout, *, write: bool) -> Way:
    """What an access of `size` bytes by a base register needs, given what is known of that."""
    if at.walked or not layout.checked:
        return Way(Way.PLAIN)
    off = at.step[6]
    low, high, place = at.before[register]
    if low + off < 0 or high + off > MASK32:
        low, high = 0, MASK32
    else:
        low, high = low + off, high + off
    if place < 0 or at.pc in layout.distrusted:
        return Way(Way.UNKNOWN)
    region = layout.places[place]
    if region is None or (write and not region.writable) or region.end - region.start < size:
        return Way(Way.NOWHERE)
    bottom = region.start
    if place == STACK_PLACE:
        frame_low, frame_high, _ = at.before[FRAME_POINTER]
        if register == FRAME_POINTER and off >= -layout.frame_size and high + size <= region.end:
            return Way(Way.PLAIN)  # in our own frame or one above, whichever that is
        if frame_low != frame_high:
            return Way(Way.UNKNOWN)
        bottom = frame_low - layout.frame_size
    if low >= bottom and high + size <= region.end:
        return Way(Way.PLAIN)
    return Way(Way.WITHIN, bottom, region.end)


@dataclass(frozen=True, slots=True)
class Address:
    """A proved address: [base + offset]."""

    base: int
    offset: int


class MemoryWriter:
    """Writes the access at `operands.at`.

    `exit_` gives the label of the exit of the instruction at hand, and `checker` that of a routine which
    tests an address against all regions.
    """

    def __init__(
        self,
        operands: Operands,
        layout: Layout,
        exit_: Callable[[], Label],
        checker: Callable[[int, bool, Scratch], Label],
    ) -> None:
        self._o = operands
        self._t0, self._t1, self._t2, self._t3 = operands.scratch
        self._asm: Assembler = operands.asm
        self._layout = layout
        self._exit = exit_
        self._checker = checker

    def load(self) -> None:
        """A load; one whose result nobody reads is tested all the same."""
        case, _, width, _, dst, src, off, _, _ = self._o.at.step
        size = width // 8
        fused = self._o.at.fused
        if fused is not None:
            low = self._o.target(dst, False, self._t1)
            self._by_sum((_SIGNED if case == LOAD_SIGNED else _LOADS)[size], low, fused)
            self._loaded(dst, low, case)
            return
        place = self._find(src, off, size, write=False)
        if place is None:
            return
        o, asm = self._o, self._asm
        if not (o.wants(dst, False) or o.wants(dst, True)):
            return
        if size == 8:
            self._load_pair(dst, place)
            return
        low = o.target(dst, False, self._t1)
        asm.emit(access((_SIGNED if case == LOAD_SIGNED else _LOADS)[size], low, place.base, place.offset))
        self._loaded(dst, low, case)

    def _by_sum(self, operation: Access, register: int, fused: Fused) -> None:
        """An access by a base and an index; what they are was found before the step."""
        base, index = self._o.read_at(fused, self._t0, self._t2)
        self._asm.emit(access_register(operation, register, base, index, fused.amount))

    def _loaded(self, dst: int, low: int, case: int) -> None:
        """A load of less than 64 bits has given `low`."""
        o, asm = self._o, self._asm
        o.done(dst, False, low)
        if case == LOAD_SIGNED and o.wants(dst, True) and o.at.behind[dst][1] > MASK32:
            high = o.target(dst, True, self._t2)
            asm.emit(shift_imm(Shift.ASR, high, low, 31))
            o.done(dst, True, high)
        else:
            o.write(dst, True, 0, self._t2)

    def _load_pair(self, dst: int, place: Address) -> None:
        """Two words, the one that overwrites the base last; LDRD faults where addresses are not aligned."""
        o, asm = self._o, self._asm
        for high in (True, False) if o.target(dst, False, self._t1) == place.base else (False, True):
            if o.wants(dst, high):
                holder = o.target(dst, high, self._t1)
                asm.emit(access(Access.LDR, holder, place.base, place.offset + 4 * high))
                o.done(dst, high, holder)

    def store(self) -> None:
        """A store of a register or a constant."""
        _, _, width, _, dst, _, off, _, _ = self._o.at.step
        size = width // 8
        fused = self._o.at.fused
        if fused is not None:
            self._by_sum(_STORES[size], self._o.second(False, self._t1), fused)
            return
        place = self._find(dst, off, size, write=True)
        if place is None:
            return
        for high in (False, True) if size == 8 else (False,):
            constant = self._o.second_constant(high) is not None
            value = self._o.second(high, self._o.spare(self._t1) if constant else self._t1)
            self._asm.emit(access(_STORES[min(size, 4)], value, place.base, place.offset + 4 * high))

    def atomic(self) -> None:
        """Load, change, store: a slot with data runs one program at a time, so nothing comes between."""
        case, sem, width, _, dst, src, off, _, _ = self._o.at.step
        place = self._find(dst, off, width // 8, write=True)
        if place is None:
            return
        if place.base != self._t0:
            self._asm.emit(mov(self._t0, place.base))
            place = Address(self._t0, place.offset)
        if case == COMPARE_EXCHANGE:
            self._compare_exchange(place, width, src)
            return
        operation = _ATOMICS.get(sem)
        fetches = case == ATOMIC_FETCH
        if operation is None:
            self._exchange(place, width, src)
        elif operation is Alu.ADD and width == 64:
            self._add_pair(place, src, fetches)
        else:
            for high in (False, True) if width == 64 else (False,):
                self._change(operation, place, src, high, fetches)
        if fetches and width == 32:
            self._o.write(src, True, 0, self._t1)

    def _change(self, operation: Alu, place: Address, src: int, high: bool, fetches: bool) -> None:
        o, asm, offset = self._o, self._asm, place.offset + 4 * high
        asm.emit(access(Access.LDR, self._t1, self._t0, offset))
        asm.emit(
            alu(operation, self._t2, self._t1, o.read(src, high, self._t2)),
            access(Access.STR, self._t2, self._t0, offset),
        )
        if fetches and o.wants(src, high):
            o.done(src, high, self._t1)

    def _add_pair(self, place: Address, src: int, fetches: bool) -> None:
        """The carry has to survive the loads and stores, which keep the flags."""
        o, asm = self._o, self._asm
        asm.emit(access(Access.LDR, self._t1, self._t0, place.offset))
        asm.emit(alu(Alu.ADD, self._t2, self._t1, o.read(src, False, self._t2), Flags.SET))
        asm.emit(access(Access.STR, self._t2, self._t0, place.offset))
        if fetches and o.wants(src, False):
            o.done(src, False, self._t1)
        asm.emit(access(Access.LDR, self._t1, self._t0, place.offset + 4))
        asm.emit(alu(Alu.ADC, self._t2, self._t1, o.read(src, True, self._t2, Flags.KEEP)))
        asm.emit(access(Access.STR, self._t2, self._t0, place.offset + 4))
        if fetches and o.wants(src, True):
            o.done(src, True, self._t1)

    def _exchange(self, place: Address, width: int, src: int) -> None:
        o, asm = self._o, self._asm
        for high in (False, True) if width == 64 else (False,):
            offset = place.offset + 4 * high
            asm.emit(access(Access.LDR, self._t1, self._t0, offset))
            asm.emit(access(Access.STR, o.read(src, high, self._t2), self._t0, offset))
            if o.wants(src, high):
                o.done(src, high, self._t1)

    def _compare_exchange(self, place: Address, width: int, src: int) -> None:
        """r0 gets the old value, in two scratch registers; src is stored if they were equal."""
        o, asm = self._o, self._asm
        halves = ((False, self._t1), (True, self._t3)) if width == 64 else ((False, self._t1),)
        differs = asm.label()
        for high, old in halves:
            asm.emit(access(Access.LDR, old, self._t0, place.offset + 4 * high))
        for high, old in halves:
            asm.emit(compare(Compare.CMP, old, o.read(0, high, self._t2)))
            asm.jump_if(Cond.NE, differs)
        for high, _ in halves:
            asm.emit(access(Access.STR, o.read(src, high, self._t2), self._t0, place.offset + 4 * high))
        asm.bind(differs)
        for high, old in halves:
            if o.wants(0, high):
                o.done(0, high, old)
        if width == 32:
            o.write(0, True, 0, self._t2)

    # Addresses

    def _find(self, register: int, off: int, size: int, *, write: bool) -> Address | None:
        """Where an access goes, after whatever tests it needs; None when it can only fail."""
        way = way_of(self._o.at, register, size, self._layout, write=write)
        if way.test == Way.PLAIN:
            return self._plain(register, off)
        if way.test == Way.WITHIN:
            return self._within(register, off, size, way)
        if way.test == Way.UNKNOWN:
            return self._unknown(register, off, size, write)
        self._asm.jump(self._exit())
        return None

    def _plain(self, register: int, off: int) -> Address:
        constant = self._o.constant(register, high=False)
        if constant is not None and self._o.core(register, high=False) is None:
            near = self._o.near(constant + off & MASK32)
            if near is not None:
                return Address(*near)
        base = self._o.read(register, False, self._t0)
        if off in _REACH:
            return Address(base, off)
        self._sum(base, off)
        return Address(self._t0, 0)

    def _sum(self, base: int, off: int) -> None:
        """The first scratch register = base + off, modulo 2^32."""
        encoding = try_alu_imm(Alu.ADD, self._t0, base, off & MASK32)
        if encoding is None:
            encoding = alu(Alu.ADD, self._t0, base, self._o.value(off & MASK32, self._t1))
        self._asm.emit(encoding)

    def _within(self, register: int, off: int, size: int, way: Way) -> Address:
        """One comparison against both ends: what lies below is a large number."""
        base = self._o.read(register, False, self._t0)
        kept = base
        if base == self._t0 or off not in _REACH:
            self._sum(base, off)
            kept, off = self._t0, 0
        origin, last = way.numbers(off, size)
        tested = self._index(origin)
        if tested is None:
            tested = self._t1
            encoding = try_alu_imm(Alu.SUB, tested, kept, origin)
            if encoding is None:
                encoding = alu(Alu.SUB, tested, kept, self._o.value(origin, tested))
            self._asm.emit(encoding)
        test = try_compare_imm(Compare.CMP, tested, last)
        if test is None:
            test = compare(Compare.CMP, tested, self._o.value(last, self._t2))
        self._asm.emit(test)
        self._asm.jump_if(Cond.HI, self._exit())
        return Address(kept, off)

    def _index(self, origin: int) -> int | None:
        """The core register of what was added to just this origin."""
        if self._o.at.index is None or self._o.at.index[1] != origin:
            return None
        return self._o.core(self._o.at.index[0], False)

    def _unknown(self, register: int, off: int, size: int, write: bool) -> Address:
        """Ask the routine that knows all regions; it wants the lowest address of the active frames too."""
        base = self._o.read(register, False, self._t0)
        if off or base != self._t0:
            self._sum(base, off)
        frame = self._o.read(FRAME_POINTER, False, self._t3)
        self._asm.emit(alu_imm(Alu.SUB, self._t3, frame, self._layout.frame_size))
        self._asm.call(self._checker(size, write, self._o.scratch))
        self._asm.jump_if(Cond.HI, self._exit())
        return Address(self._t0, 0)


_TESTED_IN_TURN: Final = 4
"""Places that are tested one behind the other; more are halved first."""


def checker(
    asm: Assembler,
    label: Label,
    places: Sequence[Place | None],
    size: int,
    scratch: Scratch,
    *,
    write: bool,
) -> None:
    """The routine that tests the address in the first scratch register against all regions.

    HI when `size` bytes fit in none. In the fourth is where the stack's active part begins, both
    this and the third are lost, and none of these three is LR.
    """
    t2 = scratch[2]
    asm.bind(label)
    refused = asm.label()
    fitting = [
        (number, place)
        for number, place in enumerate(places)
        if place is not None and not (write and not place.writable) and place.end - place.start >= size
    ]
    _search(asm, fitting, size, scratch, refused)
    asm.bind(refused)
    asm.emit(*load_constant(t2, 1), compare_imm(Compare.CMP, t2, 0), bx(R.LR))


def _search(
    asm: Assembler, places: Sequence[tuple[int, Place]], size: int, scratch: Scratch, refused: Label
) -> None:
    """Return with LS from the place that holds the address, else go on at `refused` or behind this."""
    t0, _, t2, t3 = scratch
    if len(places) > _TESTED_IN_TURN:
        middle = len(places) // 2
        above = asm.label()
        asm.emit(*load_constant(t2, places[middle][1].start), compare(Compare.CMP, t0, t2))
        asm.jump_if(Cond.HS, above)
        _search(asm, places[:middle], size, scratch, refused)
        asm.jump(refused)
        asm.bind(above)
        _search(asm, places[middle:], size, scratch, refused)
        return
    for number, place in sorted(
        places, key=lambda item: item[0] != STACK_PLACE
    ):  # its limit is lost behind it
        further = asm.label()
        if number == STACK_PLACE:
            asm.emit(compare(Compare.CMP, t0, t3))
            asm.jump_if(Cond.LO, further)
            asm.emit(*load_constant(t2, place.end - size), compare(Compare.CMP, t0, t2))
        else:
            asm.emit(*load_constant(t2, place.start), alu(Alu.SUB, t2, t0, t2))
            asm.emit(*load_constant(t3, place.end - place.start - size), compare(Compare.CMP, t2, t3))
        asm.if_then(Cond.LS, [bx(R.LR)])
        asm.bind(further)
