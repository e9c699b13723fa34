"""The set-up of a run: what the program finds when it begins."""

from __future__ import annotations

from typing import Any

import pytest

from device.errors import TooLarge
from device.vm.helpers import HELPERS, Services
from device.vm.memory import CONTEXT_BASE, EXTRA_BASE, EXTRA_STRIDE, MAX_EXTRA_REGIONS, MAX_REGION_BYTES
from device.vm.profiles import PROFILES
from device.vm.program import Control, Outcome
from device.vm.setup import check_sizes, set_up
from device.vm.switch import SwitchEngine
from tests.unit.helper_bench import DictStore, FixedClock, Printed
from tests.unit.verifying import program

STORE = 0x10
"""bpf_store_local(key, value)."""


def outcome(text: str, *, data: bytearray | None = None, **options: Any) -> Outcome:
    made = program(text)
    services = Services(DictStore(), DictStore(), FixedClock(), Printed(), lambda _text: None)
    run = set_up(made, bytearray() if data is None else data, services, HELPERS, **options)
    return SwitchEngine().run(made, run)


@pytest.mark.parametrize(
    ("text", "context", "r0"),
    [
        ("mov r0, r1\nexit", b"abc", CONTEXT_BASE),
        ("mov r0, r2\nexit", b"abc", 3),
        ("ldxb r0, [r1+1]\nexit", b"abc", ord("b")),
        ("mov r0, r1\nexit", None, 0),
        ("mov r0, r1\nor r0, r2\nexit", b"", 0),
    ],
    ids=["address", "length", "content", "none", "empty"],
)
def test_the_context_is_in_r1_and_r2(text: str, context: bytes | None, r0: int) -> None:
    given = None if context is None else bytearray(context)
    assert outcome(text, context=given).r0 == r0


def test_what_is_written_is_there_afterwards() -> None:
    context, extra, data = bytearray(8), bytearray(8), bytearray(8)
    text = f"stxb [r1], r2\nlddw r3, {EXTRA_BASE + EXTRA_STRIDE}\nstxb [r3], r2\nmov r0, 0\nexit"
    done = outcome(text, context=context, extra=[(bytearray(8), False), (extra, True)], data=data)
    assert (done.fault, context[0], extra[0]) == (None, 8, 8)


READ_ONLY = [(bytearray(8), False)]
WRITE_EXTRA = f"lddw r1, {EXTRA_BASE}\nstxb [r1], r2\nexit"


@pytest.mark.parametrize(
    ("options", "text", "fault"),
    [
        ({"context": bytearray(8), "context_writable": False}, "stxb [r1], r2\nexit", "ILLEGAL_MEM"),
        ({"extra": READ_ONLY}, WRITE_EXTRA, "ILLEGAL_MEM"),
        ({"allowed": ()}, f"call {STORE}\nexit", "HELPER_DENIED"),
        ({"budget": 10}, "loop: ja loop\nexit", "OUT_OF_INSTRUCTIONS"),
    ],
    ids=["context read-only", "region read-only", "helper", "budget"],
)
def test_what_a_run_may_not_do(options: dict[str, Any], text: str, fault: str) -> None:
    done = outcome(text, **options)
    assert done.fault is not None
    assert done.fault.name == fault


def test_it_can_be_stopped() -> None:
    control = Control()
    control.kill()
    done = outcome("loop: ja loop\nexit", control=control)
    assert done.fault is not None
    assert done.fault.name == "KILLED"


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_brings_its_rules(name: str) -> None:
    profile = PROFILES[name]
    made = program("mov r0, 0\nexit")
    services = Services(DictStore(), DictStore(), FixedClock(), Printed(), lambda _text: None)
    assert set_up(made, bytearray(), services, HELPERS, profile=profile).rules == profile.rules


@pytest.mark.parametrize(
    ("context", "regions", "where"),
    [
        (MAX_REGION_BYTES, [MAX_REGION_BYTES] * MAX_EXTRA_REGIONS, None),
        (MAX_REGION_BYTES + 1, [], "context"),
        (0, [0, MAX_REGION_BYTES + 1], "regions[1]"),
        (0, [0] * (MAX_EXTRA_REGIONS + 1), "regions"),
    ],
    ids=["largest", "context", "region", "regions"],
)
def test_sizes(context: int, regions: list[int], where: str | None) -> None:
    found = None
    try:
        check_sizes(bytes(context), [bytes(size) for size in regions])
    except TooLarge as error:
        found = error.where
    assert found == where
