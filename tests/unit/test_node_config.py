"""The settings of a device: what they say, and which of them nothing can start with."""

from __future__ import annotations

import pytest

from device.errors import ConfigError
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
    ],
)
def test_no_limits(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        limits_of([text])
    assert refused.value.where == "--limit"


@pytest.mark.parametrize("name", [name for name in NodeLimits.__slots__ if name != "allowed_hosts"])
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
    ],
)
def test_a_default_above_its_maximum(texts: list[str], fine: bool) -> None:
    limits = limits_of(texts)
    if fine:
        assert NodeConfig(limits=limits).limits == limits
    else:
        with pytest.raises(ConfigError, match="above budget_max") as refused:
            NodeConfig(limits=limits)
        assert (refused.value.where, refused.value.hint) == ("--limit", "set both")
