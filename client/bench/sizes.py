"""Section `sizes`: the published programs in every layout, compiled, and as native C."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from client import examples
from client.bench import native
from client.bench.kernels import Kernel
from client.bench.native import COMPILERS
from client.bench.native_engine import BenchJit
from client.bench.running import prepare
from client.bench.settings import Row, Settings
from client.examples import Example
from device.errors import LoadError
from device.jit.compile import Compiled
from device.vm import loader
from device.vm.interpreter.closures import Closures
from device.vm.interpreter.discarded import exact_size
from device.vm.layouts.convert import Wish, convert
from device.vm.program import Layout, Program


@dataclass(frozen=True, slots=True)
class Published:
    """A program of the paper: its name there and among the examples, and the bytes of its compiled code."""

    name: str
    example: str
    jit: int


PROGRAMS: Final = (
    Published("bpf_fetch", "bpf_fetch", 102),
    Published("bpf_store", "bpf_store", 202),
    Published("bpf_strlen", "bpf_strlen", 144),
    Published("bpf_fmt_s16_dfp", "bpf_fmt_s16_dfp", 124),
    Published("bpf_fmt_u32_dec", "bpf_fmt_u32_dec", 120),
    Published("printf", "printf", 220),
    Published("inlined_calls", "inlined_calls", 180),
    Published("fletcher16, 320 B", "fletcher16_320", 472),
    Published("sensor-processing", "sensor_processing", 442),
    Published("sensor-processing-from-storage", "sensor_processing_from_storage", 456),
)


def measure(settings: Settings) -> list[Row]:
    """A row for each program. Raises ConfigError, LoadError when programs are missing or damaged."""
    known = examples.load()
    settings.progress.start(len(PROGRAMS))
    rows = []
    for published in PROGRAMS:
        rows.append(_row(published, known[published.example]))
        settings.progress.advance()
    return rows


def _row(published: Published, example: Example) -> Row:
    built = example.object.read_bytes()
    program = loader.load(built)
    code = sum(len(one.code.text) for one in compiled(program, example))
    return {
        "program": published.name,
        "text": _size(built, Layout.TEXT),
        "femto": _size(built, Layout.FEMTO),
        "extended": _size(built, Layout.EXTENDED),
        "elf": len(built),
        "elf_stripped": _size(built, Layout.ELF),
        "jit": code + len(program.rodata) + len(program.data),
        "exact_code": exact_size(Closures(program.text, program.relative_data_base).whole()),
        "jit_ebpf_ratio": code / len(program.text),
        "published_jit": published.jit,
        "code": code,
        "ebpf_bytes": len(program.text),
        "constants": len(program.rodata) + len(program.data),
        "native_os": min(native.program(published.example, compiler).size for compiler in COMPILERS),
    }


def compiled(program: Program, example: Example) -> list[Compiled]:
    """The code of an example in the first run that is expected of it."""
    run = prepare(Kernel(example.name, "", program, example.cases[0].runs[0].context or b"", 0))
    return list(BenchJit().compile(program, run))


def _size(built: bytes, layout: Layout) -> int | None:
    """Bytes in a layout; None where it cannot carry the program."""
    try:
        return len(convert(built, Wish(layout)).image)
    except LoadError:
        return None
