"""`build`, `dump`, `run`: what needs no network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from client.commands import loop
from client.commands.options import framed, layout_option, output_options
from client.commands.requests import exec_options, request_of
from client.escape import escape
from client.results import Outcome
from client.text import block, hexdump, size, table
from client.ui import Ui
from device.vm.memory import MAX_REGION_BYTES

if TYPE_CHECKING:
    from client.dump import Dump
    from client.steps import OnStep

SOURCE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.command("build", epilog="Example: client build prog.c --to prog.o")
@click.argument("source", type=SOURCE)
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the object.")
@click.option(
    "--cpu",
    type=click.Choice(["v1", "v2", "v3", "v4"]),
    default="v3",
    show_default=True,
    help="Instructions.",
)
@output_options
@framed
def build_command(ui: Ui, source: Path, to: Path | None, cpu: str) -> int:
    """Compile C, C++ or assembler text into an eBPF object.

    Uses clang from the path, else the ziglang package; with debug information.
    """
    from client.source import build_file

    target = to or source.with_suffix(".o")
    length = build_file(source, target, cpu=cpu, on_step=ui.step, on_note=ui.note)
    result = {"object": str(target), "size": length}
    return ui.finish([Outcome(None, result)], lambda _: [f"{escape(target)}  {size(length)}"])


def builds(ui: Ui) -> OnStep:
    """Tells of building alone: the other steps are what the command is for."""
    return lambda step: ui.step(step) if step.name == "build" else None


@click.command("dump", epilog="Example: client dump prog.o --jit")
@click.argument("file", type=SOURCE)
@layout_option
@click.option("--jit", is_flag=True, help="Show the native code beside it.")
@click.option(
    "--context-length",
    type=click.IntRange(0, MAX_REGION_BYTES),
    default=64,
    show_default=True,
    metavar="BYTES",
    help="With --jit: the context that runs are compiled for.",
)
@output_options
@framed
def dump_command(ui: Ui, file: Path, layout: str | None, jit: bool, context_length: int) -> int:
    """Take a program apart: sections, functions, disassembly with symbols and source lines."""
    from client.dump import Dump
    from client.image import examine

    packaged = examine(file, layout, on_step=builds(ui))
    dump = Dump.of(packaged, jit_context=context_length if jit else None)
    if jit:
        from client import listing

        if not listing.available():
            ui.note(f"native code is shown as bytes: for instructions {listing.HINT}")
    return ui.finish([Outcome(None, dump)], _dump_lines)


def _dump_lines(dump: Dump) -> Iterator[str]:
    from client.anatomy import header_lines

    facts = dump.to_map()
    shown = {key: facts[key] for key in ("name", "layout", "size", "digest")}
    yield from block({**shown, **header_lines(facts["header"])})
    yield ""
    sections = [
        (item["name"], None if item["address"] is None else f"0x{item['address']:08x}", item["size"])
        for item in facts["sections"]
    ]
    yield from table(("SECTION", "ADDRESS", "SIZE"), sections)
    for section in facts["sections"]:
        content = {".rodata": dump.program.rodata, ".data": dump.program.data}.get(section["name"])
        if content:
            yield ""
            yield f"{section['name']}:"
            yield from hexdump(content, section["address"])
    if dump.listing is not None:
        from client import listing

        yield ""
        yield from listing.lines(dump.lines(), dump.listing)
        return
    last = None
    for line in dump.lines():
        if line.label is not None:
            entry = "  ; a run begins here" if line.slot == dump.program.entry else ""
            yield from ("", f"{escape(line.label)}:{entry}")
        if line.source not in (None, last):
            yield f"  ; {escape(line.source)}"
            last = line.source
        note = f"  ; {escape(line.note)}" if line.note else ""
        yield f"{line.slot:>5}  {line.hex:<33}  {escape(line.text)}{note}"


@click.command(
    "run",
    epilog="Example: client run prog.o --context 0800000000000000\n\nclient run --batch requests.jsonl",
)
@click.argument("file", type=SOURCE, required=False)
@click.option("--batch", metavar="FILE", help="One JSON request a line, `-` for stdin; one answer line each.")
@layout_option
@click.option("--profile", metavar="NAME", default="ubpf", help="Whose rules it runs under.  [default: ubpf]")
@click.option(
    "--signal",
    "signals",
    metavar="INPUT=SIGNAL",
    multiple=True,
    help="What the board senses, such as saul:1=250; as for `device`.",
)
@exec_options
@output_options
@framed
def run_command(
    ui: Ui,
    file: Path | None,
    batch: str | None,
    layout: str | None,
    profile: str,
    signals: tuple[str, ...],
    **run: Any,
) -> int:
    """Run a program on this machine, without a device: same engines, same faults."""
    if (file is None) == (batch is None):
        raise click.UsageError("give a FILE or --batch, one of them")
    if batch is not None:
        return _batch(batch)
    from client.execution import answer_lines, fault_answer
    from client.image import prepare
    from client.judge import profile_named
    from client.local import Bench
    from device.peripherals import signals_of

    assert file is not None  # noqa: S101  # checked above
    request, rules = request_of(**run), profile_named(profile)
    packaged = prepare(file, layout, profile=rules, on_step=builds(ui))
    bench = Bench.of(packaged, profile=rules, signals=signals_of(signals), warn=ui.note)
    outcome = loop.run(ui, bench.outcome(request))
    return ui.finish([outcome], answer_lines, fault_answer)


def _batch(name: str) -> int:
    path = Path(name)
    from client.batch import run_batch

    if name == "-":
        run_batch(sys.stdin.buffer, sys.stdout)
        return 0
    try:
        lines = path.open("rb")
    except OSError as error:
        raise click.UsageError(f"cannot read {name}: {error.strerror}") from error
    with lines:
        run_batch(lines, sys.stdout)
    return 0


def write(path: Path, content: bytes) -> None:
    """Write a file. Raises ConfigError when that cannot be."""
    from device.errors import ConfigError

    try:
        path.write_bytes(content)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror or error}", code="file", where=str(path)
        ) from error
