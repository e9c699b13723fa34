"""What a fault means and what to try: one table for the device's log, the client and the documentation.

Advice is given on the map form of a fault (`Fault.to_map`), which is what travels: the client has it from
devices, local runs make it themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from device.vm.faults import FaultCode
from device.vm.memory import DATA_BASE, STACK_TOP

_NULL_END: Final = 0x10000
_HANDLES: Final = range(0x40000000, 0x60000000)
_CODE: Final = range(0x08000000, 0x10000000)
"""Where compiled code lies (programs.md section 3.1); text is not readable."""

_FaultMap = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Advice:
    """What a fault means, and what to try."""

    meaning: str
    hint: str


ADVICE: Final[Mapping[FaultCode, Advice]] = MappingProxyType(
    {
        FaultCode.OK: Advice("the run reached exit", "nothing to try"),
        FaultCode.ILLEGAL_INSTRUCTION: Advice(
            "a slot holds no instruction", "the text is damaged or no eBPF; build it again"
        ),
        FaultCode.ILLEGAL_MEM: Advice(
            "an access outside of memory that the program may use",
            "check the pointer and its bounds before the access",
        ),
        FaultCode.ILLEGAL_JUMP: Advice("a jump leaves the program", "the text is damaged; build it again"),
        FaultCode.ILLEGAL_CALL: Advice(
            "a call of a function or helper that does not exist",
            "the helper does not exist here; `client verify` lists those a program calls",
        ),
        FaultCode.ILLEGAL_LEN: Advice(
            "the text is no whole number of instructions", "the image was cut off; build it again"
        ),
        FaultCode.ILLEGAL_REGISTER: Advice(
            "an instruction names a register beyond r10, or writes r10", "the text is damaged; build it again"
        ),
        FaultCode.NO_RETURN: Advice(
            "execution ran past the end of the text", "every path has to end with a return"
        ),
        FaultCode.OUT_OF_BRANCHES: Advice(
            "more jumps were taken than the profile allows",
            "take fewer: unroll the loop, do less in one run, or deploy under another profile",
        ),
        FaultCode.ILLEGAL_DIV: Advice(
            "a division by zero, which the profile does not define", "check the divisor before dividing"
        ),
        FaultCode.OUT_OF_INSTRUCTIONS: Advice(
            "the instruction budget is used up",
            "a loop may not end, or there is more to do than the budget allows: see --budget",
        ),
        FaultCode.CALL_DEPTH: Advice(
            "calls are nested more than 8 frames deep", "recursion needs another shape, such as a loop"
        ),
        FaultCode.HELPER_DENIED: Advice(
            "the run may not call this helper",
            "have it allowed (--helpers, or the signed capability of the deploy), or do without it",
        ),
        FaultCode.KILLED: Advice("the run was stopped from outside", "somebody stopped it; run it again"),
        FaultCode.NO_MEMORY: Advice(
            "the device has no room for .data and .bss", "make static variables smaller, or undeploy a slot"
        ),
    }
)


@dataclass(frozen=True, slots=True)
class _Special:
    """A hint for some of the faults of a code."""

    code: FaultCode
    applies: Callable[[_FaultMap], bool]
    hint: str


def _address(fault: _FaultMap) -> int:
    """The address of a memory fault, or -1."""
    address = fault.get("address")
    return address if isinstance(address, int) else -1


def _region(fault: _FaultMap) -> str:
    return str(fault.get("region", ""))


def _distance(fault: _FaultMap) -> int | None:
    distance = fault.get("distance")
    return distance if isinstance(distance, int) else None


def _is_killed(reason: str) -> Callable[[_FaultMap], bool]:
    return lambda fault: reason in str(fault.get("detail", ""))


def _read_only(fault: _FaultMap) -> bool:
    return fault.get("access") in ("store", "write") and "read-only" in str(fault.get("detail", ""))


def _stack_overflow(fault: _FaultMap) -> bool:
    return "stack" in _region(fault) and DATA_BASE < _address(fault) < STACK_TOP


def _past_frame(fault: _FaultMap) -> bool:
    return "stack" in _region(fault) and STACK_TOP - 8 < _address(fault) < STACK_TOP + 0x1000


def _past_end(fault: _FaultMap) -> bool:
    distance = _distance(fault)
    return "beyond the end" in str(fault.get("detail", "")) or (distance is not None and 0 <= distance < 4096)


# The first that applies counts.
_SPECIAL: Final = (
    _Special(FaultCode.KILLED, _is_killed("deadline"), "it ran longer than allowed: see --timeout"),
    _Special(
        FaultCode.KILLED, _is_killed("replaced"), "a deploy replaced the program while it ran; run it again"
    ),
    _Special(
        FaultCode.ILLEGAL_MEM,
        lambda fault: 0 <= _address(fault) < _NULL_END,
        "this is a null pointer: no context was given (--context), or a value was not set",
    ),
    _Special(
        FaultCode.ILLEGAL_MEM,
        lambda fault: _address(fault) in _HANDLES,
        "this is a handle for helpers, no memory: pass it on as it is",
    ),
    _Special(FaultCode.ILLEGAL_MEM, lambda fault: _address(fault) in _CODE, "code cannot be read as data"),
    _Special(
        FaultCode.ILLEGAL_MEM,
        lambda fault: _read_only(fault) and _region(fault) == ".rodata",
        "constants and string literals cannot be written: copy them to an array on the stack first",
    ),
    _Special(
        FaultCode.ILLEGAL_MEM, _read_only, "the caller gave these bytes read-only: write to a copy of them"
    ),
    _Special(
        FaultCode.ILLEGAL_MEM, _past_frame, "r10 points past the frame: locals lie below it, check the index"
    ),
    _Special(
        FaultCode.ILLEGAL_MEM,
        _stack_overflow,
        "the stack frame has 512 bytes, or what the deploy signed: move large arrays to static variables,"
        " and check the index",
    ),
    _Special(
        FaultCode.ILLEGAL_MEM,
        lambda fault: "no NUL" in str(fault.get("detail", "")),
        "end the string with a NUL within 256 bytes",
    ),
    _Special(
        FaultCode.ILLEGAL_MEM,
        lambda fault: _past_end(fault) and "context" in _region(fault),
        "the context is shorter than the program expects: give more bytes, or compare with its length in r2",
    ),
    _Special(
        FaultCode.ILLEGAL_MEM, _past_end, "an index runs past the end: check the bounds before the access"
    ),
)


def advice(fault: _FaultMap) -> Advice | None:
    """The row of the table that a fault belongs to; None for a code that this version does not know."""
    return (
        ADVICE.get(FaultCode[code]) if (code := str(fault.get("code", ""))) in FaultCode.__members__ else None
    )


def hint(fault: _FaultMap) -> str:
    """What to try; empty for a code that this version does not know."""
    found = advice(fault)
    if found is None:
        return ""
    code = fault["code"]
    special = (row.hint for row in _SPECIAL if row.code.name == code and row.applies(fault))
    return next(special, found.hint)


def describe(fault: _FaultMap) -> str:
    """The fault on one line, for a log: what and where, function and source line, what to try."""
    places = [f"in {fault['function']}()"] if fault.get("function") else []
    places += [f"at {fault['source']}"] if fault.get("source") else []
    place = f" ({', '.join(places)})" if places else ""
    tried = hint(fault)
    return f"{fault.get('detail', fault.get('code'))}{place}" + (f"; try: {tried}" if tried else "")
