"""Where a kernel spends its instructions: compiled and native code with how often each was executed.

    .venv/bin/python benchmarks/hot_code.py fletcher16 [--bytes 640] [--unchecked] [--native gcc] [--all]

Shows what is executed at least once for every hundredth of the hottest instruction, or with `--all`
everything. Needs capstone (`pip install 'micro-bpf-fleet[listing]'`).
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from capstone import CS_ARCH_ARM, CS_MODE_MCLASS, CS_MODE_THUMB, Cs

from client import listing
from client.bench import kernels, native
from client.bench.kernels import Kernel
from client.bench.native_engine import BenchJit, NativeEngine, beside
from client.bench.running import checked
from device.jit.counting import CountingMachine, Executed
from device.jit.layout import CODE_BASE
from device.vm import disasm

_SHARE: Final = 100


def by_offset(executed: Executed, sizes: Mapping[int, int]) -> Counter[int]:
    """How often the instruction at each offset was executed; `sizes` are the bytes of each."""
    found: Counter[int] = Counter()
    for (address, size), times in executed.blocks.items():
        offset = address - CODE_BASE
        end = offset + size
        while offset < end:
            found[offset] += times
            offset += sizes.get(offset, 2)
    return found


def counted(engine: BenchJit | NativeEngine, kernel: Kernel) -> Executed:
    """One call of warm code."""
    checked(engine, kernel)
    machine = engine.machine
    if not isinstance(machine, CountingMachine):
        raise TypeError("it does not count")
    machine.forget()
    checked(engine, kernel)
    return machine.executed()


def compiled(kernel: Kernel, *, checks: bool) -> Iterator[tuple[int, str]]:
    """Lines of compiled code, eBPF on the left, with their counts."""
    shown = listing.native(kernel.program, kernel.bytes, BenchJit(checked=checks))
    executed = counted(BenchJit(CountingMachine, checked=checks), kernel)
    counts = by_offset(executed, {line.offset: len(line.raw) for line in shown.lines})
    print(f"{kernel.name} {kernel.bytes}: {executed.instructions} instructions, {executed.cycles} cycles")
    for row in listing.side_by_side(disasm.disassemble(kernel.program), shown):
        left = f"{row.bytecode.slot:>4} {row.bytecode.text}" if row.bytecode else ""
        if row.native is None:
            yield -1, f"{left:<40}"
        else:
            line = row.native
            yield counts[line.offset], f"{left:<40} {line.offset:>5x}  {line.hex:<9}  {line.text}"


def native_code(kernel: Kernel, compiler: str, level: str) -> Iterator[tuple[int, str]]:
    """Lines of native code with their counts."""
    code = native.load(kernel.name, compiler, level)
    executed = counted(
        NativeEngine(code, CountingMachine), replace(kernel, program=beside(kernel.program, code))
    )
    disassembler = Cs(CS_ARCH_ARM, CS_MODE_THUMB | CS_MODE_MCLASS)
    disassembler.skipdata = True
    lines = list(disassembler.disasm_lite(code.text, 0))
    counts = by_offset(executed, {address: size for address, size, _, _ in lines})
    print(f"{compiler} -{level}: {executed.instructions} instructions, {executed.cycles} cycles")
    for address, _, name, operands in lines:
        yield counts[address], f"{address:>5x}  {name} {operands}"


def show(lines: Iterator[tuple[int, str]], *, everything: bool) -> None:
    """Print what counts."""
    known = list(lines)
    least = max((count for count, _ in known), default=0) // _SHARE
    waiting: list[str] = []
    for count, text in known:
        if count < 0:
            waiting.append(text)
        elif everything or count > least:
            for earlier in waiting:
                print(f"{'':>9}  {earlier}")
            print(f"{count:>9}  {text}")
            waiting.clear()
        else:
            waiting.clear()


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kernel", choices=[*dict.fromkeys(kernel.name for kernel in kernels.load())])
    parser.add_argument("--bytes", type=int, help="which of its inputs; the longest by default")
    parser.add_argument("--unchecked", action="store_true", help="without tests")
    parser.add_argument("--native", choices=native.COMPILERS, help="the native code instead")
    parser.add_argument("--level", choices=native.LEVELS, default="O2")
    parser.add_argument("--all", action="store_true", help="also what is hardly executed")
    given = parser.parse_args()
    found = [one for one in kernels.choose([given.kernel]) if given.bytes in (None, one.bytes)]
    if not found:
        parser.error(f"{given.kernel} has no input of {given.bytes} bytes")
    kernel = max(found, key=lambda one: one.bytes)
    lines = (
        native_code(kernel, given.native, given.level)
        if given.native
        else compiled(kernel, checks=not given.unchecked)
    )
    show(lines, everything=given.all)


if __name__ == "__main__":
    main()
