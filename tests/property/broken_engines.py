"""Engines that are wrong in one way each: what a fuzzer that is worth its name finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from device.vm.faults import FaultCode
from device.vm.isa import SLOT_SIZE, walk
from device.vm.program import Outcome, Program, Run
from device.vm.switch import SwitchEngine

Wrong = Callable[[SwitchEngine, Program, Run], Outcome]


class BrokenEngine:
    """`switch` behind something that spoils it."""

    name = "broken"

    def __init__(self, wrong: Wrong) -> None:
        self._wrong = wrong
        self._switch = SwitchEngine()

    def run(self, program: Program, run: Run) -> Outcome:
        """See Engine."""
        return self._wrong(self._switch, program, run)


def exchanged(one: int, other: int) -> Wrong:
    """Executes one opcode as another."""

    def wrong(switch: SwitchEngine, program: Program, run: Run) -> Outcome:
        text = bytearray(program.text)
        for slot, _ in walk(program.text):
            if text[slot * SLOT_SIZE] == one:
                text[slot * SLOT_SIZE] = other
        return switch.run(replace(program, text=bytes(text)), run)

    return wrong


def _budget(switch: SwitchEngine, program: Program, run: Run) -> Outcome:
    """One instruction more than allowed, from the eighth on."""
    run.budget += run.budget > 7
    return switch.run(program, run)


def _count(switch: SwitchEngine, program: Program, run: Run) -> Outcome:
    """Does not count the instruction that faults."""
    outcome = switch.run(program, run)
    faulted = outcome.fault is not None and outcome.fault.code is FaultCode.ILLEGAL_MEM
    return outcome._replace(instructions=outcome.instructions - faulted)


def _stack(switch: SwitchEngine, program: Program, run: Run) -> Outcome:
    """Leaves what the stack held."""
    stack = run.memory.stack
    held = bytes(stack.data)

    class Kept(type(stack)):  # type: ignore[misc]  # the class of a value
        def reset(self) -> None:
            super().reset()
            self.data[:] = held

    stack.__class__ = Kept
    return switch.run(program, run)


def _rights(switch: SwitchEngine, program: Program, run: Run) -> Outcome:
    """Stores into read-only extra regions."""
    for region in run.memory.regions:
        if region.name.startswith("extra"):
            region.writable = True
    return switch.run(program, run)


def _arguments(switch: SwitchEngine, program: Program, run: Run) -> Outcome:
    """Helpers get the low half of r3."""
    gate = run.call_helper
    run.call_helper = lambda n, r1, r2, r3, r4, r5: gate(n, r1, r2, r3 & 0xFFFFFFFF, r4, r5)
    return switch.run(program, run)


def _result(switch: SwitchEngine, program: Program, run: Run) -> Outcome:
    """Helpers give their low half."""
    gate = run.call_helper
    run.call_helper = lambda *call: gate(*call) & 0xFFFFFFFF
    return switch.run(program, run)


def _place(switch: SwitchEngine, program: Program, run: Run) -> Outcome:
    """Names the instruction behind one that faults in a called function."""
    outcome = switch.run(program, run)
    fault = outcome.fault
    if fault is None or fault.code is not FaultCode.CALL_DEPTH:
        return outcome
    return outcome._replace(fault=replace(fault, pc=fault.pc + 1))


def _raising(switch: SwitchEngine, program: Program, run: Run) -> Outcome:
    """Lets an exception out where a byte swap stands."""
    if any(one is not None and one.op.mnemonic == "bswap64" for _, one in walk(program.text)):
        raise IndexError("list index out of range")
    return switch.run(program, run)


def _hanging(switch: SwitchEngine, program: Program, run: Run) -> Outcome:
    """Goes on until it is killed where a byte swap stands."""
    if any(one is not None and one.op.mnemonic == "bswap64" for _, one in walk(program.text)):
        run.control.deadline = 0.0
    return switch.run(program, run)


BROKEN: Final[Mapping[str, Wrong]] = {
    "sub is add": exchanged(0x1F, 0x0F),
    "arsh32 is rsh32": exchanged(0xC4, 0x74),
    "jsle is jle": exchanged(0xD5, 0xB5),
    "jset32 is jset": exchanged(0x46, 0x45),
    "ldxsh is ldxh": exchanged(0x89, 0x69),
    "atomic dw is w": exchanged(0xDB, 0xC3),
    "lddwd is lddwr": exchanged(0xB8, 0xD8),
    "a budget too large": _budget,
    "a fault not counted": _count,
    "the stack not cleared": _stack,
    "rights ignored": _rights,
    "an argument cut": _arguments,
    "a result cut": _result,
    "a fault elsewhere": _place,
    "an exception": _raising,
    "an endless run": _hanging,
}
"""What is wrong → how."""
