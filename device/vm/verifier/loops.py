"""Loops: whether there are any, the longest path when there are none, and `loop-budget`.

`loop-budget` is found where the instruction budget certainly runs out once the loop is entered:

- a loop without a way out: code from which no exit is reached. The budget starts anew after each return
  from `bpf_ztimer_periodic_wakeup`, so its calls count as a way out, and local calls do when the program
  has such a call anywhere;
- a counted loop (`counting.py`) with more rounds than the budget allows.

Everything else is left to the budget at run time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from device.vm.verifier.counting import counted_loops, renews_budget
from device.vm.verifier.findings import Findings
from device.vm.verifier.flow import NONE, Flow
from device.vm.verifier.graph import components, is_cyclic
from device.vm.verifier.report import LoopFacts

BOUND_MAX: Final = 2**64 - 1
"""Longest paths are cut off here: nested calls make them grow exponentially."""


def longest_path(flow: Flow) -> int | None:
    """Instructions on the longest path from the entry, callees included; None with loops or recursion."""
    if flow.entry == NONE:
        return None
    successors = [
        [*block.successors(), *([block.call] if block.call != NONE else [])] if block.reached else []
        for block in flow.blocks
    ]
    longest = [0] * len(flow.blocks)
    for members in components(successors):
        if is_cyclic(members, successors):
            return None
        block = flow.blocks[members[0]]
        rest = max((longest[target] for target in block.successors()), default=0)
        called = longest[block.call] if block.call != NONE else 0
        longest[members[0]] = min(block.size + rest + called, BOUND_MAX)
    return longest[flow.entry]


def facts(flow: Flow) -> tuple[LoopFacts, ...]:
    """The jumps back in code that is reached, in the order of the text."""
    rounds = {loop.pc: loop.rounds() for loop in counted_loops(flow)}
    ends = sorted(flow.end(block).pc for block in flow.blocks if block.reached)
    jumps = ((pc, flow.code.jumps[pc]) for pc in ends if pc in flow.code.jumps)
    return tuple(LoopFacts(target, pc, rounds.get(pc)) for pc, target in jumps if target <= pc)


def report(flow: Flow, budget: int, findings: Findings) -> None:
    """Find `loop-budget`."""
    for pc in _endless(flow):
        findings.add("loop-budget", pc, f"loop without an exit, budget {budget}")
    for loop in counted_loops(flow):
        rounds = budget // loop.size + 1
        if not loop.renews_budget and loop.continues(rounds - 1):
            what = f"loop of at least {rounds * loop.size} instructions, budget {budget}"
            findings.add("loop-budget", loop.pc, what)


def _endless(flow: Flow) -> Iterator[int]:
    """The last jump back of every loop that no path leaves; jumps to themselves are errors already."""
    blocks = flow.blocks
    leaves = _leaving(flow)
    successors = [
        [] if leaves[number] or not block.reached else list(block.successors())
        for number, block in enumerate(blocks)
    ]
    for members in components(successors):
        if is_cyclic(members, successors):
            inside = set(members)
            last = max(number for number in members if number >= blocks[number].jump in inside)
            end = flow.end(blocks[last])
            if flow.code.jumps[end.pc] != end.pc:
                yield end.pc


def _leaving(flow: Flow) -> bytearray:
    """1 for the blocks from which an exit, the end of the text or a new budget is reached."""
    before: list[list[int]] = [[] for _ in flow.blocks]
    leaves = bytearray(len(flow.blocks))
    for number, block in enumerate(flow.blocks):
        targets = list(block.successors())
        for target in targets:
            before[target].append(number)
        leaves[number] = not targets or renews_budget(flow.code, flow.end(block))
    work = [number for number, out in enumerate(leaves) if out]
    while work:
        for number in before[work.pop()]:
            if not leaves[number]:
                leaves[number] = 1
                work.append(number)
    return leaves
