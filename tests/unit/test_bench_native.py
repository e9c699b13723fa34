"""Native code beside the kernels: it returns what they return, and is what compilers make of the sources."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import native_kernels
from client.bench import kernels, native
from client.bench.kernels import Kernel
from client.bench.native_engine import BenchJit, NativeEngine, TimedMachine, beside
from client.bench.running import WrongResultError, checked
from device.errors import ConfigError
from device.jit.counting import CountingMachine
from device.jit.layout import CODE_BASE
from device.vm.faults import FaultCode

ALL = kernels.load()
BUILDS = [(compiler, level) for compiler in native.COMPILERS for level in native.LEVELS]
KERNEL = next(kernel for kernel in ALL if kernel.name == "fletcher32")


def label(kernel: Kernel) -> str:
    return f"{kernel.name}-{kernel.bytes}"


@pytest.mark.parametrize(("compiler", "level"), BUILDS)
@pytest.mark.parametrize("kernel", ALL, ids=label)
def test_native_code_returns_what_the_kernel_returns(kernel: Kernel, compiler: str, level: str) -> None:
    code = native.load(kernel.name, compiler, level)
    engine = NativeEngine(code)
    checked(engine, replace(kernel, program=beside(kernel.program, code)))
    engine.close()


def test_a_wrong_result_of_native_code_is_found() -> None:
    code = native.load("fletcher32", "gcc", "Os")
    wrong = replace(KERNEL, program=beside(KERNEL.program, code), expected=KERNEL.expected + 1)
    with pytest.raises(WrongResultError, match="native-Os by gcc: returned"):
        checked(NativeEngine(code), wrong)


def test_native_code_reaches_the_regions_alone() -> None:
    """It is not checked byte by byte, but pages end where nothing of ours is."""
    code = native.load("sort", "gcc", "Os")
    engine = NativeEngine(code)
    with pytest.raises(WrongResultError):
        checked(engine, replace(KERNEL, context=b"", program=beside(KERNEL.program, code)))


@pytest.mark.parametrize("name", native_kernels.PROGRAMS)
@pytest.mark.parametrize("compiler", native.COMPILERS)
def test_published_programs_have_native_code(name: str, compiler: str) -> None:
    built = native.program(name, compiler)
    assert built.text
    assert CODE_BASE < built.entry < CODE_BASE + len(built.text)
    assert built.size == len(built.text) + len(built.rodata)


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "native" / "gcc-O2" / "sort.elf"
    place.parent.mkdir(parents=True)
    place.write_bytes((kernels.folder() / "native" / "gcc-O2" / "sort.elf").read_bytes())
    monkeypatch.setattr("client.bench.native.folder", lambda: tmp_path)
    return place


def test_native_code_that_is_missing_or_damaged_is_named(damaged: Path) -> None:
    good = damaged.read_bytes()
    assert native.load("sort", "gcc", "O2").text
    with pytest.raises(ConfigError, match=r"cannot read .*crc32.elf"):
        native.load("crc32", "gcc", "O2")
    for bad in (b"", good[:40], good[:60], b"\x7fELX" + good[4:], good[:18] + b"\x03\x00" + good[20:]):
        damaged.write_bytes(bad)
        with pytest.raises(ConfigError, match=r"sort.elf is "):
            native.load("sort", "gcc", "O2")


@pytest.mark.parametrize(
    "only",
    [
        pytest.param(("fletcher16", "helper_calls", "printf"), id="some"),
        pytest.param((), id="all", marks=pytest.mark.nightly),
    ],
)
@pytest.mark.parametrize("toolchain", native_kernels.toolchains(), ids=lambda toolchain: toolchain.name)
def test_what_is_kept_is_what_the_compiler_makes(
    toolchain: native_kernels.Toolchain, only: tuple[str, ...], tmp_path: Path
) -> None:
    if toolchain.version() != native_kernels.known_versions().get(toolchain.name):
        pytest.skip(f"the kept files are not by {toolchain.version()}")
    assert native_kernels.differences(toolchain, tmp_path, only) == []


def test_every_kept_file_has_its_source() -> None:
    stems = {path.stem for path in native_kernels.KERNELS.glob("*.c")}
    kept = {path.relative_to(native_kernels.HOME) for path in native_kernels.HOME.rglob("*.elf")}
    wanted = {Path(f"{c}-{level}/{stem}.elf") for c, level in BUILDS for stem in stems}
    wanted |= {Path(f"programs/{c}-Os/{p}.elf") for c in native.COMPILERS for p in native_kernels.PROGRAMS}
    assert kept == wanted


def test_compiled_code_is_timed_and_counted_on_the_same_kind_of_machine() -> None:
    timed, counting = BenchJit(), BenchJit(CountingMachine)
    for engine in (timed, counting):
        checked(engine, KERNEL)
    assert isinstance(timed.machine, TimedMachine)
    assert timed.machine.rounds == 1
    assert 0 < timed.machine.seconds < 1
    assert isinstance(counting.machine, CountingMachine)
    first = counting.machine.executed()
    counting.machine.forget()
    checked(counting, KERNEL)
    assert counting.machine.executed() == first
    assert first.cycles > first.instructions > KERNEL.bytes


def test_an_engine_that_forgets_compiles_again() -> None:
    engine = BenchJit()
    checked(engine, KERNEL)
    machine = engine.machine
    engine.forget_all()
    checked(engine, KERNEL)
    assert engine.machine is machine


def test_a_fault_of_a_helper_is_no_result() -> None:
    code = native.load("helper_calls", "gcc", "O2")
    engine = NativeEngine(code)
    kernel = next(kernel for kernel in ALL if kernel.name == "helper_calls")
    bare = replace(kernel, program=replace(kernel.program, rodata=b""))
    with pytest.raises(WrongResultError, match=FaultCode.ILLEGAL_MEM.name):
        checked(engine, bare)
