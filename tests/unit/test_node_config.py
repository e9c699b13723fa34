"""The settings of a device: what they say, and which of them nothing can start with."""

from __future__ import annotations

import pytest

from device.errors import ConfigError
from device.execution.grants import SlotRules
from device.node import LIMIT_HELP, NodeConfig, NodeLimits, limits_of


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param([], NodeLimits(), id="none"),
        pytest.param(["ram=0"], NodeLimits(ram=0), id="a number"),
        pytest.param(["slot-size=64", "ram=9"], NodeLimits(slot_size=64, ram=9), id="two, one with a hyphen"),
        pytest.param(["ram=1", "ram=2"], NodeLimits(ram=2), id="the last counts"),
        pytest.param(
            ["allowed_hosts=a,b", "allowed_hosts=c"],
            NodeLimits(allowed_hosts=("a", "b", "c")),
            id="hosts add",
        ),
        pytest.param(
            ["branches@2=400", "no-return@2=1", "writable_rodata@0=0", "writable_rodata=1"],
            NodeLimits(
                writable_rodata=1,
                of_slots={
                    2: SlotRules(branches=400, no_return=True),
                    0: SlotRules(writable_rodata=False),
                },
            ),
            id="rules of slots",
        ),
    ],
)
def test_limits(texts: list[str], expected: NodeLimits) -> None:
    assert limits_of(texts) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ram",
        "ram=",
        "ram=-1",
        "ram=1e3",
        "ram=65537",
        "ram=\u0663",
        "nothing=1",
        "block=63",
        "slot_size=63",
        "no_return=2",
        "no_return@1=2",
        "no_return@=1",
        "no_return@-1=1",
        "no_return@1000=1",
        "no_return@1",
        "ram@1=100",
        "@1=1",
    ],
)
def test_no_limits(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        limits_of([text])
    assert refused.value.where == "--limit"


def test_a_rule_of_a_slot_that_is_not_there() -> None:
    limits = limits_of(["branches@4=1"])
    assert NodeConfig(limits=limits, slots=5).limits == limits
    with pytest.raises(ConfigError, match="from 0 to 3, not 4"):
        NodeConfig(limits=limits, slots=4)


@pytest.mark.parametrize(
    "name", [name for name in NodeLimits.__slots__ if name not in ("allowed_hosts", "of_slots")]
)
def test_every_limit_is_in_the_help(name: str) -> None:
    assert f"  {name} " in LIMIT_HELP


@pytest.mark.parametrize(
    ("texts", "fine"),
    [
        pytest.param(["budget_default=100", "budget_max=10"], False, id="above"),
        pytest.param(["budget_max=10", "budget_default=11"], False, id="one above, the other way round"),
        pytest.param(["budget_max=1999999"], False, id="maximum below the usual default"),
        pytest.param(["budget_max=10", "budget_default=10"], True, id="equal"),
        pytest.param(["budget_default=4294967295"], True, id="the greatest"),
        pytest.param(["store_default=300"], False, id="a store above the usual maximum"),
        pytest.param(["store_max=15"], False, id="the usual store above a maximum"),
        pytest.param(["store_default=300", "store_max=300"], True, id="a store of the maximum"),
    ],
)
def test_a_default_above_its_maximum(texts: list[str], fine: bool) -> None:
    limits = limits_of(texts)
    if fine:
        assert NodeConfig(limits=limits).limits == limits
    else:
        with pytest.raises(ConfigError, match=r"above (budget|store)_max") as refused:
            NodeConfig(limits=limits)
        assert (refused.value.where, refused.value.hint) == ("--limit", "set both")


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("profiles=riot", ("riot",)),
        ("profiles=ietf, riot", ("ietf", "riot")),
        ("profiles=riot,riot", ("riot",)),
        ("profiles=", None),
        ("profiles=riot,other", None),
        ("profiles=ubpf", None),
    ],
)
def test_formats_of_updates(text: str, taken: tuple[str, ...] | None) -> None:
    if taken is not None:
        assert limits_of([text]).profiles == taken
    else:
        with pytest.raises(ConfigError, match="no profiles of updates"):
            limits_of([text])


@pytest.mark.parametrize(("stack", "fine"), [(512, True), (256, True), (32, True), (250, False)])
def test_the_largest_stack_is_a_stack(stack: int, fine: bool) -> None:
    limits = limits_of([f"stack_max={stack}"])
    if fine:
        assert NodeConfig(limits=limits).limits == limits
    else:
        with pytest.raises(ConfigError, match="no multiple of 8"):
            NodeConfig(limits=limits)
