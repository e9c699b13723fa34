"""Homes: what shares one, what must not, and what happens where there are too few."""

from __future__ import annotations

from functools import partial
from typing import Final

import pytest

from device.jit.engine import JitEngine
from device.jit.lowering import function, webs
from device.jit.lowering.looked import Half, Home, Homes
from device.jit.lowering.webs import CORE, Allocation
from device.vm.switch import SwitchEngine
from tests.unit.test_jit_engine import compiled, program, run

MANY: Final = "\n".join(
    [
        *(f"ldxdw r{n}, [r1+{8 * (n - 2)}]" for n in range(2, 10)),
        "mov r0, 3",
        "again:",
        *(f"add r{n}, r{n - 1}\nxor r{n - 1}, r{n}\nlsh r{n}, 7" for n in range(3, 10)),
        "add r0, -1",
        "jne r0, 0, again",
        *(f"xor r0, r{n}" for n in range(2, 10)),
        "exit",
    ]
)
"""Sixteen halves that live together, and more."""

CONTEXT: Final = bytes(range(1, 65))


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Allocation]:
    """What allocate() gave."""
    found: list[Allocation] = []

    def allocate(*args: object, **named: object) -> Allocation:
        found.append(webs.allocate(*args, **named))  # type: ignore[arg-type]  # handed on as they are
        return found[-1]

    monkeypatch.setattr(function, "allocate", allocate)
    return found


def same(source: str, context: bytes = CONTEXT) -> None:
    linked = program(source)
    for budget in (2_000_000, 5, 11, 17, 23, 31, 47):
        found = run(JitEngine(), linked, context, budget=budget)
        assert found == run(SwitchEngine(), linked, context, budget=budget), budget


def test_what_core_registers_do_not_hold_is_in_singles(given: list[Allocation]) -> None:
    same(MANY)
    assert all(allocation.singles > 0 for allocation in given)
    assert all(allocation.cores <= {int(register) for register in CORE} for allocation in given)


def test_with_too_few_singles_each_half_has_one_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program is known that needs it; it has to be right all the same."""
    homes: list[dict[Half, set[Home]]] = []
    real = webs._Webs.settle

    def settle(self: webs._Webs, colours: dict[int, Home]) -> list[Homes]:
        starts = real(self, colours)
        seen: dict[Half, set[Home]] = {}
        for steps in self._looked:
            for at in steps:
                for half, home in {**at.homes, **at.homes_behind}.items():
                    seen.setdefault(half, set()).add(home)
        homes.append(seen)
        return starts

    monkeypatch.setattr(webs._Webs, "settle", settle)
    monkeypatch.setattr(function, "allocate", partial(webs.allocate, singles=0))
    same(MANY)
    assert homes
    assert all(len(found) == 1 for seen in homes for found in seen.values())


def test_moves_whose_sides_may_share_a_home_are_no_code() -> None:
    plain = "ldxdw r2, [r1]\nldxdw r3, [r1+8]\nadd r2, r3\nmov r0, r2\nexit"
    moved = (
        "ldxdw r2, [r1]\nldxdw r3, [r1+8]\nmov r4, r2\nmov r5, r4\nadd r5, r3\nmov r6, r5\nmov r0, r6\nexit"
    )
    assert size(moved) == size(plain)
    same(moved)


def test_a_copy_of_a_copy_lives_on_when_the_first_one_changes() -> None:
    changes = "add r2, 1\nadd r3, 2\nmov r0, r2\nxor r0, r3\nxor r0, r4"
    same(f"ldxdw r2, [r1]\nmov r3, r2\nmov r4, r3\n{changes}\nexit")


@pytest.mark.parametrize("operation", ["add", "sub", "xor", "mul", "lsh", "rsh", "arsh", "or", "and"])
@pytest.mark.parametrize("kept", ["r2", "r3", ""])
def test_a_result_takes_no_register_that_is_still_read(operation: str, kept: str) -> None:
    keep = f"xor r0, {kept}\n" if kept else ""
    same(f"ldxdw r2, [r1]\nldxdw r3, [r1+8]\nmov r4, r2\n{operation} r4, r3\nmov r0, r4\n{keep}exit")


def test_budgets_end_at_a_block_whose_first_step_was_moved() -> None:
    """The shift goes down to the sum, behind what stands first in the text then."""
    source = "ldxw r2, [r1]\nja on\non: lsh32 r2, 3\nmov32 r4, 5\nadd32 r4, 1\nxor32 r4, r2\nmov r0, r4\nexit"
    linked = program(source)
    for budget in range(12):
        found = run(JitEngine(), linked, CONTEXT, budget=budget)
        assert found == run(SwitchEngine(), linked, CONTEXT, budget=budget), budget


def test_constants_are_kept_in_front_of_the_loop_that_loads_them() -> None:
    body = "mul32 r0, 0x19660d\nadd32 r0, 0x3c6ef35f\nadd32 r2, 1"
    loop = f"mov32 r2, 0\nagain: {body}\njne32 r2, 100, again\nexit"
    linked = program(loop)
    engine = JitEngine()
    assert run(engine, linked) == run(SwitchEngine(), linked)
    code = compiled(engine, linked)[0]
    [(start, end)] = code.loops
    assert end - start <= 12  # two operations, the counter and its comparison, and no constant
    same(loop)


@pytest.mark.parametrize("offset", [4084, 4091, 4092, 4095])
@pytest.mark.parametrize("access", ["ldxdw r3, [r1+{}]", "stxdw [r1+{}], r2", "lock fetch add [r1+{}], r3"])
def test_both_words_of_an_access_are_in_reach_of_the_constant_it_goes_by(access: str, offset: int) -> None:
    """The address of the context is kept for the loop; 4095 is the most that an access can add to it."""
    body = f"ldxw r5, [r1]\nxor r0, r5\n{access.format(offset)}\nxor r0, r3"
    same(f"mov r4, 0\nagain: {body}\nadd r4, 1\njlt r4, 4, again\nexit", bytes(range(256)) * 17)


def size(source: str) -> int:
    engine, linked = JitEngine(), program(source)
    run(engine, linked, CONTEXT)
    return compiled(engine, linked, CONTEXT)[0].code.instructions_size
