"""On which real virtual machine a program would misbehave, and why (programs.md section 7).

    subject.py       a program taken apart: instructions, flow, object
      halves.py      which halves of registers are read, and whether values exceed 32 bits
    deviation.py     a row of the table: id, profiles, where it applies, what happens there, what to do
    instructions.py  rows about single instructions
    calls.py         rows about helpers and local calls
    images.py        rows about layouts, sections and relocations
    lint.py          the table, and all rows applied to a program

Nothing here refuses a program: it runs on this fleet, under every profile, by the rules of `profiles.py`.
"""

from device.vm.lint.deviation import Deviation, Remark
from device.vm.lint.lint import DEVIATIONS, lint

__all__ = ["DEVIATIONS", "Deviation", "Remark", "lint"]
