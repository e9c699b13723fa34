"""All layers."""

from __future__ import annotations

from tests.property.differential.layers import accesses, budgets, calls, edges, large, sequences, single
from tests.property.differential.layers.trial import Layer


def layers(seed: str) -> dict[str, Layer]:
    """By name. `seed` is that of the layers that are drawn; the others are the same for every seed."""
    found = (
        Layer("single", single.FAMILIES),
        Layer("accesses", accesses.FAMILIES),
        Layer("sequences", sequences.families(seed)),
        Layer("calls", calls.families(seed), watched=True),
        Layer("edges", edges.FAMILIES),
        Layer("large", large.families(seed), watched=True),
        Layer("budgets", budgets.FAMILIES),
    )
    return {layer.name: layer for layer in found}
