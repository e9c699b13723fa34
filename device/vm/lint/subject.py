"""A program as the rows of the lint see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from device.errors import LoadError
from device.vm import elf
from device.vm.elf_format import MAGIC, ElfObject
from device.vm.helpers import HELPERS, Helper
from device.vm.isa import SLOT_SIZE
from device.vm.lint.halves import Halves
from device.vm.profiles import FEMTO, adapt
from device.vm.program import Program
from device.vm.verifier import Report, verify
from device.vm.verifier.checks import HelperRules, check_instructions
from device.vm.verifier.code import Code, Insn, decode
from device.vm.verifier.findings import Findings
from device.vm.verifier.flow import Flow, analyse


@dataclass(frozen=True, slots=True)
class Subject:
    """`program` is what is deployed, `code` and `flow` are of its text, `obj` is what was packaged."""

    program: Program
    code: Code
    flow: Flow
    report: Report
    halves: Halves
    obj: ElfObject | None

    @classmethod
    def of(cls, program: Program, obj: bytes | None = None, report: Report | None = None) -> Subject:
        """Take a program apart, whatever it is. `obj` is the object it was packaged from, if it was one."""
        findings = Findings()
        adapted = adapt(program, FEMTO)
        code = decode(adapted, findings)
        check_instructions(code, HelperRules(HELPERS, None, ""), findings)
        flow = analyse(code)
        starts = [flow.blocks[number].start for number in flow.called]
        return cls(
            program,
            code,
            flow,
            report or verify(adapted, helpers=HELPERS),
            Halves(adapted, starts),
            _parsed(obj),
        )

    def slots_of(self, applies: Callable[[Insn], bool]) -> list[int] | None:
        """The slots of the instructions to which something applies; None when there is none."""
        return [insn.pc for insn in self.code.insns if applies(insn)] or None

    def calls_of(self, *helpers: int) -> list[int] | None:
        """The slots that call one of these helpers; None when there is none."""
        return sorted(pc for helper in helpers for pc in self.code.helpers.get(helper, ())) or None

    def helper_at(self, insn: Insn) -> Helper | None:
        """The helper that an instruction calls, by the ids of helpers.md section 2."""
        return HELPERS.get(insn.imm & 0xFFFFFFFF)

    def opcode(self, pc: int) -> int:
        """The opcode as it stands in the image."""
        return self.program.text[pc * SLOT_SIZE]

    @property
    def local_calls(self) -> Mapping[int, int]:
        """Slot of every local call → slot of its target."""
        return self.code.calls


def _parsed(obj: bytes | None) -> ElfObject | None:
    if obj is None or not obj.startswith(MAGIC):
        return None
    try:
        return elf.parse(obj)
    except LoadError:
        return None
