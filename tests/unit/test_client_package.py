"""`package` and `dump` on any layout: what is written, what is shown, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

from client.addressing import Addresses
from client.cli import cli
from client.debuginfo import gives
from client.dump import Dump
from client.image import examine, package, with_lines
from client.settings import LAYOUTS, PROFILES
from device.vm import loader, profiles
from device.vm.debuginfo import line_table
from device.vm.layouts.style import STYLES
from device.vm.program import Layout
from tests.elf_objects import EXIT, OBJECT, Obj, mov, slot
from tests.headers import UBPF, Header

OBJECTS: Final = Path(__file__).parents[2] / "examples" / "objects"
SOURCE: Final = "start: mov r0, 5\ncall local more\nexit\nmore: add r0, 1\nexit\n"


def client(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def result(*arguments: str | Path) -> dict[str, Any]:
    done = client(*arguments, "-o", "json")
    assert done.exit_code == 0, done.output
    (entry,) = json.loads(done.stdout)["results"]
    return dict(entry["result"])


def error(*arguments: str | Path) -> dict[str, Any]:
    done = client(*arguments, "-o", "json")
    assert done.exit_code != 0
    return dict(json.loads(done.stdout)["results"][0]["error"])


def test_the_options_are_what_there_is() -> None:
    assert set(LAYOUTS) == {layout.value for layout in Layout}
    assert set(PROFILES) == set(STYLES) == set(profiles.PROFILES)


@pytest.mark.parametrize("name", PROFILES)
def test_what_is_written_for_a_profile_is_read_under_it(name: str) -> None:
    assert STYLES[name].layouts <= profiles.PROFILES[name].layouts


class TestPackage:
    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize("kind", ["object", "assembler text"])
    def test_writes_every_layout(self, kind: str, layout: str, tmp_path: Path) -> None:
        source = OBJECTS / "add.o"
        if kind != "object":
            source = tmp_path / "prog.s"
            source.write_text(SOURCE, encoding="utf-8")
        to = tmp_path / "image"
        written = result("package", source, "--layout", layout, "--to", to)
        program = loader.load(to.read_bytes())
        assert (program.layout, program.tag) == (Layout(layout), written["tag"])
        assert written["size"] == to.stat().st_size
        assert result("run", to)["r0_signed"] == (123 if kind == "object" else 6)

    def test_lies_beside_the_file(self, tmp_path: Path) -> None:
        source = tmp_path / "prog.o"
        source.write_bytes((OBJECTS / "hello.o").read_bytes())
        assert result("package", source, "--layout", "femto")["image"] == str(tmp_path / "prog.femto")
        assert result("package", source)["layout"] == "elf"

    def test_never_over_the_file_itself(self, tmp_path: Path) -> None:
        source = tmp_path / "prog.o"
        source.write_bytes((OBJECTS / "hello.o").read_bytes())
        assert error("package", source, "--to", source)["code"] == "file"

    def test_there_and_back(self, tmp_path: Path) -> None:
        files = [tmp_path / layout for layout in ("femto", "sming", "extended", "elf")]
        source = OBJECTS / "global_calls.o"
        for file in files:
            result("package", source, "--layout", file.name, "--to", file)
            assert result("run", file)["r0_signed"] == 12345
            source = file

    def test_helpers_and_entry(self, tmp_path: Path) -> None:
        obj = Obj()
        text = obj.text(mov(0, 1) + EXIT + mov(0, 2) + EXIT)
        obj.symbol("one", text)
        obj.symbol("two", text, 16)
        source = tmp_path / "prog.o"
        source.write_bytes(obj.build())
        to = tmp_path / "image"
        options = ("--layout", "extended", "--entry", "two", "--helpers", "0x13,0x01", "--to", to)
        assert result("package", source, *options)["metadata_helpers"] == [0x01, 0x13]
        assert to.read_bytes().endswith(b"\x13\x01")
        assert result("run", to)["r0_signed"] == 2

    @pytest.mark.parametrize(
        ("name", "options", "code", "message"),
        [
            pytest.param("hello", ("text",), "load-reloc", "needs .rodata.str1.1", id="literal in text"),
            pytest.param("looping", ("sming",), "load-reloc", ".data holds the address", id="pointer"),
            pytest.param(
                "hello", ("femto", "--helpers", "1"), "load-layout", "no list of helpers", id="list"
            ),
            pytest.param("hello", ("extended", "--helpers", "256"), "load-layout", "0x100", id="large id"),
            pytest.param("hello", ("elf", "--entry", "nope"), "load-entry", "nope", id="no such function"),
            pytest.param(
                "hello", ("text", "--profile", "femto"), "load-layout", "does not read", id="profile"
            ),
        ],
    )
    def test_says_what_cannot_be_carried(
        self, name: str, options: tuple[str, ...], code: str, message: str, tmp_path: Path
    ) -> None:
        to = tmp_path / "image"
        refused = error("package", OBJECTS / f"{name}.o", "--to", to, "--layout", *options)
        assert (refused["code"], to.exists()) == (code, False)
        assert message in refused["detail"]

    def test_notes(self, tmp_path: Path) -> None:
        """What is only right here, and what is left behind."""
        to = tmp_path / "image"
        written = result("package", OBJECTS / "looping.o", "--layout", "femto", "--to", to)
        assert "this fleet" in written["notes"][0]
        image = tmp_path / "image.extended"
        image.write_bytes(Header("extended", helpers=b"\x01\x02").build())
        written = result("package", image, "--layout", "text", "--to", to)
        assert written["notes"] == ["the list of helpers is left behind: 01 02"]

    @pytest.mark.parametrize("layout", ["femto", "sming", "extended"])
    def test_an_image_in_the_layout_stays_as_it_is(self, layout: str) -> None:
        image = Header(layout, magic=UBPF, rodata=b"a\0", functions=((0, 0, 0),)).build()
        assert package(image, layout) == image
        assert package(image) == image


class TestDebugInformation:
    """The object behind an image is found in every layout, and knows its lines there."""

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_the_object_gives_the_image(self, layout: str) -> None:
        content = (OBJECTS / "add.o").read_bytes()
        digest = sha256(package(content, layout)).digest()
        assert gives(content, digest, layout)
        assert not gives((OBJECTS / "and.o").read_bytes(), digest, layout)

    @pytest.mark.parametrize("layout", ["elf", "femto", "sming", "extended"])
    def test_a_fault_has_its_line(self, layout: str) -> None:
        fault = error("run", OBJECTS / "wild_pointer.o", "--layout", layout)["fault"]
        assert (fault["function"], fault["source"]) == ("wild_pointer", "wild_pointer.c:16")


class TestDump:
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_shows_every_layout(self, layout: str, tmp_path: Path) -> None:
        name = "pc_relative_calls" if layout == "text" else "global_calls"
        to = tmp_path / "image"
        result("package", OBJECTS / f"{name}.o", "--layout", layout, "--to", to)
        dump = result("dump", to)
        assert dump["layout"] == layout
        assert dump["instructions"]
        assert bool(dump["header"]) is (layout != "text")
        if layout != "text":
            assert [function["name"] for function in dump["functions"]] == [
                "global_calls",
                "append",
                "append_two",
            ]
        assert client("dump", to).exit_code == 0

    def test_header(self, tmp_path: Path) -> None:
        to = tmp_path / "image"
        result("package", OBJECTS / "global_calls.o", "--layout", "extended", "--to", to)
        header = result("dump", to)["header"]
        assert (header["magic"], header["functions"], header["relocated_calls"]) == ("0x0000007b", 3, 5)
        assert header["function_records"][1]["name"] == "append"
        assert header["call_records"][0] == {"instruction_offset": 48, "function_text_offset": 160}
        assert header["metadata_helpers"] == [1]
        shown = client("dump", to).stdout
        assert "magic 0x0000007b, version 0, flags 0, data_len 0" in shown
        assert "0x30 to 0xa0" in shown

    def test_functions_of_assembler_text_have_names(self, tmp_path: Path) -> None:
        source = tmp_path / "prog.s"
        source.write_text(SOURCE, encoding="utf-8")
        dump = result("dump", source)
        assert [function["name"] for function in dump["functions"]] == ["prog", "more"]
        assert dump["instructions"][1]["text"] == "call local more"

    def test_names_cannot_reach_the_terminal(self, tmp_path: Path) -> None:
        image = tmp_path / "image"
        image.write_bytes(Header("femto", rodata=b"\x1b[31mred\0", functions=((0, 0, 0),)).build())
        for verb in ("dump", "verify"):
            shown = client(verb, image).stdout
            assert "\x1b" not in shown
            assert "\\x1b[31mred" in shown

    def test_addresses_have_names(self) -> None:
        notes = [i.get("note") for i in result("dump", OBJECTS / "data_relocations.o")["instructions"]]
        assert ".data+0x0 pointer" in notes
        assert ".rodata+0x0 constant" in notes
        assert '.rodata+0x4 "the pointer leads to %p\\n"' in notes

    @pytest.mark.parametrize("layout", ["femto", "sming", "extended"])
    def test_offsets_have_texts(self, layout: str) -> None:
        notes = [line.note for line in Dump.of(examine(OBJECTS / "jit_rodata.o", layout)).lines()]
        assert '.data+0x0 "hello"' in notes
        assert any(note and note.startswith(".rodata+") and note.endswith('"%s\\n"') for note in notes)

    def test_an_address_of_nothing_has_no_note(self) -> None:
        program = loader.load(Header("femto", text=slot(0x18, 1, imm=64) + bytes(8) + EXIT).build())
        line = Dump.of(replace(examine(OBJECTS / "add.o"), program=program)).lines()[0]
        assert Addresses.of(program, b"").annotate(line).note is None

    def test_source_lines_follow_the_jump_in_front(self) -> None:
        """An entry that is not first gets a jump: all slots are one further."""
        content = (OBJECTS / "global_calls.o").read_bytes()
        image = package(content, "femto")
        plain = with_lines(loader.load(image), content)
        assert plain.lines == line_table(content)
        shifted = replace(plain, text=slot(0x05) + plain.text)
        assert with_lines(shifted, content).lines == {at + 1: line for at, line in plain.lines.items()}

    def test_common_symbols_have_names(self, tmp_path: Path) -> None:
        obj = Obj()
        text = obj.text(slot(0x18, 1) + bytes(8) + EXIT)
        obj.symbol("main", text)
        obj.rel(text, (0, 1, obj.symbol("shared", 0xFFF2, 8, type=OBJECT, size=8)))
        source = tmp_path / "prog.o"
        source.write_bytes(obj.build())
        assert result("dump", source)["instructions"][0]["note"] == ".bss+0x0 shared"
