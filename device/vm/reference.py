"""The documentation page docs/reference.md, written from the tables that the machine itself reads.

python -m device.vm.reference > docs/reference.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from device.vm.advice import ADVICE
from device.vm.helpers import HELPERS
from device.vm.isa import TABLE, Op
from device.vm.lint import DEVIATIONS
from device.vm.verifier import RULES

_HEAD: Final = """\
# Reference

Written from the tables in the code by `python -m device.vm.reference > docs/reference.md`; a test compares.

"""


def reference() -> str:
    """The page, in Markdown."""
    return _HEAD + "\n".join(_sections())


def _sections() -> Iterator[str]:
    yield _section(
        "Instructions",
        "RFC 9669, as `client dump` shows it and as sources ending in `.s` are written (`device/vm/isa.py`)."
        " *Field* is what tells rows of one opcode apart, *level* the `-mcpu` from which clang emits it.",
        ("mnemonic", "operands", "opcode", "field", "bits", "group", "level"),
        map(_instruction, TABLE),
    )
    yield _section(
        "Helpers",
        "What programs can call (`device/vm/helpers/`), by the prototypes of the originals; `<bpf/helpers.h>`"
        " says `int` where the result is a number and the prototype `void` or `void *`. *Pointers* says what"
        " has to be readable (R) or writable (W) before anything happens; else the run ends `ILLEGAL_MEM`.",
        ("id", "prototype", "pointers", "what it does; result"),
        (
            (f"0x{number:02x}", f"`{helper.prototype}`", helper.pointers, helper.summary)
            for number, helper in HELPERS.items()
        ),
    )
    yield _section(
        "Findings",
        "What the verifier says of a program (`device/vm/verifier/`). *Originals* is the fault with which"
        " Femto-Containers answers the same program.",
        ("id", "severity", "originals", "expected", "what to try"),
        (
            (name, rule.severity.value, rule.fault.name if rule.fault else "", rule.expected, rule.hint)
            for name, rule in RULES.items()
        ),
    )
    yield _section(
        "Faults",
        "How runs end that do not end with exit (`device/vm/faults.py`, `device/vm/advice.py`); client and"
        " log say more where the address tells more.",
        ("name", "number", "meaning", "what to try"),
        ((code.name, str(int(code)), row.meaning, row.hint) for code, row in ADVICE.items()),
    )
    yield _section(
        "Other machines",
        "Where a program that runs here would misbehave (`device/vm/lint/`): see `client verify --profile`.",
        ("id", "profiles", "what happens there", "what to do"),
        ((row.id, " ".join(row.profiles), row.there, row.hint) for row in DEVIATIONS),
    )


def _instruction(op: Op) -> tuple[str, ...]:
    selector = op.form.selector
    return (
        f"`{op.mnemonic}`",
        f"`{', '.join(op.form.operands)}`" if op.form.operands else "",
        f"0x{op.opcode:02x}",
        f"{selector} = {op.select}" if selector else "",
        str(op.width or ""),
        op.group.value,
        f"v{op.cpu}",
    )


def _section(title: str, text: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"## {title}", "", text, "", _row(columns), _row(["---"] * len(columns))]
    return "\n".join([*lines, *map(_row, rows)]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(reference())
