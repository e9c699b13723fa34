"""How the stack is used: bytes of frame per function, `stack-range`, and whether r10 escapes.

Registers that hold r10 plus a constant are followed through moves, additions of constants and joins. A
state maps such registers to their distance from r10, or to None when that is no constant any more;
registers that are not in it do not point into the frame. A register's entry changes at most twice at the
start of a block, so the analysis is linear. Pointers that come back from memory, and a caller's frame as its
callee sees it, are not followed: the facts are about constant accesses to the own frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from device.vm.isa import FRAME_POINTER, Form, Sem
from device.vm.verifier.code import Insn
from device.vm.verifier.findings import Findings
from device.vm.verifier.flow import NONE, Block, Flow

State = dict[int, int | None]

_START: Final[State] = {FRAME_POINTER: 0}
_ARGUMENTS: Final = range(1, 6)


@dataclass(slots=True)
class Frames:
    """Bytes of frame that each function uses, and whether r10 escapes by a computed offset."""

    used: list[int]
    escapes: bool = False


def analyse(flow: Flow, above: Sequence[int], frame_size: int, findings: Findings) -> Frames:
    """Judge all accesses; `above` are the frames that a function can find above its own."""
    frames = Frames([0] * len(flow.functions))
    judge = _Judge(flow, frame_size, above, frames, findings)
    captures = {number for number, block in enumerate(flow.blocks) if any(map(_captures, flow.insns(block)))}
    states = _solve(flow, captures) if captures else {}
    for number, block in enumerate(flow.blocks):
        if block.owner != NONE:
            judge.block(block, dict(states.get(number, _START)))
    return frames


def _captures(insn: Insn) -> bool:
    """Whether r10 gets into another register."""
    return insn.src == FRAME_POINTER and insn.row.form is Form.ALU_REG


def _solve(flow: Flow, captures: set[int]) -> dict[int, State]:
    """The state at the start of every block that a function owns."""
    states = {start: dict(_START) for start in flow.functions}
    work = list(reversed(flow.functions))
    while work:
        number = work.pop()
        state = dict(states[number])
        if len(state) > 1 or number in captures:
            for insn in flow.insns(flow.blocks[number]):
                _step(state, insn)
        for target in flow.blocks[number].successors():
            if target not in states:
                states[target] = dict(state)
                work.append(target)
            elif _join(states[target], state):
                work.append(target)
    return states


def _join(into: State, other: State) -> bool:
    """Keep what both say; whether `into` changed."""
    differing = [register for register in into.keys() | other.keys() if _differ(into, other, register)]
    for register in differing:
        into[register] = None
    return bool(differing)


def _differ(into: State, other: State, register: int) -> bool:
    if register not in into:
        return True
    return into[register] is not None and (register not in other or into[register] != other[register])


def _step(state: State, insn: Insn) -> bool:
    """The state behind an instruction; whether it computed a frame pointer that is no constant."""
    row = insn.row
    if row.writes_dst:
        inside, offset = _result(state, insn)
        if inside:
            state[insn.dst] = offset
        else:
            state.pop(insn.dst, None)
        return inside and offset is None and row.sem is not Sem.MOV
    if row.writes_r0:
        state.pop(0, None)
    if row.writes_src:
        state.pop(insn.src, None)
    if row.form is Form.CALL_LOCAL:
        for register in _ARGUMENTS:
            state.pop(register, None)
    return False


def _result(state: State, insn: Insn) -> tuple[bool, int | None]:
    """What an instruction puts into dst: whether that points into the frame, and where."""
    row = insn.row
    left = row.reads_dst and insn.dst in state
    right = row.form is Form.ALU_REG and insn.src in state
    if not left and not right:
        return False, None
    if row.sem is Sem.MOV:
        return True, state[insn.src]
    if row.form is Form.ALU_IMM and row.sem in (Sem.ADD, Sem.SUB):
        base = state[insn.dst]
        shift = insn.imm if row.sem is Sem.ADD else -insn.imm
        return True, None if base is None else base + shift
    return not (row.sem is Sem.SUB and left and right), None


@dataclass(slots=True)
class _Judge:
    """Walks blocks with the final states; the facts and findings come from here."""

    flow: Flow
    frame_size: int
    above: Sequence[int]
    frames: Frames
    findings: Findings

    def block(self, block: Block, state: State) -> None:
        if len(state) == 1 and not any(map(_mentions, self.flow.insns(block))):
            return
        for insn in self.flow.insns(block):
            base = _base(insn)
            if base in state:
                self._access(block, insn, state[base])
            escaped = _step(state, insn)
            self.frames.escapes |= escaped and block.reached
            if insn.row.writes_dst:
                self._use(block, state.get(insn.dst))

    def _access(self, block: Block, insn: Insn, offset: int | None) -> None:
        if offset is None:
            self.frames.escapes |= block.reached
            return
        offset += insn.off
        self._use(block, offset)
        top = self.above[block.owner] * self.frame_size
        if block.reached and not -self.frame_size <= offset <= top - insn.row.width // 8:
            what = f"constant access r10{offset:+d} outside the frame (faults at run time)"
            self.findings.add("stack-range", insn.pc, what)

    def _use(self, block: Block, offset: int | None) -> None:
        """Bytes below r10 that are used, or whose address is taken."""
        if offset is not None:
            self.frames.used[block.owner] = max(self.frames.used[block.owner], -offset)


def _mentions(insn: Insn) -> bool:
    return FRAME_POINTER in (insn.dst, insn.src)


def _base(insn: Insn) -> int:
    """The register that an access is relative to, or -1."""
    form = insn.row.form
    if form is Form.LOAD:
        return insn.src
    return insn.dst if form in (Form.STORE_IMM, Form.STORE_REG, Form.ATOMIC) else NONE
