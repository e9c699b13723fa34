"""How an update is told while it runs: `/suit/status` observed over CoAP (suit.md section 11, RFC 7641)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiocoap import Code
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.device_bench import SEVEN, device
from tests.integration.test_device_observe import Observer, observing
from tests.integration.update_site import site


def told(observer: Observer) -> list[tuple[Any, ...]]:
    """What was heard, each thing once: states with their results."""
    heard: list[tuple[Any, ...]] = []
    for status in observer.seen:
        step = (status["state"], status["result"])
        if not heard or heard[-1] != step:
            heard.append(step)
    return heard


STEPS = [("idle", None), ("manifest", None), ("image", None), ("idle", "OK")]


async def test_every_step_and_the_end_are_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(tmp_path) as s, observing(s.bench, "/suit/status") as observer:
        assert observer.first.opt.observe is not None
        installer = s.bench.node._updates._installer
        fetch = installer._fetch

        async def slowly(url: str, limit: int) -> bytes:
            await asyncio.sleep(0.3)
            return await fetch(url, limit)

        monkeypatch.setattr(installer, "_fetch", slowly)
        url = s.publish(SEVEN, 4)
        assert (await s.trigger(url)).code == "2.01"
        await observer.until(lambda status: status["result"] == "OK")
        heard = told(observer)
        assert heard == STEPS
        assert (observer.last["url"], observer.last["sequence_number"]) == (url, 4)
        assert [one["slot"] for one in observer.last["installed"]] == [0]
        times = [status["since_ms"] for status in observer.seen]
        assert times == sorted(times)


async def test_a_refusal_is_heard_with_its_class(tmp_path: Path) -> None:
    async with site(tmp_path) as s, observing(s.bench, "/suit/status") as observer:
        assert (await s.trigger(s.publish(SEVEN, 1, key=Ed25519PrivateKey.generate()))).code == "2.01"
        await observer.until(lambda status: status["result"] is not None)
        last = observer.last
        assert (last["result"], last["riot_code"], last["report_reason"]) == ("BAD_SIGNATURE", -6, 4)
        assert (last["installed"], last["sequence_number"]) == ([], None)


async def test_a_posted_manifest_has_no_url(tmp_path: Path) -> None:
    async with site(tmp_path) as s, observing(s.bench, "/suit/status") as observer:
        manifest = s.root / s.publish(SEVEN, 1).rpartition("/")[2]
        s.bench.node._updates._started.clear()
        reply = await s.bench.ask(Code.POST, "/suit/manifest", payload=manifest.read_bytes())
        assert reply.code == "2.01"
        await observer.until(lambda status: status["result"] == "OK")
        assert {status["url"] for status in observer.seen} == {None}


@pytest.mark.parametrize("kept", [False, True], ids=["in memory", "with a state directory"])
async def test_a_device_says_what_ends_with_its_process(tmp_path: Path, kept: bool) -> None:
    async with device(state=tmp_path / "state" if kept else None) as bench:
        said = [line for line in bench.lines if "replay protection end with this process" in line]
        assert len(said) == (0 if kept else 1)
