"""`switch`: the specification in code. One loop, one case for each kind of instruction, no cleverness.

It is kept for reading and as the oracle of every test (engines.md). Registers are unsigned 64-bit
integers. What the operations compute is in arithmetic.py, what a slot says in decode.py; the sections
named here are those of programs.md.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Final

from device.vm.arithmetic import ATOMICS, CONDITIONS, FAULTING_OPERATIONS, OPERATIONS, signed
from device.vm.decode import (
    ALU,
    ATOMIC,
    ATOMIC_FETCH,
    BRANCH,
    CALL_HELPER,
    CALL_LOCAL,
    COMPARE_EXCHANGE,
    CONSTANT,
    DATA_ADDRESS,
    END_STEP,
    EXIT,
    JUMP,
    LOAD,
    LOAD_SIGNED,
    MASK32,
    MASK64,
    RODATA_ADDRESS,
    STORE,
    Step,
    check_text,
    decode_step,
)
from device.vm.faults import FaultCode, GuestFault
from device.vm.isa import FRAME_POINTER, REGISTERS, SLOT_SIZE
from device.vm.memory import ADDRESS_MASK, RODATA_BASE, STACK_TOP
from device.vm.program import PERIODIC_WAKEUP, Outcome, Program, Run

CHECK_INTERVAL: Final = 4096
"""Instructions between two looks at the run's control, about 2 ms; helper calls look each time."""

CACHED_SLOTS: Final = 65_536
"""Slots whose decoded form an engine keeps, over all programs."""


class SwitchEngine:
    """The plain interpreter. An instance may serve any number of threads."""

    name: str = "switch"

    def __init__(self) -> None:
        self._texts = _DecodedTexts(CACHED_SLOTS)

    def run(self, program: Program, run: Run) -> Outcome:
        """Execute from the entry to exit or fault. Raises nothing that the program can cause."""
        text, slots, control = program.text, program.slots, run.control
        memory, stack = run.memory, run.memory.stack
        data_base = program.relative_data_base
        frames: list[tuple[int, list[int]]] = []
        registers = [0] * REGISTERS
        registers[1], registers[2], registers[FRAME_POINTER] = run.r1 & MASK64, run.r2 & MASK64, STACK_TOP
        pc = executed = pause = 0
        limit = run.budget
        operations = FAULTING_OPERATIONS if run.rules.zero_divisor_faults else OPERATIONS
        limited, branches = run.rules.branch_limit is not None, run.rules.branch_limit or 0
        try:
            check_text(text, program.entry)
            code, pc = self._texts.get(text), program.entry
            stack.reset()
            while True:
                if executed >= pause:
                    if executed >= limit and pc < slots:  # section 5: before the instruction
                        detail = f"budget of {run.budget} instructions used up"
                        raise GuestFault(FaultCode.OUT_OF_INSTRUCTIONS, detail)
                    control.check()
                    pause = min(limit, executed + CHECK_INTERVAL)
                executed += 1
                step = code[pc]
                if step is None:
                    step = code[pc] = decode_step(text, pc)
                case, sem, width, mask, dst, src, off, imm, from_register = step

                if case == ALU:
                    operand = (registers[src] if from_register else imm) & mask
                    registers[dst] = operations[sem](registers[dst] & mask, operand, width) & mask
                    pc += 1

                elif case == BRANCH:
                    operand = (registers[src] if from_register else imm) & mask
                    if CONDITIONS[sem](registers[dst] & mask, operand, width):
                        pc = _jump_target(off, slots)
                        if limited:
                            branches = _take_branch(branches)
                    else:
                        pc += 1

                elif case == LOAD:
                    registers[dst] = memory.load((registers[src] + off) & ADDRESS_MASK, width // 8)
                    pc += 1

                elif case == STORE:
                    value = registers[src] if from_register else imm
                    memory.store((registers[dst] + off) & ADDRESS_MASK, width // 8, value)
                    pc += 1

                elif case == JUMP:
                    pc = _jump_target(off, slots)
                    if limited:
                        branches = _take_branch(branches)

                elif case == CONSTANT:
                    registers[dst] = imm
                    pc += 2

                elif case == CALL_HELPER:
                    control.check()  # a helper may take as long as many instructions
                    registers[0] = run.call_helper(imm, *registers[1:6]) & MASK64
                    if imm == PERIODIC_WAKEUP and run.renews:
                        limit, pause = executed + run.budget, executed
                    pc += 1

                elif case == CALL_LOCAL:
                    if not 0 <= off < slots:
                        raise GuestFault(FaultCode.ILLEGAL_CALL, f"local call to #{off} outside the program")
                    if len(frames) + 1 == stack.frames:
                        detail = f"local call for frame {stack.frames + 1}, limit {stack.frames}"
                        raise GuestFault(FaultCode.CALL_DEPTH, detail)
                    frames.append((pc + 1, registers[6:]))
                    stack.activate(len(frames) + 1)
                    registers[FRAME_POINTER] -= stack.frame_size
                    pc = off

                elif case == EXIT:
                    if not frames:
                        return Outcome(registers[0], None, executed)
                    pc, registers[6:] = frames.pop()
                    stack.activate(len(frames) + 1)

                elif case == LOAD_SIGNED:
                    value = memory.load((registers[src] + off) & ADDRESS_MASK, width // 8)
                    registers[dst] = signed(value, width) & MASK64
                    pc += 1

                elif case == DATA_ADDRESS:
                    registers[dst] = (data_base + imm) & MASK32
                    pc += 2

                elif case == RODATA_ADDRESS:
                    registers[dst] = (RODATA_BASE + imm) & MASK32
                    pc += 2

                elif case in (ATOMIC, ATOMIC_FETCH, COMPARE_EXCHANGE):
                    address = (registers[dst] + off) & ADDRESS_MASK
                    # The place has to be writable even where a comparison fails and nothing is written.
                    memory.find(address, width // 8, write=True)
                    old = memory.load(address, width // 8)
                    if case == COMPARE_EXCHANGE:
                        if old == registers[0] & mask:
                            memory.store(address, width // 8, registers[src])
                        registers[0] = old
                    else:
                        memory.store(address, width // 8, ATOMICS[sem](old, registers[src]))
                        if case == ATOMIC_FETCH:
                            registers[src] = old
                    pc += 1

                else:
                    executed -= 1  # there is no instruction to count past the end
                    raise GuestFault(FaultCode.NO_RETURN, "the program runs past its end")
        except GuestFault as fault:
            return Outcome(None, program.locate(fault.record(pc, tuple(registers))), executed)


def _jump_target(target: int, slots: int) -> int:
    if 0 <= target < slots:
        return target
    raise GuestFault(FaultCode.ILLEGAL_JUMP, f"jump to #{target} outside the program")


def _take_branch(left: int) -> int:
    """How many jumps a run may still take behind this one (section 5, "taken branches")."""
    if left == 0:
        raise GuestFault(FaultCode.OUT_OF_BRANCHES, "branch budget used up")
    return left - 1


class _DecodedTexts:
    """The decoded instructions of the texts that ran last, filled in as their slots are first reached.

    Two runs may decode the same slot at once; both get the same value.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._texts: OrderedDict[bytes, list[Step | None]] = OrderedDict()
        self._lock = Lock()

    def get(self, text: bytes) -> list[Step | None]:
        """One entry for each slot, and END_STEP after the last."""
        with self._lock:
            code = self._texts.pop(text, None)
            if code is None:
                code = [None] * (len(text) // SLOT_SIZE)
                code.append(END_STEP)
                self._held += len(code)
            self._texts[text] = code
            while self._held > self._limit:
                _, dropped = self._texts.popitem(last=False)
                self._held -= len(dropped)
        return code
