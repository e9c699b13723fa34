"""Building objects from sources: which compiler, what it is told, what comes back."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from client import build
from client.build import BuildResult, Compiler, compile_source
from device.errors import BuildError
from device.vm.debuginfo import line_table
from device.vm.loader import load

HELLO = """\
#include <bpf/helpers.h>

int64_t hello(void) {
    bpf_printf("Hello %u\\n", 5u);
    return 7;
}
"""
ELF = b"\x7fELF"
CRASHES = (
    "crashed: built with source lines, without types",
    "crashed: built without debug information: faults will not name source lines",
)

needs_compiler = pytest.mark.skipif(
    not build.compilers(), reason="no clang and no ziglang: NOTHING was compiled by this test"
)

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a source and returns its path."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def fake_clang(folder: Path, said: str, code: int = 1) -> Compiler:
    """A compiler that says something on standard error and ends."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "clang"
    script.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{said}\nEND\nexit {code}\n", encoding="utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return Compiler("path", (str(script),))


def shell_clang(folder: Path, crashes: str, death: str) -> Compiler:
    """A compiler that dies when the last debug level it is given is among `crashes`, else makes an object."""
    folder.mkdir()
    script = folder / "clang"
    script.write_text(
        "for flag; do case $flag in -gdwarf*) ;; -g*) level=$flag;; esac; done\n"
        f'case " {crashes} " in *" $level "*) {death};; esac\n'
        "printf '\\177ELF'\n",
        encoding="utf-8",
    )
    return Compiler("path", ("/bin/sh", str(script)))


@needs_compiler
class TestCompiling:
    def test_c_becomes_an_object(self, write: Write) -> None:
        built = compile_source(write("hello.c", HELLO))
        assert built.object.startswith(ELF)
        assert built.compiler.startswith("clang ")
        assert 0 < built.seconds < 60
        assert built.warnings == ""

    def test_the_object_is_written_whole_and_nothing_else(self, write: Write, tmp_path: Path) -> None:
        source, target = write("hello.c", HELLO), tmp_path / "out" / "hello.o"
        target.parent.mkdir()
        target.write_bytes(b"an older one")
        built = compile_source(source, to=target)
        assert target.read_bytes() == built.object
        assert [path.name for path in target.parent.iterdir()] == ["hello.o"]

    def test_a_refused_source_leaves_the_old_object(self, write: Write, tmp_path: Path) -> None:
        target = tmp_path / "bad.o"
        target.write_bytes(b"an older one")
        with pytest.raises(BuildError):
            compile_source(write("bad.c", "int f(void) { return x; }"), to=target)
        assert target.read_bytes() == b"an older one"

    def test_an_output_that_cannot_be_written(self, write: Write, tmp_path: Path) -> None:
        with pytest.raises(BuildError, match="No such file") as caught:
            compile_source(write("hello.c", HELLO), to=tmp_path / "nowhere" / "hello.o")
        assert caught.value.code == "build-output"

    def test_errors_are_the_compilers_own(self, write: Write) -> None:
        source = write("bad.c", "int f(void) {\n    return missing;\n}\n")
        with pytest.raises(BuildError) as caught:
            compile_source(source)
        assert "use of undeclared identifier 'missing'" in caught.value.detail
        assert "    2 |     return missing;" in caught.value.detail
        assert caught.value.detail.startswith(f"{source}:2:12: error: ")
        assert caught.value.where == f"{source}:2"

    def test_warnings_are_reported(self, write: Write) -> None:
        text = HELLO.replace("5u", '"five"')
        assert "-Wformat" in compile_source(write("hello.c", text)).warnings

    def test_what_the_machine_lacks_is_refused_by_the_compiler(self, write: Write) -> None:
        six = "int g(int a, int b, int c, int d, int e, int f) { return a + f; }"
        with pytest.raises(BuildError, match="stack arguments are not supported"):
            compile_source(write("six.c", six))

    def test_flags_come_last(self, write: Write) -> None:
        source = write("value.c", "long f(void) { return VALUE; }")
        results = {compile_source(source, flags=[f"-DVALUE={value}"]).object for value in (1, 2)}
        assert len(results) == 2

    def test_cpu_levels_differ(self, write: Write) -> None:
        # 32-bit arithmetic came with v3, signed division with v4.
        source = write("level.c", "int f(const volatile int *p) { return p[0] * p[1] > p[2]; }")
        objects = {cpu: compile_source(source, cpu=cpu).object for cpu in build.CPU_LEVELS}
        assert objects["v1"] != objects["v3"]
        division = write("divide.c", "int f(int a, int b) { return a / b; }")
        assert compile_source(division, cpu="v4").object.startswith(ELF)
        with pytest.raises(BuildError, match="signed division"):
            compile_source(division, cpu="v3")

    def test_a_name_like_an_option(self, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        source = write("-O0.c", HELLO)
        monkeypatch.chdir(source.parent)
        assert compile_source(Path("-O0.c")).object.startswith(ELF)

    def test_switches_do_not_become_jumps_by_register(self, write: Write) -> None:
        cases = "".join(f"case {i}: return g({i * 7919 % 1000});" for i in range(30))
        source = write("switch.c", f"long g(long); long f(int *p) {{ switch (*p) {{ {cases} }} return 0; }}")
        assert b".jumptables" not in compile_source(source, cpu="v4").object

    @pytest.mark.parametrize("suffix", [".cpp", ".cc", ".cxx"])
    def test_cpp(self, write: Write, suffix: str) -> None:
        text = HELLO.replace(
            "int64_t hello", 'struct Seven { int64_t value = 7; };\nextern "C" int64_t hello'
        )
        text = text.replace("return 7", "return Seven{}.value")
        built = compile_source(write(f"hello{suffix}", text))
        assert built.object.startswith(ELF)
        assert built.warnings == ""

    def test_cpp_with_a_method(self, write: Write) -> None:
        text = """
            struct Point { int x, y; int sum() const { return x + y; } };
            extern "C" long f(const Point *p) { return p->sum(); }
        """
        source = write("point.cpp", text)
        built = compile_source(source)
        program = load(built.object)
        assert [function.name for function in program.functions] == ["f"]
        lines = set(line_table(built.object).values())
        assert lines <= {"point.cpp:2", "point.cpp:3"}
        assert bool(lines) == ("faults will not name" not in built.warnings)
        assert built.warnings in ("", *(f"{source}: warning: {built.compiler} {what}" for what in CRASHES))

    def test_cpp_has_no_exceptions(self, write: Write) -> None:
        with pytest.raises(BuildError, match="exceptions disabled"):
            compile_source(write("throw.cpp", "int f() { throw 1; }"))

    def test_cpp_has_no_rtti(self, write: Write) -> None:
        text = "struct A { virtual int f(); }; const void *f(A &a) { return &typeid(a); }"
        text = "namespace std { class type_info; }\n" + text
        with pytest.raises(BuildError, match="requires -frtti"):
            compile_source(write("rtti.cpp", text))


@needs_compiler
class TestReproducible:
    def test_the_same_wherever_the_source_is(self, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        one = compile_source(write("one/hello.c", HELLO)).object
        source = write("two/deeper/hello.c", HELLO)
        two = compile_source(source).object
        monkeypatch.chdir(source.parent)
        here = compile_source(Path("hello.c")).object
        monkeypatch.chdir(source.parent.parent)
        below = compile_source(Path("deeper/hello.c")).object
        assert one == two == here == below

    def test_no_path_of_this_machine_is_inside(self, write: Write) -> None:
        source = write("hello.c", HELLO)
        built = compile_source(source).object
        zig = [c for c in build.compilers() if c.resources is not None]
        for path in (source.parent, Path.cwd(), *(c.resources for c in zig if c.resources)):
            assert str(path).encode() not in built

    def test_quoted_headers_beside_the_source(self, write: Write) -> None:
        write("one/value.h", "#define VALUE 5")
        write("two/value.h", "#define VALUE 5")
        text = (
            '#include "value.h"\nstatic inline long g(void) { return VALUE; }\nlong f(void) { return g(); }'
        )
        assert compile_source(write("one/f.c", text)).object == compile_source(write("two/f.c", text)).object


class TestChoosing:
    def test_no_compiler_says_how_to_get_one(self, write: Write) -> None:
        with pytest.raises(BuildError, match="no compiler") as caught:
            compile_source(write("hello.c", HELLO), using=())
        assert caught.value.hint == "pip install 'micro-bpf-fleet[compiler]'"
        assert caught.value.code == "build-compiler"

    INCAPABLE = (
        "error: unable to create target: 'No available targets are compatible with triple \"bpfel\"'",
        "clang: error: unknown target triple 'bpfel'",
        "error: unknown target CPU 'v4'",
    )

    @needs_compiler
    @pytest.mark.parametrize("said", INCAPABLE)
    def test_a_clang_without_the_target_is_passed_over(self, write: Write, tmp_path: Path, said: str) -> None:
        using = (fake_clang(tmp_path / "bin", said), *build.compilers())
        assert compile_source(write("hello.c", HELLO), using=using).object.startswith(ELF)

    @pytest.mark.parametrize("said", INCAPABLE)
    def test_only_a_clang_without_the_target(self, write: Write, tmp_path: Path, said: str) -> None:
        with pytest.raises(BuildError) as caught:
            compile_source(write("hello.c", HELLO), using=[fake_clang(tmp_path / "bin", said)])
        assert caught.value.detail == said
        assert caught.value.hint == build.INSTALL_HINT

    def test_a_source_that_is_wrong_is_not_tried_twice(self, write: Write, tmp_path: Path) -> None:
        first = fake_clang(tmp_path / "one", "hello.c:4:5: error: the first one's words")
        second = fake_clang(tmp_path / "two", "never asked")
        with pytest.raises(BuildError, match="the first one's words") as caught:
            compile_source(write("hello.c", HELLO), using=[first, second])
        assert caught.value.where == "hello.c:4"

    def test_a_compiler_that_ends_without_a_word(self, write: Write, tmp_path: Path) -> None:
        with pytest.raises(BuildError, match="ended with code 3"):
            compile_source(write("hello.c", HELLO), using=[fake_clang(tmp_path / "bin", "", 3)])

    def test_the_path_comes_before_the_wheel(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fake = fake_clang(tmp_path / "bin", "")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        assert build.compilers()[0] == fake
        monkeypatch.setenv("PATH", str(tmp_path))
        assert fake not in build.compilers()

    def test_a_compiler_that_is_gone(self, write: Write, tmp_path: Path) -> None:
        with pytest.raises(BuildError) as caught:
            compile_source(write("hello.c", HELLO), using=[Compiler("path", (str(tmp_path / "gone"),))])
        assert caught.value.code == "build-compiler"


class TestCrash:
    """A compiler that crashes over debug information gets another try with less of it."""

    @pytest.mark.parametrize(
        ("crashes", "warning"),
        [
            pytest.param("-g", CRASHES[0], id="full"),
            pytest.param("-g -gline-tables-only", CRASHES[1], id="full and lines"),
        ],
    )
    @pytest.mark.parametrize("death", ["exit 139", "kill -SEGV $$"])
    def test_less_debug_information(
        self, write: Write, tmp_path: Path, crashes: str, warning: str, death: str
    ) -> None:
        clang = shell_clang(tmp_path / "bin", crashes, death)
        source = write("hello.c", HELLO)
        built = compile_source(source, using=[clang])
        assert built.object == ELF
        assert built.warnings == f"{source}: warning: clang {warning}"

    def test_a_level_of_the_caller_does_not_end_the_tries(self, write: Write, tmp_path: Path) -> None:
        clang = shell_clang(tmp_path / "bin", "-g", "exit 139")
        assert compile_source(write("hello.c", HELLO), using=[clang], flags=["-gdwarf-4"]).object == ELF

    def test_a_crash_over_something_else(self, write: Write, tmp_path: Path) -> None:
        clang = shell_clang(tmp_path / "bin", "-g -gline-tables-only -g0", "exit 139")
        with pytest.raises(BuildError, match="ended with code 139"):
            compile_source(write("hello.c", HELLO), using=[clang])

    def test_an_ordinary_error_is_not_tried_again(self, write: Write, tmp_path: Path) -> None:
        clang = shell_clang(tmp_path / "bin", "-g", "exit 1")
        with pytest.raises(BuildError, match="ended with code 1"):
            compile_source(write("hello.c", HELLO), using=[clang])


class TestRefused:
    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(BuildError, match="no such source file") as caught:
            compile_source(tmp_path / "gone.c")
        assert caught.value.where == str(tmp_path / "gone.c")

    def test_not_a_source(self, write: Write) -> None:
        with pytest.raises(BuildError, match="no source") as caught:
            compile_source(write("hello.py", "print(1)"))
        assert ".cpp" in caught.value.hint

    @pytest.mark.parametrize("cpu", ["v0", "v5", "probe", "generic", "", "v3 -o /tmp/x"])
    def test_unknown_cpu(self, write: Write, cpu: str) -> None:
        with pytest.raises(BuildError, match="unknown CPU level") as caught:
            compile_source(write("hello.c", HELLO), cpu=cpu)
        assert caught.value.code == "build-cpu"


class TestAssembler:
    def test_text_becomes_an_object(self, write: Write, tmp_path: Path) -> None:
        built = compile_source(write("seven.s", "mov r0, 7\nexit\n"), to=tmp_path / "seven.o")
        assert isinstance(built, BuildResult)
        assert built.compiler == "assembler"
        assert (tmp_path / "seven.o").read_bytes() == built.object
        assert bytes.fromhex("b700000007000000 9500000000000000") in built.object
        assert b"seven\x00" in built.object

    def test_helpers_are_known_by_name(self, write: Write) -> None:
        built = compile_source(write("now.s", "call bpf_now_ms\nexit\n"))
        assert bytes.fromhex("8500000020000000 9500000000000000") in built.object

    def test_errors_name_the_line(self, write: Write) -> None:
        source = write("bad.s", "mov r0, 7\nmove r1, 5\nexit\n")
        with pytest.raises(BuildError) as caught:
            compile_source(source)
        assert caught.value.where == f"{source}:2"

    def test_not_text(self, tmp_path: Path) -> None:
        source = tmp_path / "bad.s"
        source.write_bytes(b"\xff\xfe")
        with pytest.raises(BuildError, match="UTF-8"):
            compile_source(source)


def test_starting_a_compiler_does_not_wait_for_libraries() -> None:
    """`client deploy` starts the compiler first, so that it runs while everything else is imported."""
    code = "import sys, client.build; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    heavy = {"aiocoap", "asyncio", "cbor2", "cryptography", "elftools", "rich"}
    assert heavy.isdisjoint(loaded)
    assert [name for name in loaded if name.startswith("device.vm")] == []
