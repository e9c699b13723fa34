"""The lint: a program for every row, and one that the row has nothing to say about."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from device.vm import loader
from device.vm.asm import assemble
from device.vm.lint import DEVIATIONS, Remark, lint
from device.vm.profiles import PROFILES
from device.vm.program import Layout, Program
from tests.unit.lint_cases import CASES, Case
from tests.unit.verifying import program

OBJECTS = Path(__file__).parents[2] / "examples" / "objects"


def remarks(text: str, profile: str, fields: dict[str, Any]) -> dict[str, Remark]:
    if text.startswith("object "):
        content = (OBJECTS / f"{text.split()[1]}.o").read_bytes()
        return {found.deviation.id: found for found in lint(loader.load(content), [profile], obj=content)}
    return {found.deviation.id: found for found in lint(program(text, **fields), [profile])}


def test_every_row_has_a_case_and_an_id_of_its_own() -> None:
    ids = [row.id for row in DEVIATIONS]
    assert sorted(ids) == sorted(CASES)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("row", DEVIATIONS, ids=lambda row: row.id)
def test_rows_are_complete(row: Any) -> None:
    assert row.there
    assert row.hint
    assert row.profiles
    assert set(row.profiles) <= set(PROFILES)
    assert CASES[row.id].profile in row.profiles


@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=list(CASES))
def test_a_program_that_trips_it_and_one_that_does_not(name: str, case: Case) -> None:
    found = remarks(case.trips, case.profile, case.fields)
    assert name in found
    assert found[name].profiles == (case.profile,)
    assert found[name].message.startswith(f"{case.profile}: {found[name].deviation.there}")
    assert name not in remarks(case.clean, case.profile, case.clean_fields)


@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=list(CASES))
def test_nothing_is_said_about_other_profiles(name: str, case: Case) -> None:
    row = next(row for row in DEVIATIONS if row.id == name)
    for profile in set(PROFILES) - set(row.profiles):
        assert name not in remarks(case.trips, profile, case.fields)


def test_several_profiles_share_a_remark() -> None:
    text = "mov r0, 5\nneg r0\nneg r0\nexit"
    found = {remark.deviation.id: remark for remark in lint(program(text), ["riot2020", "femto", "ubpf"])}
    remark = found["neg-87"]
    assert (remark.profiles, remark.insns) == (("femto", "riot2020"), (1, 2))
    assert remark.message == (
        "femto, riot2020: neg is encoded as 8f, 87 is ILLEGAL_INSTRUCTION there"
        " at insn #1 (offset 0x8), +1 more"
    )
    shown = remark.to_map()
    assert (shown["severity"], shown["insns"], shown["count"], shown["offset"]) == ("W", [1, 2], 2, 8)
    json.dumps(shown)


def test_a_plain_program_is_fine_everywhere() -> None:
    assert lint(program("mov r0, 7\nexit"), ["riot2020"]) == ()
    assert lint(program("mov r0, 7\nexit", layout=Layout.FEMTO), ["ubpf", "femto"]) == ()


TWO_LOOPS = "mov r0, 0\nx: add r0, 1\njne r0, {0}, x\nmov r0, 0\ny: add r0, 1\njne r0, {0}, y\nexit"
BRANCHES: list[tuple[str, str, list[int] | None]] = [
    ("no loop", "jeq r1, 0, +0\nmov r0, 0\nexit", None),
    ("200 rounds", "mov r0, 0\nx: add r0, 1\njne r0, 201, x\nexit", None),
    ("201 rounds", "mov r0, 0\nx: add r0, 1\njne r0, 202, x\nexit", [2]),
    ("two loops of 150", TWO_LOOPS.format(151), [2, 5]),
    ("two loops of 90", TWO_LOOPS.format(91), None),
    ("unknown rounds", "x: add r1, 1\nlock add [r10-8], r1\nmov r0, 0\njgt r1, r2, x\nexit", [3]),
    ("wraps round", "mov r0, 1\nx: sub r0, 1\njge r0, 0, x\nexit", [2]),
    ("signed down", "mov r0, 5\nx: sub r0, 1\njsgt r0, -100, x\nexit", None),
    ("32 bits wrap", "mov32 r0, -2\nx: add32 r0, 1\njne32 r0, 5, x\nexit", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "slots"), [row[1:] for row in BRANCHES], ids=[row[0] for row in BRANCHES])
def test_branch_budget(text: str, slots: list[int] | None) -> None:
    found = remarks(text, "femto", {}).get("branch-budget")
    assert (None if found is None else list(found.insns)) == slots


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_raised_whatever_the_program(seed: int) -> None:
    """Random bytes with known opcodes among them, as any layout, with any entry."""
    chance = random.Random(seed)
    opcodes = assemble("mov r0, r1\ncall 1\ncall local +0\nja -1\njne r1, 2, -2\nlddw r1, 5\nexit")[::8]
    slots = [
        bytes([chance.choice(opcodes)]) + chance.randbytes(7)
        if chance.random() < 0.8
        else chance.randbytes(8)
        for _ in range(chance.randrange(40))
    ]
    text = b"".join(slots) + chance.randbytes(chance.choice([0, 0, 3]))
    made = Program(
        text, chance.choice(list(Layout)), b"", entry=chance.choice([0, 0, 3, -1, 99]), rodata=b"abc"
    )
    for remark in lint(made, list(PROFILES), obj=chance.randbytes(80)):
        json.dumps(remark.to_map())


def test_a_large_program_of_overlapping_functions_is_quick_enough_to_be_judged() -> None:
    count = 3000
    text = "\n".join(f"call local +{count}" for _ in range(count)) + "\nmov r0, 0" * count + "\nexit"
    assert lint(program(text), ["ubpf"])
