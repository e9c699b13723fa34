"""An update that is cancelled at whatever moment releases everything, and the next one works."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from device.api import ExecRequest
from device.errors import Unavailable
from device.execution import ShortRunPool
from device.server.updates import Updates
from tests.unit.test_power_cuts import AFTER, BASE, BEFORE, NEW, OLD, ONE, Device, Moments, Scene, never

TURNS = range(30)
"""Turns of the event loop before the end comes; blocks take one each."""

DELAYS = [random.Random(5).uniform(0, 0.02) for _ in range(15)]


@pytest.fixture
async def device(tmp_path: Path) -> AsyncIterator[Device]:
    pool = ShortRunPool()
    folder = Scene(tmp_path, ONE, pool).folder()
    made = Device(folder, ONE, pool, Moments(None), never)
    yield made
    await made.executor.stop()
    made.state.close()
    pool.close()


def updates_of(device: Device) -> Updates:
    return Updates(device.installer, device.log, device.clock)


async def released(device: Device, updates: Updates) -> None:
    """Everything is free, whatever is in the slot is whole and runs, and the update can be had."""
    assert not updates._busy
    assert updates.status().state == "idle"
    stored = device.slots.get(0)
    assert stored is not None
    found = (stored.image, device.slots.sequence_number)
    assert found in ((OLD, BEFORE), (NEW, AFTER))
    assert (updates.status().result == "OK") == (found == (NEW, AFTER))
    async with asyncio.timeout(10):
        answer = await device.executor.execute(0, ExecRequest(), "test")
        assert answer.fault is None
        updates._started.clear()
        updates.start(f"{BASE}/m", "test")
        assert updates._task is not None
        await updates._task
    assert updates.status().result == ("OK" if found == (OLD, BEFORE) else "ROLLBACK")
    assert device.slots.sequence_number == AFTER


@pytest.mark.parametrize("turns", TURNS)
async def test_after_so_many_turns(device: Device, turns: int) -> None:
    updates = updates_of(device)
    updates.start(f"{BASE}/m", "test")
    for _ in range(turns):
        await asyncio.sleep(0)
    await updates.stop()
    await released(device, updates)


@pytest.mark.parametrize("delay", DELAYS, ids=lambda delay: f"{delay * 1000:.1f} ms")
async def test_after_so_long(device: Device, delay: float) -> None:
    updates = updates_of(device)
    updates.start(f"{BASE}/m", "test")
    await asyncio.sleep(delay)
    await updates.stop()
    await released(device, updates)


@pytest.mark.parametrize("turns", range(12))
async def test_one_that_gives_way_after_so_many_turns(device: Device, turns: int) -> None:
    """A fetch gives way to a posted manifest at any moment, or the post is told to wait."""
    updates = updates_of(device)
    updates.start(f"{BASE}/m", "one")
    for _ in range(turns):
        await asyncio.sleep(0)
    if device.installer.authenticated:
        with pytest.raises(Unavailable):
            updates.post(ONE.files[f"{BASE}/m"], "another")
    else:
        updates.post(ONE.files[f"{BASE}/m"], "another")
    assert updates._task is not None
    await updates._task
    assert updates.status().result == "OK"
    assert device.slots.sequence_number == AFTER
