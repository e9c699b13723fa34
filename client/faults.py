"""A fault of a program, explained: where it is, what happened there, what to try (client.md, Faults)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from device.errors import MicroBpfError

_HINTS: Final = {
    "ILLEGAL_INSTRUCTION": "the text holds something that is no instruction; build it again",
    "ILLEGAL_MEM": "check the pointer and its bounds before the access",
    "ILLEGAL_JUMP": "a jump leaves the program; build it again",
    "ILLEGAL_CALL": "the helper does not exist here; `client verify` lists those a program calls",
    "ILLEGAL_LEN": "the text is no whole number of instructions",
    "ILLEGAL_REGISTER": "an instruction names a register beyond r10",
    "NO_RETURN": "every path has to end with a return",
    "OUT_OF_BRANCHES": "the profile bounds the jumps taken; loop less",
    "ILLEGAL_DIV": "check the divisor before dividing",
    "OUT_OF_INSTRUCTIONS": "a loop may not end, or there is more to do than the budget allows",
    "CALL_DEPTH": "calls are at most 8 frames deep; recursion needs another shape",
    "HELPER_DENIED": "the helper is not on the list of this run: see --helpers",
    "NO_MEMORY": "the device has no room for .data and .bss; make them smaller",
}
_KILLED: Final = {
    "deadline": "it ran longer than allowed: see --timeout",
    "replaced": "a deploy replaced the program while it ran; run it again",
}


class ProgramFault(MicroBpfError):
    """A run that ended with a fault; `extra` holds the fault and the answer it came in."""

    title = "Program faulted"
    default_code = "fault"


def program_fault(fault: Mapping[str, Any], answer: Mapping[str, Any]) -> ProgramFault:
    """The error that stands for a run that faulted."""
    code = str(fault.get("code", "fault"))
    return ProgramFault(
        str(fault.get("detail") or code),
        code=code,
        where=where(fault),
        hint=hint(fault),
        extra={
            "fault": dict(fault),
            "answer": {key: value for key, value in answer.items() if key != "fault"},
        },
    )


def where(fault: Mapping[str, Any]) -> str:
    """Function, source line and instruction, as far as they are known."""
    parts = []
    if fault.get("function"):
        parts.append(f"in {fault['function']}()")
    if fault.get("source"):
        parts.append(f"at {fault['source']}")
    pc = fault.get("insn")
    if isinstance(pc, int):
        parts.append(f"insn #{pc} (offset 0x{8 * pc:x})")
    return ", ".join(parts)


def hint(fault: Mapping[str, Any]) -> str:
    """What to try."""
    code, detail = str(fault.get("code", "")), str(fault.get("detail", ""))
    if code == "KILLED":
        return next((text for word, text in _KILLED.items() if word in detail), "somebody stopped it")
    address = fault.get("address")
    if code == "ILLEGAL_MEM" and isinstance(address, int) and address < 0x10000:
        return "this is a null pointer: no context was given (--context), or a value was not set"
    if code == "ILLEGAL_MEM" and "stack" in str(fault.get("region", "")):
        return "the stack frame has 512 bytes: move large arrays to .bss, and check the index"
    return _HINTS.get(code, "")


def fault_lines(fault: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The fault as names and values for a block."""
    address, size = fault.get("address"), fault.get("size")
    access = None
    if isinstance(address, int):
        amount = f" of {size} byte{'' if size == 1 else 's'}" if isinstance(size, int) else ""
        access = f"{fault.get('access', 'access')}{amount} at 0x{address:08x}"
    helper = fault.get("helper")
    return [
        ("fault", f"{fault.get('code')} ({fault.get('number')})"),
        ("detail", fault.get("detail")),
        ("function", fault.get("function")),
        ("source", fault.get("source")),
        ("access", access),
        ("region", fault.get("region")),
        ("helper", f"0x{helper:02x}" if isinstance(helper, int) else None),
        ("try", hint(fault) or None),
    ]
