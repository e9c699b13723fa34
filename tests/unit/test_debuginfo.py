"""Source lines: those of real objects, and none at all, quickly, when the debug information is damaged."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from client.build import compile_source, compilers
from device.vm import elf, loader
from device.vm.debuginfo import line_table
from device.vm.writer import strip_object
from tests.elf_objects import EXIT, Obj, minimal, mov
from tests.timing import best_of

ROOT = Path(__file__).parents[2]
OBJECTS = sorted((ROOT / "examples" / "objects").glob("*.o"))

SOURCE = """\
static __attribute__((noinline)) long in_text(volatile long *p) {
    *p += 1;
    return *p;
}
__attribute__((noinline, section("other"))) static long in_other(volatile long *p) {
    *p += 2;
    return *p + in_text(p);
}
__attribute__((section("more"))) long start(volatile long *p) {
    long a = in_text(p);
    long b = in_other(p);
    return a + b;
}
"""


def uleb(value: int) -> bytes:
    out = bytearray()
    while True:
        out.append((value & 0x7F) | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def unit(
    program: bytes,
    *,
    version: int = 4,
    tables: bytes | None = None,
    line_range: int = 14,
    length: int | None = None,
    opcode_base: int = 13,
    lengths: bytes = bytes([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1]),
) -> bytes:
    """A line number program with its header; the files are `one.c` and `two.c`."""
    if tables is None and version < 5:
        tables = b"\0" + b"".join(name + b"\0\0\0\0" for name in (b"one.c", b"two.c")) + b"\0"
    elif tables is None:
        formats = b"\1" + uleb(1) + uleb(0x08)
        tables = formats + uleb(1) + b"/src\0" + formats + uleb(2) + b"one.c\0two.c\0"
    rest = bytes([1] + ([1] if version >= 4 else []) + [1, 0xFB, line_range, opcode_base]) + lengths + tables
    sizes = bytes([8, 0]) if version >= 5 else b""
    body = struct.pack("<H", version) + sizes + struct.pack("<I", len(rest)) + rest + program
    return struct.pack("<I", len(body) if length is None else length) + body


def at(address: int) -> bytes:
    """DW_LNE_set_address."""
    return b"\0\x09\x02" + address.to_bytes(8, "little")


def row(line: int, *, file: int = 1) -> bytes:
    """From line 1, or the line before: advance_line, set_file, copy."""
    return b"\x03" + bytes([line & 0x7F]) + b"\x04" + uleb(file) + b"\x01"


END = b"\0\x01\x01"
SIMPLE = at(0) + row(4) + at(8) + row(1) + END


def with_lines(table: bytes, *, text: bytes = mov(0, 7) + EXIT) -> bytes:
    obj = Obj()
    obj.symbol("main", obj.text(text))
    obj.section(".debug_line", table, 0)
    return obj.build()


class TestByHand:
    @pytest.mark.parametrize("version", [2, 3, 4, 5])
    def test_versions(self, version: int) -> None:
        first = "two.c" if version == 5 else "one.c"
        assert line_table(with_lines(unit(SIMPLE, version=version))) == {0: f"{first}:5", 1: f"{first}:6"}

    def test_of_two_rows_for_an_address_the_last_one(self) -> None:
        assert line_table(with_lines(unit(at(0) + row(4) + row(9) + END))) == {0: "one.c:14"}

    def test_files(self) -> None:
        table = unit(at(0) + row(4, file=2) + at(8) + row(1, file=1) + END)
        assert line_table(with_lines(table)) == {0: "two.c:5", 1: "one.c:6"}

    def test_several_units(self) -> None:
        table = unit(at(0) + row(4) + END) + unit(at(8) + row(6) + END, version=5)
        assert line_table(with_lines(table)) == {0: "one.c:5", 1: "two.c:7"}

    def test_rows_without_a_line(self) -> None:
        """Line 0 is code of no source line."""
        assert line_table(with_lines(unit(at(0) + b"\x03\x7f\x01" + at(8) + row(3) + END))) == {1: "one.c:3"}

    def test_rows_outside_the_text(self) -> None:
        table = unit(at(16) + row(1) + at(2**64 - 8) + row(1) + at(0) + row(1) + END)
        assert line_table(with_lines(table)) == {0: "one.c:4"}

    def test_names_in_the_string_sections(self) -> None:
        for form, name in ((0x1F, ".debug_line_str"), (0x0E, ".debug_str")):
            formats = b"\1" + uleb(1) + uleb(form)
            entries = formats + uleb(1) + struct.pack("<I", 0)
            obj = minimal()
            obj.section(".debug_line", unit(at(0) + row(4, file=0) + END, version=5, tables=entries * 2), 0)
            obj.section(name, b"far.c\0", 0)
            assert line_table(obj.build()) == {0: "far.c:5"}

    def test_relocations(self) -> None:
        """Of addresses by the place of their section in the linked text, of names by what is there."""
        obj = Obj()
        other = obj.text(mov(0, 1) + EXIT, "other")
        text = obj.text(mov(0, 7) + EXIT)
        obj.symbol("main", text)
        program = at(0) + row(4, file=0) + at(8) + row(1, file=0) + END
        formats = b"\1" + uleb(1) + uleb(0x1F)
        table = unit(program, version=5, tables=(formats + uleb(1) + struct.pack("<I", 3)) * 2)
        first = table.index(at(0)) + 3
        name = table.index(struct.pack("<I", 3))
        debug = obj.section(".debug_line", table, 0)
        strings = obj.section(".debug_line_str", b"no\0x.c\0", 0)
        obj.rel(
            debug,
            (name, 3, obj.section_symbol(strings)),
            (first, 2, obj.section_symbol(other)),
            (first + len(at(0) + row(4)), 2, obj.section_symbol(text)),
        )
        image = obj.build()
        assert loader.load(image).text == mov(0, 7) + EXIT + mov(0, 1) + EXIT
        entries = line_table(image)
        assert entries[2] == "x.c:5"
        assert entries[1] == "x.c:6"


DAMAGED = [
    pytest.param(b"", id="empty"),
    pytest.param(b"\x10", id="no length"),
    pytest.param(unit(SIMPLE, version=1), id="version 1"),
    pytest.param(unit(SIMPLE, version=6), id="version 6"),
    pytest.param(unit(SIMPLE, version=0x0100), id="version 256"),
    pytest.param(unit(SIMPLE, length=2**31), id="beyond the section"),
    pytest.param(unit(SIMPLE, length=0xFFFFFFFF), id="64-bit"),
    pytest.param(unit(SIMPLE, length=0), id="nothing in it"),
    pytest.param(unit(SIMPLE, line_range=0) + b"\x20", id="bytes after it"),
    pytest.param(unit(at(0) + b"\xf0" + END, line_range=0), id="division by zero"),
    pytest.param(unit(SIMPLE, opcode_base=0), id="no opcode base"),
    pytest.param(unit(at(0) + row(1, file=9) + END), id="no such file"),
    pytest.param(unit(at(0) + row(1, file=9) + END, version=5), id="no such file in version 5"),
    pytest.param(unit(at(0) + row(1, file=0) + END, version=5, tables=b"\0\0\0\0"), id="no files"),
    pytest.param(unit(b"\0\x09\x02\x01"), id="half an address"),
    pytest.param(unit(b"\x02" + b"\xff" * 60_000), id="a number without end"),
    pytest.param(unit(b"\x02" + b"\xff" * 60_000 + b"\x01"), id="an enormous number"),
    pytest.param(unit(b"\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x80"), id="an enormous instruction"),
    pytest.param(unit(SIMPLE, tables=b"\0one.c"), id="file name without end"),
    pytest.param(
        unit(SIMPLE, version=5, tables=b"\0" + uleb(2**60) + b"\0\0"), id="2^60 directories of 0 bytes"
    ),
    pytest.param(unit(SIMPLE, version=5, tables=b"\0\0\0" + uleb(2**60)), id="2^60 files of 0 bytes"),
    pytest.param(
        unit(SIMPLE, version=5, tables=b"\1\1\x19" + uleb(2**60) + b"\0\0"), id="2^60 flags that are present"
    ),
    pytest.param(
        unit(SIMPLE, version=5, opcode_base=0, lengths=b"", tables=bytes(3) + uleb(2**60)),
        id="2^60 files behind no opcode base",
    ),
    pytest.param(unit(SIMPLE, version=5, tables=b"\1\1\x08" + uleb(2**60) + b"\0\0"), id="2^60 names"),
    pytest.param(unit(SIMPLE, version=5, tables=b"\1\1\x1f\1" + bytes(3)), id="half a reference"),
    pytest.param(unit(SIMPLE, version=5, tables=b"\xff" * 40), id="255 formats"),
]


@pytest.mark.parametrize("table", DAMAGED)
@pytest.mark.timeout(20)
def test_damaged(table: bytes) -> None:
    assert line_table(with_lines(table)) == {}


def test_a_reference_to_no_string() -> None:
    tables = (b"\1\1\x1f" + uleb(1) + struct.pack("<I", 99)) * 2
    table = unit(at(0) + row(1, file=0) + END, version=5, tables=tables)
    assert line_table(with_lines(table)) == {}
    obj = minimal()
    obj.section(".debug_line", table, 0)
    obj.section(".debug_line_str", b"x" * 200, 0)
    assert line_table(obj.build()) == {}


@pytest.mark.parametrize("offset", [2**40, 2**64 - 1, 10**4])
def test_relocation_outside_the_table(offset: int) -> None:
    obj = minimal()
    debug = obj.section(".debug_line", unit(SIMPLE), 0)
    obj.rel(debug, (offset, 2, 1))
    assert line_table(obj.build()) == {}


def test_unknown_relocation_of_the_table() -> None:
    obj = minimal()
    debug = obj.section(".debug_line", unit(SIMPLE), 0)
    obj.rel(debug, (0, 77, 1))
    assert line_table(obj.build()) == {}


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(EXIT, id="text"),
        pytest.param(b"\x7fELF" + bytes(200), id="no object"),
        pytest.param(minimal().build(), id="no debug information"),
        pytest.param(strip_object(minimal().build()), id="stripped"),
    ],
)
def test_nothing_to_find(image: bytes) -> None:
    assert line_table(image) == {}


def _units(count: int) -> bytes:
    return with_lines(unit(SIMPLE, version=5) * count)


def _names(count: int) -> bytes:
    """Each file has the same name, of the greatest length, and rows of its own."""
    reference = b"\1\1\x1f"
    tables = reference + b"\0" + reference + uleb(count) + struct.pack("<I", 0) * count
    program = at(0) + b"".join(b"\x04" + uleb(number) + b"\x01" for number in range(count)) + END
    obj = minimal()
    obj.section(".debug_line", unit(program, version=5, tables=tables), 0)
    obj.section(".debug_line_str", b"x" * 1000 + b"\0", 0)
    return obj.build()


@pytest.mark.parametrize("make", [_units, _names])
def test_time_is_linear(make: Callable[[int], bytes]) -> None:
    """Sixteen times as much takes about sixteen times as long, not 256."""
    few, many = make(50), make(800)
    assert line_table(many)
    assert best_of(2, lambda: line_table(many)) < 80 * best_of(4, lambda: line_table(few))


def test_the_library_is_imported_when_it_is_needed() -> None:
    """A client that deploys does not pay for it."""
    code = "import sys, device.vm.debuginfo; print('elftools' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


class TestExamples:
    @pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.stem)
    def test_the_entry_has_a_line(self, path: Path) -> None:
        obj = path.read_bytes()
        program = replace(loader.load(obj), lines=line_table(obj))
        place = program.source_at(program.entry)
        assert place is not None
        name, line = place.rsplit(":", 1)
        assert name.endswith((".c", ".h"))
        assert int(line) >= 1
        assert all(0 <= slot < program.slots for slot in program.lines)

    def test_mutations_never_raise(self) -> None:
        """Whatever happens to the debug sections: a table or none, and soon."""
        obj = next(path for path in OBJECTS if path.stem == "fletcher32").read_bytes()
        sections = elf.parse(obj).sections
        places = [
            section.offset + offset
            for section in sections
            if section.name in (".debug_line", ".rel.debug_line", ".debug_line_str")
            for offset in range(section.size)
        ]
        choice = random.Random(9669)
        slots = len(loader.load(obj).text) // 8
        for _ in range(400):
            damaged = bytearray(obj)
            for place in choice.sample(places, choice.choice((1, 2, 8))):
                damaged[place] = choice.choice((0, 1, 0x7F, 0x80, 0xFF, choice.randrange(256)))
            lines = line_table(bytes(damaged))
            assert all(0 <= slot < slots for slot in lines)


@pytest.mark.skipif(not compilers(), reason="no clang and no ziglang: lines of a real compiler were NOT read")
class TestCompiled:
    @pytest.mark.parametrize("flags", [[], ["-gdwarf-4"], ["-gdwarf-3"], ["-gline-tables-only"]])
    @pytest.mark.parametrize("cpu", ["v1", "v4"])
    def test_lines_of_three_sections(self, tmp_path: Path, flags: list[str], cpu: str) -> None:
        source = tmp_path / "three.c"
        source.write_text(SOURCE, encoding="utf-8")
        obj = compile_source(source, cpu=cpu, flags=flags).object
        program = replace(loader.load(obj), lines=line_table(obj))
        starts = {function.name: function.start for function in program.functions}
        found: dict[str, set[int]] = {name: set() for name in starts if name}
        for slot, place in program.lines.items():
            name, line = place.rsplit(":", 1)
            assert name.endswith("three.c")
            function = program.function_at(slot)
            assert function is not None
            found[function].add(int(line))
        assert found["in_text"] <= set(range(1, 5))
        assert found["in_other"] <= set(range(5, 9))
        assert found["start"] <= set(range(9, 14))
        assert {2} <= found["in_text"]
        assert {6, 7} <= found["in_other"]
        assert {10, 11} <= found["start"]

    def test_without_debug_information(self, tmp_path: Path) -> None:
        source = tmp_path / "none.c"
        source.write_text(SOURCE, encoding="utf-8")
        assert line_table(compile_source(source, flags=["-g0"]).object) == {}

    def test_of_a_stripped_object(self, tmp_path: Path) -> None:
        source = tmp_path / "stripped.c"
        source.write_text(SOURCE, encoding="utf-8")
        assert line_table(strip_object(compile_source(source).object)) == {}
