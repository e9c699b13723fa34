"""Several operators deploy at once: only what was signed is installed, and each is told the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from client.connection import Connection
from client.deploy import Deployed, deploy
from client.directory import Target
from client.image import prepare
from client.keys import load_signer
from client.release import Order, Publisher
from client.results import Outcome
from device.storage.slots import StoredImage
from tests.device_bench import OBJECTS
from tests.integration.update_site import site

PROGRAMS = ("hello", "add", "counter", "fletcher32")


@dataclass
class Bed:
    """A device, operators who know nothing of each other, and all that was ever committed."""

    target: Target
    operators: list[Publisher]
    committed: list[tuple[int, bytes, int]] = field(default_factory=list)

    async def at_once(self, slots: list[int]) -> list[Outcome[Deployed]]:
        """Every operator deploys a program of their own, to a slot each."""
        orders = [
            Order(prepare(OBJECTS / f"{name}.o"), slot=slot)
            for name, slot in zip(PROGRAMS, slots, strict=True)
        ]
        found = await asyncio.gather(
            *(deploy(who, order, [self.target]) for who, order in zip(self.operators, orders, strict=True))
        )
        return [outcome for (outcome,) in found]

    def check(self, outcomes: list[Outcome[Deployed]]) -> None:
        """Numbers only rise, and every claim was committed, as it was signed."""
        numbers = [number for _, _, number in self.committed]
        assert numbers == sorted(set(numbers))
        for outcome in outcomes:
            if outcome.ok:
                signed = outcome.value.release
                assert (signed.slot, signed.image, signed.sequence_number) in self.committed


@pytest.fixture(params=["one client", "a client each"])
async def bed(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bed]:
    monkeypatch.setattr("device.server.updates.PER_SOURCE_S", 0.0)
    async with site(tmp_path) as s, AsyncExitStack() as stack:
        several = request.param == "a client each"
        connections = [
            await stack.enter_async_context(Connection()) for _ in (PROGRAMS if several else "1")
        ] * (1 if several else len(PROGRAMS))
        signer = load_signer(tmp_path / "op.pem")
        made = Bed(
            Target("bench", s.bench.url, "native", 5, s.server),
            [Publisher(connection, s.server, signer) for connection in connections],
        )
        commit = s.bench.node.slots.commit

        def noting(changes: Mapping[int, StoredImage], number: int) -> None:
            commit(changes, number)
            made.committed.extend((slot, image.image, number) for slot, image in changes.items())

        monkeypatch.setattr(s.bench.node.slots, "commit", noting)
        yield made


async def test_to_slots_of_their_own_all_succeed(bed: Bed) -> None:
    outcomes = await bed.at_once([0, 1, 2, 3])
    assert [outcome.error and str(outcome.error) for outcome in outcomes] == [None] * 4
    bed.check(outcomes)
    assert len(bed.committed) == 4


async def test_to_one_slot_everybody_is_told_the_truth(bed: Bed) -> None:
    outcomes = await bed.at_once([2, 2, 2, 2])
    bed.check(outcomes)
    assert any(outcome.ok for outcome in outcomes)
    for outcome in outcomes:
        assert outcome.error is None or outcome.error.code == "overtaken"
    last = bed.committed[-1]
    claims = [
        (outcome.value.release.slot, outcome.value.release.image, outcome.value.release.sequence_number)
        for outcome in outcomes
        if outcome.ok
    ]
    assert last in claims
