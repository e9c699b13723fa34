"""How long translating and compiling take for each eBPF instruction, and which modules that time is spent in.

    .venv/bin/python benchmarks/preparing.py [--rounds 30] [--modules 12] [KERNEL ...]

Processor time of whole programs, each prepared anew as when it is met for the first time, the fastest of some
rounds: what else runs on the machine makes single rounds slower, and the medians of `client bench` with
them. Shares are of the profiler's time, which makes much of small functions.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from cProfile import Profile
from pathlib import Path
from pstats import Stats
from statistics import fmean, median
from time import process_time, process_time_ns
from typing import Final

from client.bench import kernels
from client.bench.kernels import Kernel
from client.bench.running import prepare
from device.jit.engine import JitEngine
from device.vm.interpreter.closures import Closures
from device.vm.interpreter.execution import at_entry
from device.vm.interpreter.translation import Translation
from device.vm.program import Run

HOME: Final = Path(__file__).resolve().parents[1]
Preparing = Callable[[Kernel, Run], object]


def translate(kernel: Kernel, run: Run) -> None:
    """What the interpreter does with a program that is hot."""
    program, stack = kernel.program, run.memory.stack
    closures = Closures(program.text, program.relative_data_base)
    translation = Translation(
        closures.step,
        closures.slots,
        program.entry,
        program.relative_data_base,
        stack.frame_size,
        stack.frames,
    )
    translation.make(translation.entry_at(program.entry, at_entry(run)))


def fastest(work: Preparing, kernel: Kernel, rounds: int) -> float:
    """Microseconds for an instruction of a kernel."""
    run, best = prepare(kernel), float("inf")
    for _ in range(rounds):
        begin = process_time()
        work(kernel, run)
        best = min(best, process_time() - begin)
    return best * 1e6 / kernel.length


def shares(work: Preparing, chosen: Sequence[Kernel]) -> list[tuple[str, float]]:
    """Of all time that preparing the kernels takes, what is spent in each module, most first."""
    profile = Profile(process_time_ns, 1e-9)
    for kernel in chosen:
        run = prepare(kernel)
        profile.enable()
        work(kernel, run)
        profile.disable()
    found: dict[str, float] = {}
    rows: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = vars(Stats(profile))["stats"]
    for (path, _, name), (_, _, seconds, _, _) in rows.items():
        inside = path.startswith(str(HOME))
        module = str(Path(path).relative_to(HOME)) if inside else f"Python: {name}"
        found[module] = found.get(module, 0.0) + seconds
    total = sum(found.values())
    return sorted(((name, seconds / total) for name, seconds in found.items()), key=lambda row: -row[1])


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kernels", nargs="*", metavar="KERNEL")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--modules", type=int, default=12)
    options = parser.parse_args()
    chosen = list({kernel.name: kernel for kernel in kernels.choose(options.kernels)}.values())
    jit = JitEngine()
    works: dict[str, Preparing] = {
        "interpreter": translate,
        "jit": lambda kernel, run: jit.compile(kernel.program, run),
    }
    found = {name: [fastest(work, one, options.rounds) for one in chosen] for name, work in works.items()}
    print("| kernel | instructions |" + "".join(f" {name}, µs/INSN |" for name in works))
    print("|---|" + "---:|" * (1 + len(works)))
    for kernel, *times in zip(chosen, *found.values(), strict=True):
        print(f"| {kernel.name} | {kernel.length} |" + "".join(f" {time:.1f} |" for time in times))
    for words, middle in (("median", median), ("mean", fmean)):
        print(f"| {words} | |" + "".join(f" {middle(times):.1f} |" for times in found.values()))
    for name, work in works.items():
        print(f"\n| {name} | of the time |\n|---|---:|")
        for module, share in shares(work, chosen)[: options.modules]:
            print(f"| `{module}` | {share:.0%} |")
    jit.close()


if __name__ == "__main__":
    main()
