"""Engines that are wrong in what one layer is about, and compiled code that is: what layers have to find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Final
from unittest.mock import patch

from device.jit import compile as compiling
from device.jit.compile import Shape
from device.jit.engine import JitEngine
from device.jit.machine import Installed, Machine
from device.jit.processor import Processor
from device.vm.analysis.inlining import LEAVING, Bodies, Body
from device.vm.isa import Form, Instruction, walk
from device.vm.program import Engine, Outcome, Program, Run
from device.vm.switch import SwitchEngine
from tests.property.broken_engines import BROKEN, BrokenEngine, Wrong, exchanged

Change = Callable[[list[Instruction]], list[Instruction]]
Halfwords = Callable[[int, bool], int]
"""The first halfword of an instruction, and whether there is a second, to what stands there instead."""


def _changed(change: Change) -> Wrong:
    """Executes a text with other instructions of the same sizes."""

    def wrong(switch: SwitchEngine, program: Program, run: Run) -> Outcome:
        instructions = [one for _, one in walk(program.text) if one is not None]
        text = b"".join(one.encode() for one in change(instructions))
        return switch.run(replace(program, text=text), run)

    return wrong


def _uncut(instructions: list[Instruction]) -> list[Instruction]:
    """A 32-bit addition or move is one of 64 bits when the next instruction shifts right."""
    found = list(instructions)
    for index, (one, behind) in enumerate(pairwise(instructions)):
        if behind.op.mnemonic in ("rsh", "arsh") and one.op.mnemonic in ("add32", "mov32", "sub32", "xor32"):
            row = replace(one.op, opcode=one.op.opcode | 0x07)
            found[index] = replace(one, op=row)
    return found


def _confused(instructions: list[Instruction]) -> list[Instruction]:
    """Functions behind the first take r9 for r8 where they write it."""
    first = next((one.pc for one in instructions if one.op.form is Form.EXIT), 0)
    return [
        replace(one, dst=8) if one.pc > first and one.dst == 9 and one.op.writes_dst else one
        for one in instructions
    ]


def _short(instructions: list[Instruction]) -> list[Instruction]:
    """Far branches land one instruction early."""
    starts = {one.pc for one in instructions}
    return [
        replace(one, off=one.off - 1)
        if one.op.form is Form.BRANCH_REG and abs(one.off) > 127 and one.pc + one.off in starts
        else one
        for one in instructions
    ]


def _one_budget(switch: SwitchEngine, program: Program, run: Run) -> Outcome:
    """One instruction more, for one budget."""
    run.budget += run.budget == 57
    return switch.run(program, run)


def _one_byte(switch: SwitchEngine, program: Program, run: Run) -> Outcome:
    """Regions that are no frame have a byte more."""
    grown = [region for region in run.memory.regions if region is not run.memory.stack]
    for region in grown:
        region.data = bytearray(region.data) + b"\0"
        region.end += 1
    outcome = switch.run(program, run)
    for region in grown:
        region.data = region.data[:-1]
    return outcome


# Compiled code


def _mutating(change: Halfwords) -> type[Machine]:
    """A machine that changes instructions of all code that is brought into it."""

    class Mutating(Machine):
        def install(self, text: bytes, base: int) -> Installed:
            """See Machine."""
            words = [int.from_bytes(text[at : at + 2], "little") for at in range(0, len(text) & ~1, 2)]
            place = 0
            while place < len(words):
                wide = words[place] >> 11 in (0b11101, 0b11110, 0b11111)
                words[place] = change(words[place], wide)
                place += 1 + wide
            changed = b"".join(word.to_bytes(2, "little") for word in words)
            return super().install(changed + text[len(changed) :], base)

    return Mutating


def _logical(word: int, wide: bool) -> int:  # see Halfwords
    """`asrs rd, rm, #n` is `lsrs`."""
    return word & ~0x1000 | 0x0800 if not wide and word >> 11 == 0b00010 else word


def _carry_lost(word: int, wide: bool) -> int:  # see Halfwords
    """`adc` is `add`, in its wide forms."""
    if wide and word & 0xFFE0 == 0xEB40:
        return word & ~0x0040
    return word & ~0x0040 if wide and word & 0xFBE0 == 0xF140 else word


class Generous(JitEngine):
    """Compiles for regions that are a byte longer than those that there are."""

    def shape(self, program: Program, run: Run) -> Shape:
        """See JitEngine."""
        shape = super().shape(program, run)
        longer = (place and replace(place, end=place.end + 1) for place in shape.places)
        return replace(shape, places=tuple(longer))


class _Shared(Bodies):
    """Functions in functions preserve registers in those that the outer ones have for it."""

    def _body(self, start: int, _spare: Sequence[int], frames: int) -> Body | None:
        return super()._body(start, self._spare, frames)


class _Shallow(Bodies):
    """Functions need one frame, whatever they call."""

    def at(self, start: int) -> Body | None:
        """See Bodies."""
        body = super().at(start)
        return body and replace(body, frames=1)


class _Cheap(Bodies):
    """The exit of a function costs nothing."""

    def at(self, start: int) -> Body | None:
        """See Bodies."""
        body = super().at(start)
        return body and replace(body, steps=[(pc, step) for pc, step in body.steps if step is not LEAVING])


class Inlining(JitEngine):
    """Writes functions where they are called by other rules."""

    def __init__(self, bodies: type[Bodies]) -> None:
        super().__init__(machines=1)
        self._bodies = bodies

    def run(self, program: Program, run: Run) -> Outcome:
        """See JitEngine."""
        with patch.object(compiling, "Bodies", self._bodies):
            return super().run(program, run)


def _engine(wrong: Wrong) -> Callable[[], Engine]:
    return partial(BrokenEngine, wrong)


def _compiled(change: Halfwords) -> Callable[[], Engine]:
    return lambda: JitEngine(partial(Processor, machine=_mutating(change)), machines=1)


WRONG: Final[Mapping[str, tuple[str, Callable[[], Engine]]]] = {
    "sub is add": ("single", _engine(BROKEN["sub is add"])),
    "arsh32 is rsh32": ("single", _engine(BROKEN["arsh32 is rsh32"])),
    "smod is mod": ("single", _engine(exchanged(0x9F, 0x3F))),
    "jsle is jle": ("single", _engine(BROKEN["jsle is jle"])),
    "jset32 is jset": ("single", _engine(BROKEN["jset32 is jset"])),
    "compiled: asr is lsr": ("single", _compiled(_logical)),
    "compiled: no carry": ("single", _compiled(_carry_lost)),
    "ldxsh is ldxh": ("accesses", _engine(BROKEN["ldxsh is ldxh"])),
    "atomic dw is w": ("accesses", _engine(BROKEN["atomic dw is w"])),
    "not cut before a shift": ("sequences", _engine(_changed(_uncut))),
    "r9 is r8 in functions": ("calls", _engine(_changed(_confused))),
    "a fault elsewhere": ("calls", _engine(BROKEN["a fault elsewhere"])),
    "inlined: registers shared": ("leaves", partial(Inlining, _Shared)),
    "inlined: frames not counted": ("leaves", partial(Inlining, _Shallow)),
    "inlined: exits not charged": ("leaves", partial(Inlining, _Cheap)),
    "a byte too many": ("edges", _engine(_one_byte)),
    "rights ignored": ("edges", _engine(BROKEN["rights ignored"])),
    "a fault not counted": ("edges", _engine(BROKEN["a fault not counted"])),
    "compiled: a byte too many": ("edges", Generous),
    "far is nearer": ("large", _engine(_changed(_short))),
    "one budget too large": ("budgets", _engine(_one_budget)),
}
"""What is wrong → the layer that finds it, and what makes such an engine."""
