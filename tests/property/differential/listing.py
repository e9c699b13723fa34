"""A case as text that people read and the assembler takes, and back.

What is not code stands in directives behind `;!`, so that the whole is an assembler source:

    ;! budget 17
    ;! context 0102030405060708 read-only
        ldxdw r0, [r1+0]
        exit
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from device.vm.asm import assemble
from device.vm.disasm import disassemble, to_source
from tests.property.differential.campaign import Difference
from tests.property.differential.case import Case, Setup
from tests.property.differential.execute import Observed

MARK: Final = ";!"
RIGHTS: Final = {"writable": True, "read-only": False}


def write(case: Case) -> str:
    """The case as assembler text with directives."""
    lines = "".join(f"{MARK} {' '.join(words)}\n" for words in _directives(case))
    return lines + to_source(disassemble(case.program()))


def _directives(case: Case) -> Iterator[tuple[str, ...]]:
    setup, plain = case.setup, Setup()
    yield "budget", str(case.budget)
    for name, value, default in (
        ("entry", case.entry, 0),
        ("bss", case.bss_size, 0),
        ("frame", setup.frame_size, plain.frame_size),
        ("r1", setup.r1, None),
        ("r2", setup.r2, None),
    ):
        if value != default:
            yield name, f"{value:#x}" if name in ("r1", "r2") else str(value)
    for name, content in (("rodata", case.rodata), ("data", case.data)):
        if content:
            yield name, content.hex()
    if setup.context or not setup.context_writable:
        yield "context", setup.context.hex() or "-", _right(setup.context_writable)
    for content, writable in setup.extra:
        yield "region", content.hex() or "-", _right(writable)
    if setup.packet is not None:
        yield "packet", *(content.hex() or "-" for content in setup.packet)
    if setup.branch_limit is not None:
        yield "branches", str(setup.branch_limit)
    for name, on in (("zero-divisors-fault", setup.zero_divisors), ("renews", setup.renews)):
        if on:
            yield (name,)
    if setup.allowed is not None:
        yield "allowed", *map(hex, setup.allowed)


def _right(writable: bool) -> str:
    return "writable" if writable else "read-only"


def read(text: str) -> Case:
    """The case that `write` wrote. Raises AssemblyError, and KeyError or ValueError for a wrong directive."""
    case = Case(assemble(text))
    for line in text.splitlines():
        if line.startswith(MARK):
            name, *words = line.removeprefix(MARK).split()
            case = _directed(case, name, words)
    return case


def _directed(case: Case, name: str, words: list[str]) -> Case:
    setup = case.setup
    match name, words:
        case "budget", [number]:
            return replace(case, budget=int(number))
        case "entry", [number]:
            return replace(case, entry=int(number))
        case "bss", [number]:
            return replace(case, bss_size=int(number))
        case "rodata", [content]:
            return replace(case, rodata=bytes.fromhex(content))
        case "data", [content]:
            return replace(case, data=bytes.fromhex(content))
        case "frame", [number]:
            setup = replace(setup, frame_size=int(number))
        case "r1", [number]:
            setup = replace(setup, r1=int(number, 16))
        case "r2", [number]:
            setup = replace(setup, r2=int(number, 16))
        case "context", [content, right]:
            setup = replace(setup, context=bytes.fromhex(content.strip("-")), context_writable=RIGHTS[right])
        case "region", [content, right]:
            region = (bytes.fromhex(content.strip("-")), RIGHTS[right])
            setup = replace(setup, extra=(*setup.extra, region))
        case "packet", [view, buffer]:
            contents = (bytes.fromhex(view.strip("-")), bytes.fromhex(buffer.strip("-")))
            setup = replace(setup, packet=contents)
        case "branches", [number]:
            setup = replace(setup, branch_limit=int(number))
        case "zero-divisors-fault", []:
            setup = replace(setup, zero_divisors=True)
        case "renews", []:
            setup = replace(setup, renews=True)
        case "allowed", numbers:
            setup = replace(setup, allowed=tuple(int(number, 16) for number in numbers))
        case _:
            raise ValueError(f"directive {name!r} with {words}")
    return replace(case, setup=setup)


def report(difference: Difference) -> str:
    """The difference in words, and the case."""
    lines = [f"; {difference.engine} differs from switch in {', '.join(difference.fields)}"]
    for name, observed in (("switch", difference.expected), (difference.engine, difference.found)):
        lines += [f"; {name}:", *(f";   {text}" for text in _told(observed))]
    lines += [f"; memory: {text}" for text in _bytes_that_differ(difference)]
    return "\n".join(lines) + "\n" + write(difference.case)


def _told(observed: Observed) -> Iterator[str]:
    if observed.raised is not None:
        yield f"raised {observed.raised}"
        return
    end = f"r0 {observed.r0:#x}" if observed.r0 is not None else f"fault {observed.fault}"
    yield f"{end}, {observed.instructions} instructions, {len(observed.calls)} helper calls"
    for number, arguments, checksum in observed.calls:
        yield f"  call 0x{number:x} {arguments}, memory {checksum:#010x}"


def _bytes_that_differ(difference: Difference) -> Iterator[str]:
    """The first byte of each region that is not equal; regions in the order of the run's memory."""
    for number, (left, right) in enumerate(
        zip(difference.expected.memory, difference.found.memory, strict=False)
    ):
        at = next((at for at, (one, two) in enumerate(zip(left, right, strict=False)) if one != two), None)
        if at is not None:
            yield f"region {number} byte {at}: {left[at]:#04x} on switch, {right[at]:#04x}"
