"""A translated function is found only when everything that it calls is there: runs go on meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from device.vm.asm import assemble
from device.vm.decode import decode_step
from device.vm.interpreter.translation import Translation
from device.vm.interpreter.units import translate
from device.vm.isa import REGISTERS, SLOT_SIZE
from device.vm.memory import DATA_BASE, FRAME_SIZE, MAX_FRAMES


def test_callers_are_not_found_before_their_callees(monkeypatch: pytest.MonkeyPatch) -> None:
    text = assemble(
        "call local one\nexit\n"
        "one: call local two\nexit\n"
        "two: ldxb r0, [r10-1]\nexit\n"
    )  # fmt: skip
    units = Translation(
        lambda pc: decode_step(text, pc), len(text) // SLOT_SIZE, 0, DATA_BASE, FRAME_SIZE, MAX_FRAMES
    )
    entry = units.entry_at(0, [0] * REGISTERS)
    seen: list[bool] = []

    def watched(*arguments: Any) -> Any:
        seen.append(units.find(entry) is None)
        return translate(*arguments)

    monkeypatch.setattr("device.vm.interpreter.translation.translate", watched)
    assert units.make(entry)
    assert seen == [True] * 3
    assert units.find(entry) is not None
