"""Programs from assembler text, and what the verifier says about them, in short."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from device.vm.asm import assemble
from device.vm.program import Layout, Program
from device.vm.verifier import Report, verify

KNOWN = {0x01: "bpf_printf", 0x13: "bpf_fetch_global", 0x61: "bpf_ztimer_periodic_wakeup"}


def program(text: str | bytes, **fields: Any) -> Program:
    """A program from assembler text."""
    raw = assemble(text) if isinstance(text, str) else text
    return Program(raw, **{"layout": Layout.TEXT, "digest": b"\xab\xcd\xef\x01" * 8, **fields})


def judge(
    text: str | bytes,
    *,
    helpers: Mapping[int, str] | Collection[int] = KNOWN,
    allowed: Collection[int] | None = None,
    budget: int = 2_000_000,
    frame_size: int = 512,
    no_return: bool = False,
    **fields: Any,
) -> Report:
    return verify(
        program(text, **fields),
        helpers=helpers,
        allowed=allowed,
        budget=budget,
        frame_size=frame_size,
        no_return=no_return,
    )


def found(report: Report) -> list[str]:
    """`severity id #insn what` of every finding."""
    return [f"{finding.severity} {finding.id} #{finding.insn} {finding.what}" for finding in report.findings]


CHAIN = "\n".join(f"f{n}: call local f{n + 1}\nexit" for n in range(8)) + "\nf8: mov r0, 0\nexit"
"""Nine functions, each of which calls the next."""
