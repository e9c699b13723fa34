"""Which registers may hold nothing yet, or what other virtual machines lose: `uninit` and `clobbered`.

A forward analysis over the blocks reached from the entry. Its value is a mask: bit n says that rn may not
have been written on some path to here, bit n + 16 that it may still hold what it held before a call. At
joins masks are united, so each block is visited at most once for each bit that its mask gains: linear. A
called function sees its caller's registers. A read settles a register, so that what follows from it is not
reported again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from device.vm.isa import FRAME_POINTER, Form
from device.vm.verifier.code import Insn
from device.vm.verifier.findings import Findings
from device.vm.verifier.flow import NONE, Block, Flow

_R0: Final = 1 << 0
_ARGUMENTS: Final = 0b11_1110
_CLOBBERED: Final = 16
_AT_ENTRY: Final = (1 << FRAME_POINTER) - 1 & ~(1 << 1 | 1 << 2)
"""r0 to r9 are unwritten, except r1 and r2 (programs.md section 3.2)."""


@dataclass(slots=True)
class _Effect:
    """Of a block: registers read before it writes them, and registers it reads or writes at all.

    `passes` are the latter without its last instruction: what a function that is called there finds settled.
    """

    needs: int
    settles: int
    passes: int


def report(flow: Flow, findings: Findings) -> None:
    """Find `uninit` and `clobbered` in the code that is reached."""
    if flow.entry == NONE:
        return
    effects = {number: _effect(flow, block) for number, block in enumerate(flow.blocks) if block.reached}
    for number, mask in _solve(flow, effects).items():
        if mask & _both(effects[number].needs):
            _report_block(flow, flow.blocks[number], mask, findings)


def _both(registers: int) -> int:
    return registers | registers << _CLOBBERED


def _reads(insn: Insn, *, entry_frame: bool) -> int:
    """The registers that an instruction reads, as a mask. What exit returns matters in the entry frame."""
    row = insn.row
    mask = (1 << insn.dst if row.reads_dst else 0) | (1 << insn.src if row.reads_src else 0)
    if row.reads_r0 and (entry_frame or row.form is not Form.EXIT):
        mask |= _R0
    return mask


def _writes(insn: Insn) -> int:
    row = insn.row
    mask = (1 << insn.dst if row.writes_dst else 0) | (1 << insn.src if row.writes_src else 0)
    return mask | _R0 if row.writes_r0 else mask


def _in_entry_frame(flow: Flow, block: Block) -> bool:
    return flow.functions[block.owner] == flow.entry


def _effect(flow: Flow, block: Block) -> _Effect:
    needs = settled = passes = 0
    entry_frame = _in_entry_frame(flow, block)
    for insn in flow.insns(block):
        reads = _reads(insn, entry_frame=entry_frame)
        needs |= reads & ~settled
        passes = settled
        settled |= reads | _writes(insn)
    return _Effect(needs, settled, passes)


def _solve(flow: Flow, effects: dict[int, _Effect]) -> dict[int, int]:
    """The mask at the start of every block that is reached."""
    masks = dict.fromkeys(effects, 0)
    masks[flow.entry] = _AT_ENTRY
    work = list(reversed(effects))
    waiting = bytearray(len(flow.blocks))
    for number in work:
        waiting[number] = 1
    while work:
        number = work.pop()
        waiting[number] = 0
        block = flow.blocks[number]
        effect, mask = effects[number], masks[number]
        targets = [(block.call, mask & ~_both(effect.passes))] if block.call != NONE else []
        after = _after_call(flow, block, mask & ~_both(effect.settles))
        targets += [(target, after) for target in block.successors()]
        for target, value in targets:
            if value & ~masks[target]:
                masks[target] |= value
                if not waiting[target]:
                    waiting[target] = 1
                    work.append(target)
    return masks


def _after_call(flow: Flow, block: Block, mask: int) -> int:
    """The mask behind the call that a block may end with; a local function may have set r1 to r5."""
    form = flow.end(block).row.form
    if form is Form.CALL_HELPER:
        return mask | _ARGUMENTS << _CLOBBERED
    if form is Form.CALL_LOCAL:
        return mask & ~_ARGUMENTS | _ARGUMENTS << _CLOBBERED
    return mask


def _report_block(flow: Flow, block: Block, mask: int, findings: Findings) -> None:
    entry_frame = _in_entry_frame(flow, block)
    for insn in flow.insns(block):
        reads = _reads(insn, entry_frame=entry_frame)
        for register in range(FRAME_POINTER):
            if reads & mask & 1 << register:
                findings.add("uninit", insn.pc, f"r{register} read before written (reads 0)")
            if reads & mask >> _CLOBBERED & 1 << register:
                findings.add("clobbered", insn.pc, f"r{register} read after a call")
        mask &= ~_both(reads | _writes(insn))
