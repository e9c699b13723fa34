"""Control flow: basic blocks, what is reached from the entry, and which function a block belongs to.

A function begins at the entry, at the target of a local call, or where the image names one. It owns the
blocks that it reaches without a call: first those between its start and the next function's, then what
nobody owns yet. So a text that begins with `ja main` has main's blocks in the entry function wherever they
stand, and a block that two functions reach belongs to the one it stands in. Blocks end at calls as well,
so that a block has at most one, at its end. All of it is linear in the text and without recursion.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from device.vm.verifier.code import Code, Insn
from device.vm.verifier.findings import Findings

NONE: Final = -1


@dataclass(slots=True)
class Block:
    """Instructions [first, last) of the code, in a row.

    `fall`, `jump` and `call` are the blocks where execution goes on, where the jump goes, and where the
    called function begins; NONE when there is no such block. `owner` is an index into `Flow.functions`.
    """

    start: int
    first: int
    last: int
    fall: int = NONE
    jump: int = NONE
    call: int = NONE
    owner: int = NONE
    reached: bool = False

    @property
    def size(self) -> int:
        """Instructions in the block."""
        return self.last - self.first

    def successors(self) -> Iterator[int]:
        """Where execution goes on in the same frame."""
        if self.fall != NONE:
            yield self.fall
        if self.jump != NONE and self.jump != self.fall:
            yield self.jump


@dataclass(slots=True)
class Flow:
    """The blocks in the order of the text, and the functions by the block that each begins with.

    `entry` is the entry's block, or NONE when the entry is no instruction. `crossings` are edges
    (from, to) that lead from one function into another.
    """

    code: Code
    blocks: list[Block]
    entry: int
    functions: list[int]
    called: frozenset[int]
    crossings: list[tuple[int, int]] = field(default_factory=list)

    def insns(self, block: Block) -> list[Insn]:
        """The instructions of a block."""
        return self.code.insns[block.first : block.last]

    def end(self, block: Block) -> Insn:
        """The last instruction of a block."""
        return self.code.insns[block.last - 1]


def analyse(code: Code) -> Flow:
    """Blocks, reachability and functions of the text."""
    entry = code.program.entry
    called = set(code.calls.values()) | ({entry} if code.starts_at(entry) else set())
    named = {function.start for function in code.program.functions if code.starts_at(function.start)}
    blocks = _blocks(code, called | named)
    block_at = {block.start: number for number, block in enumerate(blocks)}
    _connect(code, blocks, block_at)
    flow = Flow(
        code,
        blocks,
        entry=block_at.get(entry, NONE),
        functions=sorted(block_at[start] for start in called | named),
        called=frozenset(block_at[start] for start in called),
    )
    _reach(flow)
    _own(flow)
    return flow


def report(flow: Flow, findings: Findings) -> None:
    """Dead code (once for a row of dead blocks), and flow from one function into another."""
    blocks = flow.blocks
    if flow.entry != NONE:
        for number, block in enumerate(blocks):
            if not block.reached and (number == 0 or blocks[number - 1].reached):
                findings.add("unreachable", block.start, "code never reached")
    for source, target in flow.crossings:
        if not blocks[source].reached:
            continue
        pc = flow.end(blocks[source]).pc
        if target == blocks[source].jump:
            findings.add("cross-function", pc, "jump into another function")
        else:
            findings.add("fall-into", pc, "function runs into the next")


def _blocks(code: Code, starts: Iterable[int]) -> list[Block]:
    leaders = bytearray(code.slots)
    for targets in (starts, code.jumps.values()):
        for slot in targets:
            leaders[slot] = 1
    blocks: list[Block] = []
    first, ended = 0, False
    for number, insn in enumerate(code.insns):
        if number and (ended or leaders[insn.pc]):
            blocks.append(Block(code.insns[first].pc, first, number))
            first = number
        ended = insn.row.ends
    if code.insns:
        blocks.append(Block(code.insns[first].pc, first, len(code.insns)))
    return blocks


def _connect(code: Code, blocks: list[Block], block_at: dict[int, int]) -> None:
    for number, block in enumerate(blocks):
        end = code.insns[block.last - 1]
        if end.row.falls_through and number + 1 < len(blocks):
            block.fall = number + 1
        if end.pc in code.jumps:
            block.jump = block_at[code.jumps[end.pc]]
        if end.pc in code.calls:
            block.call = block_at[code.calls[end.pc]]


def _reach(flow: Flow) -> None:
    """Mark what the entry reaches, called functions included."""
    work = [] if flow.entry == NONE else [flow.entry]
    while work:
        block = flow.blocks[work.pop()]
        if block.reached:
            continue
        block.reached = True
        work.extend(target for target in (block.fall, block.jump, block.call) if target != NONE)


def _own(flow: Flow) -> None:
    """Give the blocks their functions, and note the edges that cross."""
    spans = pairwise([*flow.functions, len(flow.blocks)])
    frontiers = [_claim(flow, owner, [span[0]], range(*span)) for owner, span in enumerate(spans)]
    everywhere = range(len(flow.blocks))
    order = sorted(range(len(flow.functions)), key=lambda owner: flow.functions[owner] != flow.entry)
    for owner in order:
        _claim(flow, owner, frontiers[owner], everywhere)
    for number, block in enumerate(flow.blocks):
        if block.owner != NONE:
            flow.crossings.extend(
                (number, target) for target in block.successors() if flow.blocks[target].owner != block.owner
            )


def _claim(flow: Flow, owner: int, work: list[int], span: range) -> list[int]:
    """Own every block in `span` that is reached from `work` and has no owner; what lies outside of it."""
    outside = []
    while work:
        number = work.pop()
        block = flow.blocks[number]
        if number not in span:
            outside.append(number)
        elif block.owner == NONE:
            block.owner = owner
            work.extend(block.successors())
    return outside
