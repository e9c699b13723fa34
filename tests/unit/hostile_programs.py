"""Programs that somebody wrote to do harm, by the bug of an original that they aim at.

Each is refused by the verifier with the named finding, or ends with the named fault.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from device.vm.faults import FaultCode
from device.vm.memory import CONTEXT_BASE, DATA_BASE, RODATA_BASE, STACK_TOP
from device.vm.program import Layout

EXIT = "\nmov r0, 0\nexit"
MEM = FaultCode.ILLEGAL_MEM
FRAME = STACK_TOP - 512

REFUSED: dict[str, tuple[str | bytes, str]] = {
    # section 1.2: what is no instruction here
    "packet load, absolute": (".bytes 2000000000000000" + EXIT, "opcode-legacy"),
    "packet load, indirect": (".bytes 5010000000000000" + EXIT, "opcode-legacy"),
    "call through a register": (".bytes 8d00000001000000" + EXIT, "opcode-callx"),
    "map file descriptor": (".bytes 1811000001000000\n.bytes 0000000000000000" + EXIT, "lddw-src"),
    "address of a function": (".bytes 1841000001000000\n.bytes 0000000000000000" + EXIT, "lddw-src"),
    "kernel function": (".bytes 8520000001000000" + EXIT, "call-kind"),
    "atomic of one byte": (".bytes d300000000000000" + EXIT, "opcode"),
    "atomic without operation": (".bytes db1af8ff02000000" + EXIT, "atomic-op"),
    "endless opcode": (b"\xff" * 8, "opcode"),
    "data access without header": ("lddwd r1, 0" + EXIT, "lddw-base"),
    # section 4: registers and fields that hide something
    "r11": (".bytes b70b000001000000" + EXIT, "reg-dst"),
    "r15 as source": (".bytes bff0000000000000" + EXIT, "reg-src"),
    "r10 moved": ("mov r10, 0" + EXIT, "reg-r10"),
    "r10 loaded": ("ldxdw r10, [r1]" + EXIT, "reg-r10"),
    "r10 exchanged": ("lock xchg [r1], r10" + EXIT, "reg-r10"),
    "r10 byte-swapped": ("be64 r10" + EXIT, "reg-r10"),
    "code in an unused field": ("mov r0, 0\n.bytes 9500000095000000", "field"),
    "byte swap of 8 bits": (".bytes d400000008000000" + EXIT, "end-width"),
    "signed shift": (".bytes 6701010001000000" + EXIT, "field"),
    "move of 7 bits": (".bytes bf01070000000000" + EXIT, "modifier"),
    # wild jumps and calls; FC and Sming were off by one at both ends
    "jump past the end": ("ja +2" + EXIT, "jump-range"),
    "jump just past the end": ("jeq r1, 0, +2" + EXIT, "jump-range"),
    "jump before the start": ("mov r0, 0\njeq r1, 0, -3\nexit", "jump-range"),
    "far jump": (".bytes 06000000ffffff7f" + EXIT, "jump-range"),
    "far jump back": (".bytes 0600000000000080" + EXIT, "jump-range"),
    "jump into lddw": ("ja +1\nlddw r1, 0x9500000000" + EXIT, "jump-half"),
    "jump to itself": ("ja -1", "jump-self"),
    "far jump to itself": (".bytes 06000000ffffffff", "jump-self"),
    "call past the end": ("call local +2" + EXIT, "call-range"),
    "call into lddw": ("call local +1\nlddw r1, 0x9500000000" + EXIT, "call-half"),
    "call of -1": ("call local -1" + EXIT, "call-unresolved"),
    "helper of -1": ("call 0xffffffff" + EXIT, "call-unresolved"),
    "helper beyond 8 bits": ("call 0x10001" + EXIT, "helper-unknown"),
    "helper beyond 31 bits": ("call 0x80000001" + EXIT, "helper-unknown"),
    # endings
    "half of lddw at the end": (".bytes 1800000000000000", "lddw-half"),
    "code in the other half": (".bytes 1800000000000000\n.bytes 9500000000000000" + EXIT, "lddw-half"),
    "no exit": ("mov r0, 0", "no-exit"),
    "nothing": (b"", "text-empty"),
    "one byte": (b"\x95", "text-len"),
    "65537 slots": ((b"\xb7" + bytes(7)) * 65_536 + b"\x95" + bytes(7), "text-max"),
    "nine frames": (
        "\n".join(f"f{n}: call local f{n + 1}\nexit" for n in range(8)) + "\nf8:" + EXIT, "call-depth",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A program that is accepted, and how it ends; `seconds` until it is killed."""

    text: str
    code: FaultCode
    pc: int
    address: int | None = None
    budget: int = 20_000
    seconds: float | None = None
    context_writable: bool = True
    frame_size: int = 512
    fields: dict[str, Any] = field(default_factory=dict)


HEADER = {"layout": Layout.FEMTO, "rodata": b"constant", "data": b"12345678", "bss_size": 4}
SPIN = "x: mov r0, 0\nja x"

FAULTS: dict[str, Run] = {
    # wild pointers
    "null": Run("ldxb r0, [r3]\nexit", MEM, 0, 0),
    "null with offset": Run("stxdw [r3+32767], r0" + EXIT, MEM, 0, 32767),
    "below zero": Run("ldxb r0, [r3-1]\nexit", MEM, 0, 0xFFFFFFFF),
    "over the end of addresses": Run("mov32 r3, -4\nldxdw r0, [r3]\nexit", MEM, 1, 0xFFFFFFFC),
    "upper half is not an address": Run("lddw r3, 0x100000000\nldxb r0, [r3]\nexit", MEM, 2, 0),
    "compiled code": Run("lddw r3, 0x08000000\nldxw r0, [r3]\nexit", MEM, 2, 0x08000000),
    "a handle": Run("lddw r3, 0x40000010\nldxw r0, [r3]\nexit", MEM, 2, 0x40000010),
    "packet view without packet": Run("lddw r3, 0x20210000\nldxw r0, [r3]\nexit", MEM, 2, 0x20210000),
    "extra region without one": Run("lddw r3, 0x20300000\nldxb r0, [r3]\nexit", MEM, 2, 0x20300000),
    # the ends of every region, one byte out
    "r10 itself": Run("ldxb r0, [r10]\nexit", MEM, 0, STACK_TOP),
    "over r10": Run("stxdw [r10-7], r1" + EXIT, MEM, 0, STACK_TOP - 7),
    "below the frame": Run("stxb [r10-513], r1" + EXIT, MEM, 0, FRAME - 1),
    "across the frame's end": Run("stxdw [r10-513], r1" + EXIT, MEM, 0, FRAME - 1),
    "a frame of 32 bytes": Run("stxb [r10-33], r1" + EXIT, MEM, 0, STACK_TOP - 33, frame_size=32),
    "behind the context": Run("ldxb r0, [r1+16]\nexit", MEM, 0, CONTEXT_BASE + 16),
    "across the context's end": Run("ldxdw r0, [r1+9]\nexit", MEM, 0, CONTEXT_BASE + 9),
    "before the context": Run("ldxb r0, [r1-1]\nexit", MEM, 0, CONTEXT_BASE - 1),
    "read-only context": Run("stb [r1], 1" + EXIT, MEM, 0, CONTEXT_BASE, context_writable=False),
    "behind .rodata": Run("lddwr r1, 8\nldxb r0, [r1]\nexit", MEM, 2, RODATA_BASE + 8, fields=HEADER),
    "write to .rodata": Run("lddwr r1, 0\nstb [r1], 1" + EXIT, MEM, 2, RODATA_BASE, fields=HEADER),
    "atomic on .rodata": Run(
        "lddwr r1, 0\nmov r0, 1\nlock cmpxchg [r1], r2" + EXIT, MEM, 3, RODATA_BASE, fields=HEADER
    ),
    "behind .bss": Run("lddwd r1, 12\nldxb r0, [r1]\nexit", MEM, 2, DATA_BASE + 12, fields=HEADER),
    "before .data": Run("lddwd r1, -1\nldxb r0, [r1]\nexit", MEM, 2, DATA_BASE - 1, fields=HEADER),
    # frames: µBPF shared one among all functions, and its return stack had no end
    "frame of a function that returned": Run(
        "call local f\nldxdw r0, [r10-520]\nexit\nf: stdw [r10-8], 7\nexit", MEM, 1, FRAME - 8
    ),
    "below a callee's frame": Run("call local f\nexit\nf: stb [r10-513], 7" + EXIT, MEM, 2, FRAME - 513),
    "recursion": Run("f: mov r0, 0\ncall local f\nexit", FaultCode.CALL_DEPTH, 1),
    "mutual recursion": Run("f: call local g\nexit\ng: call local f\nexit", FaultCode.CALL_DEPTH, 2),
    "recursion that fills the stack": Run(
        "f: stdw [r10-512], 1\ncall local f\nexit", FaultCode.CALL_DEPTH, 1
    ),
    # endless
    "endless loop": Run(SPIN, FaultCode.OUT_OF_INSTRUCTIONS, 0),
    "endless loop with an odd budget": Run(SPIN, FaultCode.OUT_OF_INSTRUCTIONS, 1, budget=19_999),
    "budget of one": Run(SPIN, FaultCode.OUT_OF_INSTRUCTIONS, 1, budget=1),
    "endless loop with the largest budget": Run(SPIN, FaultCode.KILLED, -1, budget=2**32 - 1, seconds=0.05),
    "endless calls": Run("x: call local f\nja x\nf: mov r0, 0\nexit", FaultCode.OUT_OF_INSTRUCTIONS, 0),
    "endless stores": Run("x: stxdw [r10-8], r0\nadd r0, 1\nja x", FaultCode.OUT_OF_INSTRUCTIONS, 2),
    "pointer that runs away": Run(
        "mov r3, r10\nx: sub r3, 8\nstxdw [r3], r0\nja x", MEM, 2, FRAME - 8
    ),
    "pointer that runs up": Run("x: ldxb r0, [r1]\nadd r1, 1\nja x", MEM, 0, CONTEXT_BASE + 16),
    "index from the context": Run(
        "ldxw r3, [r1+8]\nadd r1, r3\nldxb r0, [r1]\nexit", MEM, 2, 0x61616161 + CONTEXT_BASE
    ),
}  # fmt: skip
"""Runs of a program with a context of 16 letters `a`. pc -1: wherever it was."""
