"""The statements that generated programs consist of."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from device.vm.helpers import CType
from device.vm.isa import FRAME_POINTER, Form, Op
from device.vm.memory import DATA_BASE, FRAME_SIZE, RODATA_BASE, STACK_TOP
from tests.property.differential.builder import Builder
from tests.property.differential.execute import CALLABLE, MIX, REFUSE, SLEEP
from tests.property.programs import ALU, BRANCHES, MEMORY, ROWS, WIDE

IMMEDIATES: Final = (
    0, 1, 2, 3, 5, 7, 8, 15, 16, 31, 32, 33, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 65535,
    0x7FFFFFFF, -1, -2, -3, -8, -0x80, -0x8000, -0x80000000, -0x7FFFFFFF, 0x12345678,
)  # fmt: skip
WIDES: Final = (
    0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x100000000, 0x80000000_00000000, 0x7FFFFFFF_FFFFFFFF,
    0xFFFFFFFF_FFFFFFFF, 0xFFFFFFFF_00000000, 0xFFFFFFFF_80000000, 0x01234567_89ABCDEF, 0x10000_0000_0001,
)  # fmt: skip
LOADS: Final = [op for op in MEMORY if op.form is Form.LOAD]
RELATIVE: Final = (ROWS["lddwd", Form.WIDE_RELATIVE], ROWS["lddwr", Form.WIDE_RELATIVE])
COUNTDOWN: Final = ("jne", "jgt", "jsgt", "jne32", "jgt32")
COUNTUP: Final = ("jlt", "jne", "jslt", "jle", "jlt32", "jsle32")
CARELESS: Final = 0.94
"""How often a memory access of a careless program is meant to succeed."""


@dataclass(frozen=True, slots=True)
class Area:
    """Guest memory that a pointer can be made to."""

    address: int
    size: int
    writable: bool


@dataclass(frozen=True, slots=True)
class Pointer:
    """What a register points to: so many bytes into an area."""

    area: Area
    offset: int

    @property
    def roomy(self) -> bool:
        """Whether helpers can write a few bytes there."""
        return self.area.writable and self.offset + 8 <= self.area.size


class Writer:
    """Writes a program, statement by statement. What registers hold is believed, not known."""

    def __init__(
        self, source: random.Random, areas: list[Area], frame_size: int, *, sleepy: bool = False
    ) -> None:
        self.random = source
        self.out = Builder()
        self.areas = areas
        self.frame_size = frame_size
        self.sleepy = sleepy
        self.held: list[int] = []
        self.pointers: dict[int, Pointer] = {}
        self.functions: list[int] = []
        self.current = 0
        self.room = 0
        self.wanted = 1.0 if source.random() < 0.6 else CARELESS

    def program(self, room: int) -> int:
        """All functions; the slot of the entry. `room` bounds the instructions, roughly."""
        count = self.random.choice((1, 1, 1, 2, 3, 4))
        self.functions = [self.out.label() for _ in range(count)]
        order = list(range(count))
        if self.random.random() < 0.2:
            self.random.shuffle(order)
        for number in order:
            self.current = number
            self.function(room if number == 0 else max(3, room // 3))
        self.out.exit()
        return self.out.start_of(self.functions[0])

    def function(self, room: int) -> None:
        """One function, with an exit at its end (mostly)."""
        self.out.place(self.functions[self.current])
        self.held, self.pointers, self.room = [], {}, room
        if self.current == 0 and self.random.random() < 0.5:
            self.out.alu_reg("mov", self.random.choice((6, 7, 8)), 1)
        if self.random.random() < 0.8:
            self.corners()
        while self.room > 0:
            self.statement(0)
        self.show()
        if self.random.random() < 0.95:
            self.out.exit()

    def probe(self) -> bytes:
        """A few operations on registers with corner values, all of them shown: operands meet operands."""
        registers = self.random.sample(range(10), 4)
        for register in registers:
            self.out.emit(WIDE, register, imm=self.random.choice(WIDES))
        for _ in range(self.random.randint(1, 12)):
            label = self.out.label()
            jumps = self.random.random() < 0.4
            one, other = self.random.choice(registers), self.random.choice(registers)
            row = self.random.choice(BRANCHES if jumps else ALU)
            self.out.emit(row, one, other, imm=self.immediate(), label=label if jumps else None)
            if jumps:
                self.out.alu("add", self.random.choice(registers), 1)
            self.out.place(label)
        for number, register in enumerate(registers, 1):
            self.out.emit(ROWS["stxdw", Form.STORE_REG], FRAME_POINTER, register, -8 * number)
        self.out.exit()
        return self.out.text()

    def corners(self) -> None:
        """Some registers with values at which arithmetic goes wrong: most are 0 at first."""
        kept = {6, 7, 8} if self.current == 0 else set[int]()
        for register in self.random.sample(sorted(set(range(10)) - kept), self.random.randint(1, 6)):
            self.out.emit(WIDE, register, imm=self.random.choice(WIDES))

    def show(self) -> None:
        """What registers hold, to be seen in memory or in r0."""
        shown = self.random.sample(range(10), self.random.choice((0, 2, 10)))
        if 8 * len(shown) <= self.frame_size and self.current == 0:
            for number, register in enumerate(shown, 1):
                self.out.emit(ROWS["stxdw", Form.STORE_REG], FRAME_POINTER, register, -8 * number)
            return
        for register in shown:
            self.out.alu("mul", 0, 31)
            self.out.alu_reg("add", 0, register)

    def statement(self, depth: int) -> None:
        """One of them; `depth` is how many blocks it stands in."""
        begun = len(self.out.items)
        nested = 0.0 if depth >= 3 or self.room < 4 else 1.0
        kinds: list[tuple[Callable[[int], None], float]] = [
            (self.arithmetic, 9),
            (self.constant, 2),
            (self.stack_access, 3),
            (self.new_pointer, 1.5),
            (self.pointer_access, 4),
            (self.indexed_access, 1),
            (self.helper_call, 0.8),
            (self.local_call, 1 if len(self.functions) > 1 else 0.03),
            (self.condition, 2 * nested),
            (self.loop, 2 * nested),
            (self.tangle, 0.4 * nested if depth == 0 else 0),
            (self.nest, 0.25 * nested if depth == 0 else 0),
            (self.swing, 0.4 if len(self.areas) > 1 else 0),
            (self.sleep, 1.5 if self.sleepy else 0),
            (self.leave, 0.15 * nested),
        ]
        chosen = self.random.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])[0]
        chosen(depth)
        self.room -= len(self.out.items) - begun if depth == 0 else 1

    def block(self, depth: int) -> None:
        """A few statements in a row. Pointers that are made in them are not counted on behind them."""
        before = dict(self.pointers)
        for _ in range(self.random.choice((1, 1, 2, 3, 5))):
            self.statement(depth + 1)
        now = self.pointers
        self.pointers = {register: held for register, held in before.items() if now.get(register) is held}

    def target(self) -> int:
        """A register to write to, and what it points to forgotten. Rarely one that is in use."""
        free = [register for register in range(10) if register not in self.held]
        register = self.random.choice(free if free and self.random.random() < 0.99 else range(10))
        self.pointers.pop(register, None)
        return register

    def operand(self) -> int:
        """A register to read."""
        return self.random.randrange(11) if self.random.random() < 0.1 else self.random.randrange(10)

    def arithmetic(self, _depth: int) -> None:
        """Any ALU row."""
        op = self.random.choice(ALU)
        self.out.emit(op, self.target(), self.operand(), imm=self.immediate())

    def immediate(self) -> int:
        """A corner constant, or any."""
        if self.random.random() < 0.85:
            return self.random.choice(IMMEDIATES)
        return self.random.randrange(-(2**31), 2**31)

    def constant(self, _depth: int) -> None:
        """A known value, up to 64 bits."""
        wide = self.random.choice(WIDES) if self.random.random() < 0.8 else self.random.getrandbits(64)
        if self.random.random() < 0.5:
            self.out.emit(WIDE, self.target(), imm=wide)
        else:
            self.out.alu(self.random.choice(("mov", "mov32")), self.target(), self.immediate())

    def access(self, op: Op, base: int, off: int) -> None:
        """A load, store or atomic at `base` + `off`."""
        off = max(-0x8000, min(0x7FFF, off))
        if op.form is Form.LOAD:
            self.out.emit(op, self.target(), base, off)
            return
        value = self.random.randrange(10)
        if op.writes_src:
            self.pointers.pop(value, None)
        self.out.emit(op, base, value, off, self.immediate())

    def stack_access(self, _depth: int) -> None:
        """In the frame, at its edges, and over them."""
        op = self.random.choice(MEMORY)
        self.access(op, FRAME_POINTER, self.place(self.frame_size, op.size) - self.frame_size)

    def place(self, size: int, width: int) -> int:
        """Where in `size` bytes an access of `width` goes; sometimes wrong by one, or by more."""
        last = size - width
        if last < 0 or self.random.random() > self.wanted:
            return self.random.choice((-1, last + 1, size, -width, -width + 1, size + 512, -4096))
        return self.random.choice((0, last, self.random.randint(0, last), self.random.randint(0, last) & ~7))

    def new_pointer(self, _depth: int) -> None:
        """A register that points into some area, or into the stack."""
        register = self.target()
        kind = self.random.random()
        if kind < 0.25 or not self.areas:
            back = self.random.choice((8, 16, self.frame_size, self.random.randint(1, self.frame_size)))
            self.out.alu_reg("mov", register, FRAME_POINTER)
            self.out.alu("add", register, -back)
            frame = Area(STACK_TOP - self.frame_size, self.frame_size, True)
            self.pointers[register] = Pointer(frame, self.frame_size - back)
            return
        area = self.random.choice(self.areas)
        offset = self.random.choice((0, 0, 0, area.size, self.random.randint(0, area.size)))
        relative = {DATA_BASE: RELATIVE[0], RODATA_BASE: RELATIVE[1]}.get(area.address)
        if relative is not None and kind < 0.5:
            self.out.emit(relative, register, imm=offset)
        else:
            dirt = self.random.choice((0, 0, 0, 0xDEADBEEF)) << 32  # pointers are their low halves
            self.out.emit(WIDE, register, imm=dirt | area.address + offset)
        self.pointers[register] = Pointer(area, offset)

    def some_pointer(self) -> tuple[int, Pointer]:
        """A register that is believed to point somewhere; made when there is none."""
        if not self.pointers or self.random.random() < 0.15:
            self.new_pointer(0)
        register = self.random.choice(list(self.pointers))
        return register, self.pointers[register]

    def pointer_access(self, _depth: int) -> None:
        """Through a register."""
        register, pointer = self.some_pointer()
        read_only = not pointer.area.writable and self.random.random() < self.wanted
        rows = LOADS if read_only else MEMORY
        if self.wanted == 1.0:
            rows = [row for row in rows if row.size <= pointer.area.size]
        op = self.random.choice(rows)
        self.access(op, register, self.place(pointer.area.size, op.size) - pointer.offset)

    def indexed_access(self, _depth: int) -> None:
        """Through a register and a masked other one."""
        register, pointer = self.some_pointer()
        self.held.append(register)
        index = self.target()
        op = self.random.choice(MEMORY if pointer.area.writable else LOADS)
        room = pointer.area.size - pointer.offset - op.size
        if room >= 0 or self.wanted < 1.0:
            mask = (1 << (max(room, 0) + 1).bit_length() - 1) - 1
            mask = mask if self.random.random() < self.wanted else 63
            self.out.alu(self.random.choice(("and", "and32")), index, mask)
            self.out.alu_reg("add", index, register)
            self.access(op, index, 0)
        self.held.remove(register)

    def helper_call(self, _depth: int) -> None:
        """Arguments as the helper wants them, mostly."""
        helper = self.random.choice(list(CALLABLE.values()))
        careful = self.wanted == 1.0
        usable = [register for register, pointer in self.pointers.items() if not careful or pointer.roomy]
        pointers = any(parameter.type is CType.POINTER for parameter in helper.parameters)
        if careful and (
            helper.id == REFUSE or (pointers and not usable) or not set(self.held).isdisjoint(range(6))
        ):
            helper = CALLABLE[MIX]
        for register, parameter in enumerate(helper.parameters, 1):
            if helper.id == MIX or (not careful and self.random.random() < 0.15):
                continue
            if parameter.type is CType.POINTER and usable:
                self.out.alu_reg("mov", register, self.random.choice(usable))
            elif careful or self.random.random() < 0.5:
                self.out.alu("mov", register, self.random.choice((0, 1, 2, 4)))
            if register in usable:
                usable.remove(register)
            self.pointers.pop(register, None)
        self.pointers.pop(0, None)
        self.out.call(helper.id)

    def sleep(self, _depth: int) -> None:
        """The budget of a long run begins anew."""
        self.pointers.pop(0, None)
        self.out.call(SLEEP)

    def swing(self, _depth: int) -> None:
        """One access that goes to two places in turn, many times: what it was taken for is wrong."""
        one, other = self.random.sample(self.areas, 2)
        held = len(self.held)
        pointer = self.target()
        self.held.append(pointer)
        counter = self.target()
        self.held.append(counter)
        shift = self.random.choice((0, 0, 1))
        rows = LOADS if not (one.writable and other.writable) else MEMORY
        fitting = [row for row in rows if row.size + shift <= min(one.size, other.size)]
        again = self.out.label()
        self.out.emit(WIDE, pointer, imm=one.address)
        self.out.alu("mov", counter, self.random.choice((3, 10, 40, 120)))
        index = self.target() if self.random.random() < 0.6 else pointer
        if index != pointer:
            self.held.append(index)
            self.out.alu("mov", index, 0)
        self.out.place(again)
        if index != pointer:
            place = self.target()
            self.out.alu_reg("mov", place, pointer)
            self.out.alu_reg("add", place, index)
        if fitting:
            self.access(self.random.choice(fitting), pointer if index == pointer else place, 0)
        change = one.address ^ other.address if index == pointer else other.address - one.address
        self.out.alu("xor", index, change | shift)
        self.out.alu("sub", counter, 1)
        self.out.emit(ROWS["jne", Form.BRANCH_IMM], counter, imm=0, label=again)
        del self.held[held:]

    def local_call(self, _depth: int) -> None:
        """A function of higher number; rarely any, which makes recursion."""
        higher = self.functions[self.current + 1 :]
        if not higher or self.random.random() < 0.03:
            higher = self.functions
        self.out.call_local(self.random.choice(higher))
        for register in range(6):
            self.pointers.pop(register, None)

    def branch(self, label: int) -> None:
        """Any conditional jump."""
        self.out.emit(
            self.random.choice(BRANCHES), self.operand(), self.operand(), imm=self.immediate(), label=label
        )

    def condition(self, depth: int) -> None:
        """if, or if-else."""
        behind = self.out.label()
        otherwise = self.out.label()
        both = self.random.random() < 0.4
        self.branch(otherwise if both else behind)
        self.block(depth)
        if both:
            self.out.jump(behind, far=self.random.random() < 0.2)
        self.out.place(otherwise)
        if both:
            self.block(depth)
        self.out.place(behind)

    def loop(self, depth: int) -> None:
        """Counted, in a register or on the stack; now and then along a pointer, or left early."""
        count = self.random.choice((1, 2, 3, 5, 9, 17))
        if depth == 0 and self.random.random() < 0.04:
            count = self.random.choice((300, 1500))
        if self.random.random() < 0.2 and self.frame_size >= FRAME_SIZE:
            self.loop_on_stack(depth, count)
            return
        again, behind = self.out.label(), self.out.label()
        counter = self.target()
        down = self.random.random() < 0.5
        self.out.alu(self.random.choice(("mov", "mov32")), counter, count if down else 0)
        held = len(self.held)
        self.held.append(counter)
        walking, step = None, self.random.choice((1, 1, 2, 4, 8, -1))
        if self.random.random() < 0.5:
            walking, pointer = self.some_pointer()
            if self.wanted == 1.0 and not 0 < pointer.offset + step * count <= pointer.area.size - 8:
                walking = None
            else:
                del self.pointers[walking]
                self.held.append(walking)
        if self.random.random() < 0.9:
            self.held += self.pointers  # the next round counts on them
        self.out.place(again)
        self.block(depth)
        if self.random.random() < 0.2:
            self.branch(behind)
        if walking is not None:
            self.access(self.random.choice(MEMORY if pointer.area.writable else LOADS), walking, 0)
            self.out.alu("add", walking, step)
        self.out.alu(self.random.choice(("add", "add", "add32")), counter, -1 if down else 1)
        mnemonic = self.random.choice(COUNTDOWN if down else COUNTUP)
        row = ROWS[mnemonic, Form.BRANCH_IMM]
        self.out.emit(row, counter, imm=0 if down else count, label=again)
        self.out.place(behind)
        del self.held[held:]

    def loop_on_stack(self, depth: int, count: int) -> None:
        """As compilers make it of a volatile counter."""
        again = self.out.label()
        off = -8 * self.random.randint(1, 8)
        held = len(self.held)
        self.held += self.pointers
        self.out.emit(ROWS["stdw", Form.STORE_IMM], FRAME_POINTER, off=off, imm=count)
        self.out.place(again)
        self.block(depth)
        register = self.target()
        self.out.emit(ROWS["ldxdw", Form.LOAD], register, FRAME_POINTER, off)
        self.out.alu("sub", register, 1)
        self.out.emit(ROWS["stxdw", Form.STORE_REG], FRAME_POINTER, register, off)
        self.out.emit(ROWS["jsgt", Form.BRANCH_IMM], register, imm=0, label=again)
        del self.held[held:]

    def tangle(self, depth: int) -> None:
        """Blocks that jump into each other as they like: flow without structure. Fuel ends it."""
        labels = [self.out.label() for _ in range(self.random.randint(3, 6))]
        behind = self.out.label()
        fuel = self.target()
        held = len(self.held)
        self.held += [fuel, *self.pointers]
        self.out.alu("mov", fuel, self.random.randint(3, 25))
        self.branch(self.random.choice(labels))
        for label in labels:
            self.out.place(label)
            self.out.alu("sub", fuel, 1)
            self.out.emit(ROWS["jsle", Form.BRANCH_IMM], fuel, imm=0, label=behind)
            self.block(depth)
            self.branch(self.random.choice(labels))
            if self.random.random() < 0.3:
                self.out.jump(self.random.choice(labels), far=self.random.random() < 0.3)
        self.out.place(behind)
        del self.held[held:]

    def nest(self, depth: int) -> None:
        """Loops and conditions in each other, deeper than anybody writes them, with little in each."""
        levels, loops = self.random.randint(8, 30), self.random.random()
        counter = self.target()
        held = len(self.held)
        self.held += [counter, *self.pointers]
        self.out.alu("mov", counter, self.random.randint(1, 20))
        ends: list[tuple[int, int]] = []
        for _ in range(levels):
            again, behind = self.out.label(), self.out.label()
            self.out.place(again)
            self.arithmetic(depth)  # or all loops would begin at one place, and be one
            if self.random.random() > loops:
                self.branch(behind)
                again = -1
            ends.append((again, behind))
        self.block(depth)
        for again, behind in reversed(ends):
            if again >= 0:
                self.out.alu("sub", counter, 1)
                self.out.emit(ROWS["jsgt", Form.BRANCH_IMM], counter, imm=0, label=again)
            elif self.random.random() < 0.5:
                self.arithmetic(depth)
            self.out.place(behind)
        del self.held[held:]

    def leave(self, _depth: int) -> None:
        """exit in the middle, behind a condition."""
        behind = self.out.label()
        self.branch(behind)
        self.out.exit()
        self.out.place(behind)
