"""A case: all that a run depends on, as one value."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from device.vm.entry import function_table
from device.vm.isa import Form, walk
from device.vm.memory import FRAME_SIZE
from device.vm.program import Layout, Program, Rules


@dataclass(frozen=True, slots=True)
class Setup:
    """What a run is given: memory with rights, argument registers, helpers that it may call, rules.

    r1 and r2 are those of a device (context and its length) where they are None. `allowed` None: all helpers.
    `branch_limit`, `zero_divisors` and `renews` are those of Rules and Run. `packet`: a view, which is
    read-only, and a buffer, as packet hooks have them.
    """

    context: bytes = b""
    context_writable: bool = True
    extra: tuple[tuple[bytes, bool], ...] = ()
    frame_size: int = FRAME_SIZE
    r1: int | None = None
    r2: int | None = None
    allowed: tuple[int, ...] | None = None
    branch_limit: int | None = None
    zero_divisors: bool = False
    renews: bool = False
    packet: tuple[bytes, bytes] | None = None

    @property
    def rules(self) -> Rules:
        """The rules of the run."""
        return Rules(self.branch_limit, self.zero_divisors)


@dataclass(frozen=True, slots=True)
class Case:
    """A program with its sections, one run's setup, and the budget in instructions."""

    text: bytes
    setup: Setup = Setup()
    budget: int = 4000
    entry: int = 0
    rodata: bytes = b""
    data: bytes = b""
    bss_size: int = 0

    def program(self) -> Program:
        """The linked program; data-relative loads make it one with a header."""
        instructions = (instruction for _, instruction in walk(self.text) if instruction is not None)
        relative = any(one.op.form is Form.WIDE_RELATIVE for one in instructions)
        content = b"".join(
            (
                self.text,
                self.rodata,
                self.data,
                bytes(self.bss_size),
                self.entry.to_bytes(4, "little", signed=True),
            )
        )
        return Program(
            text=self.text,
            layout=Layout.EXTENDED if relative else Layout.TEXT,
            digest=hashlib.sha256(content).digest(),
            entry=self.entry,
            rodata=self.rodata,
            data=self.data,
            bss_size=self.bss_size,
            functions=function_table(self.text, {self.entry: None}),
        )
