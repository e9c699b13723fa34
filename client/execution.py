"""Running what a slot holds, and explaining how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from client.debuginfo import DebugFiles
from client.faults import ProgramFault, fault_lines, program_fault
from client.remote import RemoteDevice
from client.text import block, microseconds, quoted, size
from device.api import ExecAnswer, ExecRequest
from device.errors import MicroBpfError


@dataclass(frozen=True, slots=True)
class Executed:
    """The answer of a run that reached exit."""

    slot: int
    answer: ExecAnswer

    def to_map(self) -> dict[str, Any]:
        """What JSON shows."""
        return {"slot": self.slot, **self.answer.to_map()}


async def execute(device: RemoteDevice, slot: int, request: ExecRequest, debug: DebugFiles) -> Executed:
    """Run a slot. Raises ProgramFault with the source line where the operator has it, and RemoteError."""
    answer = await device.execute(slot, request)
    if answer.fault is None:
        return Executed(slot, answer)
    raise await explained(device, slot, answer.fault, answer.to_map(), debug)


async def explained(
    device: RemoteDevice,
    slot: int,
    found: Mapping[str, Any],
    answer: Mapping[str, Any],
    debug: DebugFiles,
) -> ProgramFault:
    """The error for a fault in `answer`, with the source line where the operator has it."""
    fault = dict(found)
    if not fault.get("source"):
        try:
            held = await device.slot(slot)
        except MicroBpfError:
            held = None
        if held is not None and held.digest is not None:
            fault = await debug.source_of(fault, held.digest, held.layout or "elf")
    return program_fault(fault, {"slot": slot, **answer})


def answer_lines(executed: Executed | ExecAnswer) -> Iterator[str]:
    """A result for people."""
    answer = executed.answer if isinstance(executed, Executed) else executed
    yield from run_lines(answer.to_map())


def fault_answer(error: MicroBpfError) -> Iterator[str]:
    """A run that faulted, for people; nothing for any other error."""
    if isinstance(error, ProgramFault):
        yield from block(fault_lines(error.extra["fault"]))
        yield from run_lines(error.extra["answer"])


def run_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """The answer of a run, faulted or not, as a block."""
    result = answer.get("r0")
    median = " median" if answer.get("runs", 1) > 1 else ""
    times = answer.get("time_us") or {}
    yield from block(
        {
            "result": None if result is None else f"{answer.get('r0_signed')}  ({result})",
            "engine": f"{answer.get('engine')}, {answer.get('instructions')} instructions",
            "code": _code(answer),
            "time": f"{microseconds(times.get('run', 0))}{median}",
            "cycles": None if answer.get("cycles") is None else f"{answer['cycles']} (estimate, Cortex-M4)",
            "shadow": _shadow(answer.get("shadow")),
            "runs": answer["runs"] if answer.get("runs", 1) > 1 else None,
            "context": hexadecimal(answer.get("context")),
        }
    )
    for index, content in enumerate(answer.get("regions") or ()):
        yield from block({f"region {index}": hexadecimal(content)})
    if answer.get("output"):
        yield "output"
        yield from quoted(str(answer["output"]))


def _code(answer: Mapping[str, Any]) -> str | None:
    """How large compiled code is, and how long it took to make it, if it was made now."""
    length = (answer.get("sizes") or {}).get("code", 0)
    took = (answer.get("time_us") or {}).get("compile", 0)
    if not length:
        return None
    return f"{size(length)}, compiled in {microseconds(took)}" if took else size(length)


def _shadow(compared: Mapping[str, Any] | None) -> str | None:
    if not compared:
        return None
    if compared.get("equal"):
        return "compiled code does the same"
    said = str(compared.get("difference", ""))
    return said if compared.get("equal") is None else f"DIFFERENT: {said}"


def hexadecimal(content: bytes | str | None, limit: int = 64) -> str | None:
    """Bytes for people: hex, cut after `limit` bytes."""
    if not content:
        return None
    shown = content.hex() if isinstance(content, bytes) else content
    return shown if len(shown) <= 2 * limit else f"{shown[: 2 * limit]}… ({len(shown) // 2} bytes)"
