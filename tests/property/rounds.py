"""Random programs full of loops that count: up or down, by more than one, past the borders of 32 and 64 bits.

Registers move in step with each other, or nearly; counters are changed in inner loops, on some ways only, by
loads, helpers and calls; a loop may be entered in its middle. What is unknown comes from the context.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Final

from device.vm.decode import MASK32, MASK64
from device.vm.memory import CONTEXT_BASE

ANCHORS: Final = (0, 0, 5, 2**31, 2**32, 2**63, 2**64)
STEPS: Final = (1, 1, 2, 3, 8, -1, -1, -2, -3, -8, 2**30, 2**31, -(2**31))
SHORT: Final = STEPS[:10]
REGISTERS: Final = (6, 6, 7, 7, 8, 3, 0)
UNKNOWN: Final = 9
CONTEXT: Final = 4
"""Registers with something from the context, and with its address; the address is never changed."""

EQUALITIES: Final = ("jne", "jne", "jne", "jeq")
ORDERS: Final = ("jlt", "jle", "jgt", "jge", "jslt", "jsle", "jsgt", "jsge")
CALLEES: Final = (
    "mov r0, r1\nadd r0, 1\nexit",
    "add r3, 8\nmov r6, 5\nadd r6, r3\nmov r0, r6\nexit",
    "ldxb r3, [r4+3]\nadd32 r0, r3\nexit",
)


class Rounds:
    """One program while it is written; with `accesses` counters are indices, and all is stored."""

    def __init__(self, source: random.Random, *, accesses: bool = False) -> None:
        self._source = source
        self._accesses = accesses
        self._lines = [f"lddw r{CONTEXT}, {CONTEXT_BASE}", f"ldxdw r{UNKNOWN}, [r{CONTEXT}]"]
        self._labels = 0
        self._items: tuple[Callable[[int], None], ...] = (
            *(self._move, self._move, self._add, self._add, self._both, self._operate, self._constant),
            *(self._load, self._call, self._bits, self._shifts, self._maybe, self._maybe),
        )

    def text(self) -> str:
        """All of it: registers set, one to three loops, the functions that are called."""
        for register in sorted(set(REGISTERS)):
            self._constant(register)
        for _ in range(self._source.choice((1, 1, 2, 3))):
            self._source.choice((self._loop, self._loop, self._loop, self._again))(0)
        if self._accesses:
            self._lines += [f"stxdw [r10-{8 + 8 * register}], r{register}" for register in range(10)]
        callees = [f"f{number}: {body}" for number, body in enumerate(CALLEES)]
        return "\n".join([*self._lines, "exit", *callees])

    def _write(self, line: str) -> None:
        self._lines.append(line)

    def _label(self) -> str:
        self._labels += 1
        return f"l{self._labels}"

    def _near(self) -> int:
        return (self._source.choice(ANCHORS) + self._source.randrange(-6, 7)) & MASK64

    def _register(self) -> int:
        return self._source.choice(REGISTERS)

    def _width(self) -> str:
        return "32" if self._source.random() < 0.3 else ""

    # What stands in a row

    def _item(self, depth: int) -> None:
        if depth < 3 and self._source.random() < 0.15:
            self._source.choice((self._loop, self._loop, self._again))(depth)
        else:
            self._source.choice(self._items)(self._register())

    def _move(self, register: int) -> None:
        self._write(f"mov{self._width()} r{register}, r{self._source.choice((*REGISTERS, UNKNOWN))}")

    def _add(self, register: int) -> None:
        name = self._source.choice(("add", "sub")) + self._width()
        self._write(f"{name} r{register}, {_immediate(self._source.choice(STEPS))}")

    def _both(self, _register: int) -> None:
        """Two registers in step with each other, or nearly."""
        step = self._source.choice(SHORT)
        for register in (self._register(), self._register()):
            self._write(f"add{self._width()} r{register}, {_immediate(step)}")

    def _operate(self, register: int) -> None:
        name = self._source.choice(("add", "sub", "add", "sub", "xor", "mul")) + self._width()
        self._write(f"{name} r{register}, r{self._register()}")

    def _constant(self, register: int) -> None:
        self._write(f"lddw r{register}, {self._near()}")

    def _load(self, register: int) -> None:
        if self._accesses and self._source.random() < 0.5:
            self._index(register)
            return
        name = self._source.choice(("ldxb", "ldxdw", "ldxsb", "lock fetch add"))
        place = f"[r{CONTEXT}+{self._source.randrange(8)}]"
        is_atomic = name.startswith("lock")
        self._write(f"{name} {place}, r{register}" if is_atomic else f"{name} r{register}, {place}")

    def _index(self, register: int) -> None:
        access = self._source.choice(("ldxb r5, [r5]", "ldxb r3, [r5+1]", "stxb [r5-1], r6", "stxb [r5], r7"))
        self._write(f"mov r5, r{register}\nadd r5, r{self._source.choice((CONTEXT, CONTEXT, 10))}\n{access}")

    def _call(self, _register: int) -> None:
        self._write(self._source.choice(("call 7", *(f"call local f{n}" for n in range(len(CALLEES))))))

    def _bits(self, register: int) -> None:
        self._write(f"and{self._width()} r{register}, {self._source.choice((1, 3, 15, 255))}")

    def _shifts(self, register: int) -> None:
        self._write(f"lsh r{register}, 32")
        self._write(f"{self._source.choice(('rsh', 'arsh'))} r{register}, 32")

    def _maybe(self, register: int) -> None:
        """Some steps on one way only."""
        behind = self._label()
        self._write(f"{self._test(register, self._near())}, {behind}")
        for _ in range(self._source.randrange(1, 3)):
            self._item(3)
        if self._source.random() < 0.3:
            other, behind = behind, self._label()
            self._write(f"ja {behind}")
            self._write(f"{other}:")
            self._item(3)
        self._write(f"{behind}:")

    def _test(self, register: int, value: int) -> str:
        """A comparison with a constant that fits, or with what is unknown."""
        name = self._source.choice((*EQUALITIES, *ORDERS)) + self._width()
        if _fits(value) or name.endswith("32"):
            return f"{name} r{register}, 0x{value & MASK32:x}"
        return f"{name} r{register}, r{self._source.choice((UNKNOWN, *REGISTERS))}"

    # Loops

    def _loop(self, depth: int) -> None:
        source, register, step = self._source, self._register(), self._source.choice(STEPS)
        end = self._near() if source.random() < 0.7 else source.randrange(16)
        start = (
            end - step * source.randrange(1, 7) + (source.randrange(-2, 3) if source.random() < 0.3 else 0)
        )
        self._begin(register, start & MASK64)
        head, middle, out = self._label(), self._label(), self._label()
        entered = source.random() < 0.1
        if entered:
            self._write(f"{self._test(UNKNOWN, self._near())}, {middle}")
        self._write(f"{head}:")
        for _ in range(source.choice((0, 0, 1, 2, 3))):
            self._item(depth + 1)
        if entered:
            self._write(f"{middle}:")
        is_sub = source.random() < 0.4
        by = _immediate(-step if is_sub else step)
        self._write(f"{'sub' if is_sub else 'add'}{self._width()} r{register}, {by}")
        if source.random() < 0.1:
            self._write(f"add{self._width()} r{register}, 1")
        for _ in range(source.choice((0, 0, 0, 1, 2))):
            self._item(depth + 1)
        self._end(register, end, head, out)

    def _again(self, depth: int) -> None:
        """A loop that is entered again with something else than the first time, known less well."""
        source, step = self._source, self._source.choice(SHORT)
        register, later = source.sample(sorted(set(REGISTERS)), 2)
        end = source.choice((source.randrange(16), self._near()))
        start = (end - step * source.randrange(1, 7)) & MASK64
        head, inner, out = self._label(), self._label(), self._label()
        self._write(f"lddw r{later}, {start}\n{head}:\nmov r{register}, r{later}\nlddw r{later}, {start}")
        self._write(f"{inner}:")
        if source.random() < 0.3:
            self._item(depth + 1)
        self._write(f"add{self._width()} r{register}, {_immediate(step)}")
        self._end(register, end, inner, out)
        self._write(
            f"ldxb r{later}, [r{CONTEXT}+{source.randrange(8)}]\nand r{later}, {source.choice((1, 3))}"
        )
        if start:
            self._write(f"lddw r5, {start}\nadd r{later}, r5")
        self._write(source.choice((f"ja {head}", f"{self._test(UNKNOWN, self._near())}, {head}")))

    def _begin(self, register: int, start: int) -> None:
        """The counter's first value: known, maybe a bit more, or whatever another register has."""
        kind = self._source.random()
        if kind < 0.8:
            self._write(f"lddw r{register}, {start}")
        if 0.6 < kind < 0.8:
            self._write(f"mov r5, r{UNKNOWN}\nand r5, {self._source.choice((1, 3))}\nadd r{register}, r5")
        elif kind > 0.9:
            self._move(register)

    def _end(self, register: int, end: int, head: str, out: str) -> None:
        source, width = self._source, self._width()
        operand = f"0x{end & MASK32:x}" if _fits(end) or width else f"r{source.choice((UNKNOWN, 3, 8))}"
        kind = source.random()
        if kind < 0.5:
            self._write(f"jne{width} r{register}, {operand}, {head}")
        elif kind < 0.7:
            self._write(f"jeq{width} r{register}, {operand}, {out}\nja {head}")
        elif kind < 0.9:
            self._write(f"{source.choice(ORDERS)}{width} r{register}, {operand}, {head}")
        else:
            self._write(f"{self._test(self._register(), self._near())}, {head}")
        self._write(f"{out}:")


def programs(first: int, count: int, *, accesses: bool = False) -> Iterator[tuple[int, str]]:
    """So many programs, each with its number."""
    for number in range(first, first + count):
        yield number, Rounds(random.Random(number), accesses=accesses).text()


def _fits(value: int) -> bool:
    """Whether a comparison of 64 bits may have it as an immediate."""
    return value < 2**31 or value >= 2**64 - 2**31


def _immediate(value: int) -> str:
    return f"0x{value & MASK32:x}"
