"""What the verifier can find: the table of ids, and the finding itself (programs.md section 4)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from device.vm.faults import FaultCode
from device.vm.isa import SLOT_SIZE, describe_at
from device.vm.program import Program


class Severity(StrEnum):
    """Whether a finding refuses the image, or is only reported."""

    ERROR = "E"
    WARNING = "W"


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table: what is expected instead, what to try, and the fault code of the originals."""

    severity: Severity
    fault: FaultCode | None
    expected: str
    hint: str


def _error(fault: FaultCode, expected: str, hint: str) -> Rule:
    return Rule(Severity.ERROR, fault, expected, hint)


def _warning(expected: str, hint: str) -> Rule:
    return Rule(Severity.WARNING, None, expected, hint)


_INSTRUCTION: Final = FaultCode.ILLEGAL_INSTRUCTION
_JUMP: Final = FaultCode.ILLEGAL_JUMP
_CALL: Final = FaultCode.ILLEGAL_CALL
_LENGTH: Final = FaultCode.ILLEGAL_LEN
_REGISTER: Final = FaultCode.ILLEGAL_REGISTER

RULES: Final[dict[str, Rule]] = {
    "text-len": _error(_LENGTH, "a multiple of 8 bytes", "the image is cut off, or is not eBPF text"),
    "text-empty": _error(_LENGTH, "at least one instruction", "the image has no executable section"),
    "text-max": _error(_LENGTH, "at most 65536 slots", "split the program"),
    "no-exit": _error(
        FaultCode.NO_RETURN,
        "exit, ja or ja32",
        "end every function with exit; execution would run past the text",
    ),
    "opcode": _error(_INSTRUCTION, "an opcode of RFC 9669", "the bytes are damaged, or no eBPF"),
    "opcode-legacy": _error(_INSTRUCTION, "ldx loads", "packets are read through the context pointer in r1"),
    "opcode-callx": _error(_INSTRUCTION, "a direct call", "function pointers cannot be called; use a switch"),
    "reg-dst": _error(_REGISTER, "r0 to r10", "the bytes are damaged, or no eBPF"),
    "reg-src": _error(_REGISTER, "r0 to r10", "the bytes are damaged, or no eBPF"),
    "reg-r10": _error(
        _REGISTER, "r0 to r9 as destination", "copy r10 to another register and change the copy"
    ),
    "field": _error(_INSTRUCTION, "0 in fields that the instruction does not use", "the bytes are damaged"),
    "end-width": _error(_INSTRUCTION, "16, 32 or 64", "swap with one of these widths"),
    "modifier": _error(_INSTRUCTION, "1 for div and mod, 8, 16 or 32 for mov", "0 gives the plain operation"),
    "atomic-op": _error(
        _INSTRUCTION, "add, or, and, xor with or without fetch, xchg, cmpxchg", "no other operation is atomic"
    ),
    "lddw-half": _error(_INSTRUCTION, "a second slot that is 0 up to its imm", "lddw takes two slots"),
    "lddw-src": _error(
        _INSTRUCTION, "source 0", "maps and kernel objects do not exist here; use the key-value stores"
    ),
    "lddw-base": _error(
        _INSTRUCTION, "a layout with a header, and 0 or -1 in the upper half", "deploy the object as ELF"
    ),
    "jump-range": _error(_JUMP, "a target inside the text", "the bytes are damaged, or code was cut off"),
    "jump-half": _error(_JUMP, "a target that is the start of an instruction", "lddw takes two slots"),
    "jump-self": _error(_JUMP, "another target", "a loop needs at least one more instruction"),
    "call-range": _error(_CALL, "a function inside the text", "the bytes are damaged, or code was cut off"),
    "call-half": _error(_CALL, "a target that is the start of an instruction", "lddw takes two slots"),
    "call-kind": _error(_CALL, "a helper (0) or a local function (1)", "kernel functions do not exist here"),
    "call-unresolved": _error(
        _CALL, "a resolved call", "the function is not defined in this object, or it was never linked"
    ),
    "call-depth": _error(_CALL, "at most 8 frames, the entry included", "inline some of these functions"),
    "helper-unknown": _error(_CALL, "a helper of the profile", "deploy to a device that has this helper"),
    "helper-denied": _error(_CALL, "a helper of the allow-list", "do without it, or have it allowed"),
    "recursion": _warning("no recursion", "the ninth frame faults CALL_DEPTH"),
    "loop-budget": _warning("a loop that ends in the budget", "the run will fault OUT_OF_INSTRUCTIONS"),
    "unreachable": _warning("no dead code", "it costs space in the slot only"),
    "cross-function": _warning("jumps within the function", "the frame stays the one of the first function"),
    "fall-into": _warning("exit or a jump at the end of a function", "is an exit missing?"),
    "uninit": _warning("a value in the register on every path", "it reads 0"),
    "clobbered": _warning("r6 to r9 for values that outlive a call", "other virtual machines lose r1 to r5"),
    "stack-range": _warning("an access inside the frame", "the run will fault ILLEGAL_MEM here"),
    "div-zero": _warning("another divisor", "division gives 0, mod leaves the register"),
    "shift-range": _warning("a count below the width", "the count is cut to 5 or 6 bits"),
    "lddw-range": _warning("an offset inside the section", "the run will fault ILLEGAL_MEM where it is used"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or odd. `insn` is a slot; `source` is file:line where it is known."""

    id: str
    severity: Severity
    insn: int
    what: str
    source: str | None = None

    @property
    def offset(self) -> int:
        """Bytes from the start of the linked text."""
        return self.insn * SLOT_SIZE

    @property
    def message(self) -> str:
        """`<what> at insn #i (offset 0x..)`."""
        return f"{self.what} at {describe_at(self.insn)}"

    @property
    def expected(self) -> str:
        """What would have been accepted."""
        return RULES[self.id].expected

    @property
    def hint(self) -> str:
        """What to try."""
        return RULES[self.id].hint

    def to_map(self) -> dict[str, Any]:
        """The finding in JSON."""
        shown: dict[str, Any] = {
            "id": self.id,
            "severity": str(self.severity),
            "insn": self.insn,
            "offset": self.offset,
            "message": self.message,
            "expected": self.expected,
            "hint": self.hint,
        }
        if self.source is not None:
            shown["source"] = self.source
        return shown


@dataclass(slots=True)
class Findings:
    """The findings so far, in any order. `lenient` ids are warnings this time."""

    lenient: frozenset[str] = frozenset()
    found: list[tuple[int, str, str]] = field(default_factory=list)
    excused: set[tuple[int, str]] = field(default_factory=set)

    def add(self, rule: str, insn: int, what: str) -> None:
        """Note a finding at slot `insn`."""
        self.found.append((insn, rule, what))

    def warn(self, rule: str, insn: int, what: str) -> None:
        """Note a finding that is only a warning at this slot, whatever its id is elsewhere."""
        self.excused.add((insn, rule))
        self.add(rule, insn, what)

    def ordered(self, program: Program) -> tuple[Finding, ...]:
        """All of them by instruction, then id, with their source lines."""
        return tuple(self._finished(program))

    def _finished(self, program: Program) -> Iterator[Finding]:
        source_at = _source_lookup(program)
        for insn, rule, what in sorted(self.found):
            excused = rule in self.lenient or (insn, rule) in self.excused
            severity = Severity.WARNING if excused else RULES[rule].severity
            yield Finding(rule, severity, insn, what, source_at.find(insn))


@dataclass(frozen=True, slots=True)
class _SourceLookup:
    """`Program.source_at` for many slots: logarithmic instead of linear."""

    program: Program
    slots: tuple[int, ...]
    starts: tuple[int, ...]

    def find(self, pc: int) -> str | None:
        at = bisect_right(self.slots, pc) - 1
        if at < 0:
            return None
        start = bisect_right(self.starts, pc) - 1
        within = start < 0 or self.slots[at] >= self.starts[start]
        return self.program.lines[self.slots[at]] if within else None


def _source_lookup(program: Program) -> _SourceLookup:
    starts = tuple(sorted(function.start for function in program.functions)) if program.lines else ()
    return _SourceLookup(program, tuple(sorted(program.lines)), starts)
