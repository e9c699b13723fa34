"""Loads, stores and atomics as Python: how the bytes at an address are found without asking every time.

Where the analysis guesses the region that a pointer points into, the index of the byte is the address less a
constant: Python itself refuses what is beyond the end, what is below the start is tested unless the intervals
exclude it, and a region that is not there is an empty one. Elsewhere each instruction remembers the region
that it found last. Either way what does not fit is left to the exact tier.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from sys import byteorder
from typing import NamedTuple, Protocol

from device.vm.analysis.values import Value
from device.vm.decode import MASK32
from device.vm.interpreter.lines import Lines, Site
from device.vm.interpreter.texts import PLUS, Text, cut, variable
from device.vm.isa import FRAME_POINTER
from device.vm.memory import STACK_PLACE, STACK_TOP, WINDOWS


class Writer(Protocol):
    """Where the statements go."""

    def add(self, text: str, site: Site | None = None) -> None:
        """A statement."""

    def named(self, value: Text) -> Text:
        """An atom with the value."""


class Base(NamedTuple):
    """The address of an access: a register's value, what is known of it, and the displacement."""

    text: Text
    value: Value
    off: int
    register: int


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes at a place: `buffer` and `index` are texts; `numbers` if the index counts whole numbers."""

    buffer: str
    index: str
    size: int
    numbers: bool
    reads: int

    @property
    def loaded(self) -> str:
        """The number that they hold."""
        if self.numbers:
            return f"{self.buffer}[{self.index}]"
        return f"load{self.size}({self.buffer}, {self.index})[0]"

    def stored(self, value: str) -> str:
        """The statement that makes them hold a number."""
        if self.numbers:
            return f"{self.buffer}[{self.index}] = {value}"
        return f"store{self.size}({self.buffer}, {self.index}, {value})"


class Access:
    """Finds bytes for the accesses of one unit.

    `stack_size` is that of all frames together; `distrusted` are the slots whose guess was wrong before.
    """

    def __init__(self, lines: Lines, frame_size: int, stack_size: int, distrusted: Collection[int]) -> None:
        self._lines = lines
        self._frame_size = frame_size
        self._bases = [*WINDOWS]
        self._bases[STACK_PLACE] = STACK_TOP - stack_size
        self._distrusted = distrusted

    def find(self, writer: Writer, base: Base, size: int, site: Site, *, write: bool) -> Bytes:
        """The bytes of an access; whatever has to be tested first is written."""
        low, high, place = base.value
        if place < 0 or site.pc in self._distrusted:
            return self._remembered(writer, base, size, site, write=write)
        start, off = self._bases[place], base.off
        low = low + off if low + off >= 0 and high + off <= MASK32 else 0
        if base.value[0] == base.value[1]:
            if self._is_within(base, low, place):
                return self._constant(low - start, place, size, write=write)
            return self._remembered(writer, base, size, site, write=write)
        text = base.text
        if self._is_within(base, text.floor + off, place):
            text = self._index(text, off - start)
        elif self._is_within(base, low, place):
            text = self._index(cut(text, text.loose), off - start)
        else:
            text = self._tested(writer, self._index(text, off - start), place, site)
        return Bytes(self._buffer(place, write=write), text.text, size, size == 1, text.reads)

    def _is_within(self, base: Base, low: int, place: int) -> bool:
        """Whether an address of at least `low` cannot lie below what is accessible at a place."""
        return low >= self._bases[place] and (place != STACK_PLACE or self._is_active(base, low))

    def _index(self, text: Text, more: int) -> Text:
        """A number plus a constant, not masked.

        An address is what the text is in 32 bits. Where that differs, the text is below zero or above 32
        bits, and an index that is made of it is below zero or beyond the end of any region.
        """
        if text.origin is not None and text.origin[0] == PLUS:
            _, text, constant = text.origin
            more += constant
        if not more:
            return text
        return Text(f"{text.inner} {_signed(more)}", 0, MASK32, text.reads)

    def _is_active(self, base: Base, low: int) -> bool:
        """Whether a stack address of at least `low` cannot lie below the active frames."""
        if base.register == FRAME_POINTER and base.off >= -self._frame_size:
            return True
        return low >= STACK_TOP - self._frame_size

    def _constant(self, offset: int, place: int, size: int, *, write: bool) -> Bytes:
        if size == 1 or offset % size or byteorder != "little":
            return Bytes(self._buffer(place, write=write), str(offset), size, size == 1, 0)
        name = f"{'wv' if write else 'dv'}{place}_{size}"
        source = f"m.aligned({place}, {size}, write={write})"
        return Bytes(self._lines.use(name, source), str(offset // size), size, True, 0)

    def _buffer(self, place: int, *, write: bool) -> str:
        if write:
            return self._lines.use(f"w{place}", f"m.writes[{place}]")
        return self._lines.use(f"d{place}", f"m.reads[{place}]")

    def _address(self, base: Base) -> Text:
        """The address, masked where it may leave 32 bits."""
        low, high, _ = base.value
        text, off = base.text, base.off
        if low + off < 0 or high + off > MASK32:
            shown = f"({text.inner} {_signed(off)} & {MASK32})" if off else f"({text.inner} & {MASK32})"
            return Text(shown, 0, MASK32, text.reads)
        shown = f"{text.exact_inner} {_signed(off)}" if off else text.exact
        return Text(shown, 0, MASK32, text.reads, atom=not off and text.atom)

    def _tested(self, writer: Writer, text: Text, place: int, site: Site) -> Text:
        """The index in a variable, after a test that it is not below the region's accessible part."""
        name = self._lines.temporary()
        writer.add(f"{name} = {text.text}")
        least = "0"
        if place == STACK_PLACE:
            least = f"r10 - {self._bases[place] + self._frame_size}"
        writer.add(f"if {name} < {least}: raise Elsewhere", site)
        return variable(name, 0, MASK32)

    def _remembered(self, writer: Writer, base: Base, size: int, site: Site, *, write: bool) -> Bytes:
        """By the region that the same instruction found last; looked for where it is another."""
        lines, pc = self._lines, site.pc
        find = lines.use("findw", "m.find_writable") if write else lines.use("find", "m.find")
        buffer, start, last = f"b{pc}", f"s{pc}", f"e{pc}"
        lines.use(buffer, "None")
        lines.use(start, "0")
        lines.use(last, "-1")
        address = writer.named(self._address(base))
        index = lines.temporary()
        writer.add(f"{index} = {address.text} - {start}")
        found = f"{buffer}, {start}, {last} = {find}({address.text}, {size})"
        writer.add(f"if not 0 <= {index} <= {last}: {found}; {index} = {address.text} - {start}", site)
        return Bytes(buffer, index, size, size == 1, 0)


def _signed(value: int) -> str:
    return f"+ {value}" if value >= 0 else f"- {-value}"
