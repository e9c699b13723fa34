"""All layers."""

from __future__ import annotations

from typing import Final

from tests.property.differential.layers import (
    accesses,
    budgets,
    calls,
    edges,
    large,
    leaves,
    sequences,
    single,
)
from tests.property.differential.layers.strolls import stroll
from tests.property.differential.layers.trial import Drawn, Layer

STROLLS: Final = 80_000


def layers(seed: str) -> dict[str, Layer]:
    """By name. `seed` is that of the layers that are drawn; the others are the same for every seed."""
    found = (
        Layer("single", single.FAMILIES),
        Layer("accesses", accesses.FAMILIES),
        Layer("sequences", sequences.families(seed)),
        Layer("calls", calls.families(seed), watched=True),
        Layer("leaves", leaves.families(seed), watched=True),
        Layer("edges", edges.FAMILIES),
        Layer("strolls", (Drawn(stroll, STROLLS, seed),)),
        Layer("large", large.families(seed), watched=True),
        Layer("budgets", budgets.FAMILIES),
    )
    return {layer.name: layer for layer in found}
