"""What the Unicorn machine costs, against the figures of engines.md: calls, helpers, installs, kills.

    .venv/bin/python benchmarks/jit_machine.py [--json]

Every figure is the median of several rounds, with the best round beside it: the best one is what the machine
can do, the median what it does on this host at the moment. All but first calls and kills are processor time.
Encoder and assembler are measured too, because a program is compiled while somebody waits.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from device.jit.assembler import Assembler
from device.jit.buffers import SharedBuffer
from device.jit.encoder import Access, Alu, Cond, Flags, R, access, alu, alu_imm, bx, load_constant, svc
from device.jit.layout import CODE_BASE, FREE, REQUEST
from device.jit.machine import Machine
from device.jit.watchdog import Watchdog
from device.vm.memory import DATA_BASE

ROUNDS: Final = 15
GOALS: Final = {
    "warm call": "3 µs",
    "batched call": "1 µs",
    "helper": "0.8 µs",
    "kill, from the order to the end": "100 ms",
}
Sample = tuple[str, str, Callable[[], float]]


def timed(work: Callable[[], object], times: int, scale: float) -> float:
    """The processor time of one of `times` calls, in units of 1/`scale` seconds."""
    begin = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - begin) / times * scale


def returning() -> bytes:
    """A program that does nothing."""
    asm = Assembler()
    asm.emit(bx(R.LR))
    return asm.finish().text


def asking(requests: int) -> bytes:
    """A loop of `requests` requests with one operand and one result."""
    asm = Assembler()
    asm.emit(*load_constant(R.R4, requests), *load_constant(R.R5, 1))
    loop = asm.here()
    asm.emit(access(Access.STR, R.R0, R.SP, 4 * FREE), access(Access.STR, R.R5, R.SP, 4 * REQUEST), svc(1))
    asm.emit(access(Access.LDR, R.R0, R.SP, 4 * FREE), alu_imm(Alu.SUB, R.R4, R.R4, 1, Flags.SET))
    asm.jump_if(Cond.NE, loop)
    asm.emit(bx(R.LR))
    return asm.finish().text


def spinning() -> bytes:
    """A program that does nothing for ever."""
    asm = Assembler()
    asm.jump(asm.here())
    return asm.finish().text


def assembled(instructions: int) -> Assembler:
    """What a lowering does for each instruction: a mark and one or two encodings; a branch in every eight."""
    asm = Assembler()
    loop = asm.here()
    for pc in range(instructions):
        asm.mark(pc)
        asm.emit(alu(Alu.ADD, R.R0, R.R0, R.R1, Flags.SET), alu_imm(Alu.ADC, R.R2, R.R2, 0))
        if pc & 7 == 0:
            asm.jump_if(Cond.NE, loop)
    return asm


def machine_samples(machine: Machine, watchdog: Watchdog) -> list[Sample]:
    """(name, unit, one measurement) of everything that needs a machine."""
    call = machine.install(returning(), CODE_BASE)
    ask = machine.install(asking(20_000), CODE_BASE + 0x100)
    spin = machine.install(spinning(), CODE_BASE + 0x200)
    mailbox = machine.mailbox
    page = SharedBuffer(4096)

    def never() -> bool:
        return False

    def batch() -> float:
        left = iter(range(10_000))
        return timed(
            lambda: machine.run(call.entry, again=lambda: next(left, None) is not None), 1, 1e6 / 10_000
        )

    def helper(_: int) -> None:
        mailbox[FREE] = mailbox[FREE] + 1 & 0xFFFFFFFF

    def install() -> None:
        machine.remove(machine.install(bytes(2048), CODE_BASE + 0x1000))

    def remap() -> None:
        machine.map(DATA_BASE, page, writable=True)
        machine.unmap(DATA_BASE)

    def first_run() -> float:
        text = returning()
        begin = time.perf_counter()
        piece = machine.install(text, CODE_BASE + 0x2000)
        machine.run(piece.entry)
        spent = (time.perf_counter() - begin) * 1e6
        machine.remove(piece)
        return spent

    def kill() -> float:
        order = threading.Event()
        given: list[float] = []

        def give() -> None:
            given.append(time.perf_counter())
            order.set()

        threading.Timer(0.05, give).start()
        machine.run(spin.entry, should_stop=order.is_set)
        return (time.perf_counter() - given[0]) * 1e3

    def create() -> None:
        Machine(watchdog).close()

    return [
        (
            "warm call",
            "µs",
            lambda: timed(lambda: machine.run(call.entry, 1, 2, should_stop=never), 5000, 1e6),
        ),
        ("batched call", "µs", batch),
        ("helper", "µs", lambda: timed(lambda: machine.run(ask.entry, service=helper), 1, 1e6 / 20_000)),
        ("install and remove 2 KiB", "µs", lambda: timed(install, 200, 1e6)),
        ("install and first call", "µs", first_run),
        ("map and unmap 4 KiB", "µs", lambda: timed(remap, 100, 1e6)),
        ("machine, made and closed", "ms", lambda: timed(create, 3, 1e3)),
        ("kill, from the order to the end", "ms", kill),
    ]


def encoder_samples() -> list[Sample]:
    """(name, unit, one measurement) of the encoder and the assembler."""
    count = 2000
    return [
        ("encode", "µs per call", lambda: timed(lambda: alu(Alu.ADD, 0, 1, 2), count, 1e6)),
        (
            "assemble, two encodings and a mark",
            "µs per mark",
            lambda: timed(lambda: assembled(count).finish(), 1, 1e6 / count),
        ),
    ]


def memory_of_a_machine(watchdog: Watchdog) -> float:
    """Resident MiB that one more machine takes after a run."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])

    before, made = resident(), []
    for _ in range(10):
        machine = Machine(watchdog)
        machine.run(machine.install(returning(), CODE_BASE).entry)
        made.append(machine)
    grown = resident() - before
    for machine in made:
        machine.close()
    return grown * resource.getpagesize() / (1 << 20) / len(made)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    watchdog = Watchdog()
    grown = memory_of_a_machine(watchdog)
    machine = Machine(watchdog)
    rows = []
    for name, unit, sample in machine_samples(machine, watchdog) + encoder_samples():
        values = [sample() for _ in range(ROUNDS)]
        rows.append({"name": name, "unit": unit, "median": statistics.median(values), "best": min(values)})
    rows.append({"name": "memory of a machine", "unit": "MiB", "median": grown, "best": grown})
    machine.close()
    watchdog.close()
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        goal = GOALS.get(str(row["name"]), "")
        print(f"{row['name']:<36} {row['median']:>9.2f} {row['best']:>9.2f}  {row['unit']:<12} {goal}")


if __name__ == "__main__":
    main()
