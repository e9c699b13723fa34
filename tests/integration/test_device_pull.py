"""Updates that are pulled as µBPF's tools do, and manifests that are posted (suit.md section 11)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from aiocoap import Code, Message
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device.api import UpdateStatus
from device.errors import Unavailable
from device.node import NodeLimits
from device.suit import build
from device.suit.wire import IETF
from tests.device_bench import SEVEN, SPIN, Bench, Reply, device, eventually, example
from tests.integration.update_site import Site, site
from tests.peers import scripted

HELLO = example("hello")
ELF, LOAD_TIME = 0x60, 0x80


async def pull(s: Site, url: str, config: int = 0, helpers: str = "", erase: str = "1", **how: Any) -> Reply:
    """Pull by the name in a URL, with no regard to the rate."""
    s.bench.node._updates._started.clear()
    host, name = url.removeprefix("coap://").split("/")
    text = f"{how.get('host', host)}|{name}|6|{config:x}|{helpers}|{erase}"
    return await s.bench.ask(Code.POST, "/suit/pull", payload=text.encode())


async def post(s: Site, envelope: bytes, **options: Any) -> Reply:
    s.bench.node._updates._started.clear()
    return await s.bench.ask(Code.POST, "/suit/manifest", payload=envelope, **options)


def envelope(s: Site, image: bytes, number: int, **how: Any) -> bytes:
    """A manifest whose image is on the server, taken from there."""
    manifest = s.root / s.publish(image, number, **how).rpartition("/")[2]
    content = manifest.read_bytes()
    manifest.unlink()
    return content


async def test_a_pull_answers_when_the_program_is_there(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        url = s.publish(SEVEN, 1, slot=2)
        reply = await pull(s, url, config=2 << 1)
        name = url.rpartition("/")[2]
        assert reply.code == "2.04"
        assert reply.value == f"SUIT pull request processed successfully for manifest: {name}"
        assert (await s.bench.execute(2)).value["r0_signed"] == 7
        assert (await s.bench.get("/suit/version")).value == "1"
        status = (await s.bench.get("/suit/status")).value
        assert (status["result"], status["url"]) == ("OK", url)


REFUSED: dict[str, tuple[str, dict[str, Any], dict[str, Any], str, str]] = {
    "another slot": ("SLOT_MISMATCH", {"slot": 1}, {}, "4.09", ".ram.1"),
    "another key": ("BAD_SIGNATURE", {"key": Ed25519PrivateKey.generate()}, {}, "4.03", "trusted keys"),
    "another board": ("CLASS_MISMATCH", {"board": "nucleo-f446re"}, {}, "4.12", "manifest is for"),
    "old number": ("ROLLBACK", {"number": 1}, {}, "4.12", "1 is installed"),
    "swapped image": ("IMAGE_DIGEST", {"served": SPIN[:16]}, {}, "4.12", "SHA-256"),
    "short image": ("IMAGE_SIZE", {"served": SEVEN[:8]}, {}, "4.12", "bytes"),
    "program": ("PROGRAM", {"image": SEVEN[:8]}, {}, "4.22", "no-exit"),
    "layout": ("PROGRAM", {}, {"config": ELF}, "4.22", "load-layout"),
    "helper at load time": (
        "PROGRAM",
        {"image": HELLO},
        {"config": ELF | LOAD_TIME},
        "4.22",
        "helper-denied",
    ),
    "no such slot": ("UNKNOWN_COMPONENT", {}, {"config": 5 << 1}, "4.04", "slot 5"),
    "occupied": ("SLOT_BUSY", {}, {"erase": "0"}, "4.09", "occupied"),
    "host": ("URI_FORBIDDEN", {}, {"host": "192.0.2.9"}, "4.03", "192.0.2.9"),
    "syntax": ("malformed", {}, {"erase": "x"}, "4.00", "neither"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refused_pull_says_why_in_a_line_and_changes_nothing(tmp_path: Path, name: str) -> None:
    refused, made, how, code, says = REFUSED[name]
    async with site(tmp_path) as s:
        assert (await pull(s, s.publish(example("counter"), 1), config=ELF)).code == "2.04"
        await s.bench.execute(0)
        before = (await s.bench.get("/slots")).value
        made = dict(made)
        url = s.publish(made.pop("image", SEVEN), made.pop("number", 2), **made)
        reply = await pull(s, url, **how)
        assert reply.code == code
        assert isinstance(reply.value, str)
        assert reply.value.startswith(f"{refused}: ")
        assert says in reply.value
        assert len(reply.message.payload) <= 96
        assert (await s.bench.get("/slots")).value == before
        # The local store goes with the commit, not before: this is the second count.
        assert (await s.bench.execute(0)).value["r0_signed"] == 2
        assert (await pull(s, s.publish(SEVEN, 3))).code == "2.04"


async def test_a_pull_narrows_helpers_at_load_time(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        assert (await pull(s, s.publish(HELLO, 1), config=ELF | LOAD_TIME, helpers="01")).code == "2.04"
        assert (await s.bench.execute(0)).value["output"] == "Hello from eBPF\n"


async def test_a_job_keeps_its_slot_from_a_pull(tmp_path: Path) -> None:
    async with site(tmp_path, limits=NodeLimits(budget_default=2**32 - 1)) as s:
        assert (await pull(s, s.publish(SPIN, 1))).code == "2.04"
        assert (await s.bench.ask(Code.POST, "/jobs", {"slot": 0})).code == "2.01"
        reply = await pull(s, s.publish(SEVEN, 2))
        assert (reply.code, "a job holds" in reply.value) == ("4.09", True)


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[str, list[Message]]]:
    """A host that acknowledges every request and answers none."""

    def acknowledge(_request: Message, _count: int) -> list[Message]:
        return [Message(code=Code.EMPTY)]

    async with scripted(acknowledge) as (_, url, peer):
        yield url, peer.requests


async def test_a_pull_that_nobody_waits_for_releases_the_worker(tmp_path: Path) -> None:
    async with site(tmp_path) as s, silent_server() as (silent, asked):
        waiting = asyncio.create_task(pull(s, f"{silent}/m"))
        await eventually(lambda: bool(asked))
        busy = await pull(s, s.publish(SEVEN, 1))
        assert (busy.code, busy.message.opt.max_age, busy.value[:5]) == ("5.03", 2, "BUSY:")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        s.bench.node._updates._task.cancel()  # type: ignore[union-attr]  # what a Reset of the client comes to
        await eventually(lambda: not s.bench.node._updates._busy)
        assert (await pull(s, s.publish(SEVEN, 1))).code == "2.04"


@pytest.mark.parametrize("steps", range(6))
async def test_a_cancelled_pull_leaves_nothing_behind(tmp_path: Path, steps: int) -> None:
    async with site(tmp_path) as s, silent_server() as (silent, _):
        updates = s.bench.node._updates
        task = asyncio.create_task(updates.pull(f"{silent}/m", _conditions(s.bench), "a"))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert updates.status().state == "idle"
        assert (await pull(s, s.publish(SEVEN, 1))).code == "2.04"


def _conditions(bench: Bench) -> Any:
    from device.suit.install import Conditions

    return Conditions(0, bench.node.executor.check)


@pytest.mark.parametrize("content_format", [None, 42, 60], ids=str)
async def test_a_posted_manifest_is_installed(tmp_path: Path, content_format: int | None) -> None:
    async with site(tmp_path) as s:
        reply = await post(s, envelope(s, SEVEN, 1), content_format=content_format)
        assert (reply.code, reply.message.payload) == ("2.01", b"")
        await eventually(lambda: s.bench.node.slots.sequence_number == 1)
        await eventually(lambda: s.bench.node._updates.status().state == "idle")
        status = (await s.bench.get("/suit/status")).value
        assert (status["result"], status["url"]) == ("OK", None)
        console = s.console()
        assert console[0] == "suit_worker: started."
        assert console[1].startswith("suit_worker: got manifest with size ")
        assert (await s.bench.execute(0)).value["r0_signed"] == 7


async def test_what_is_no_manifest_to_post(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        assert (await post(s, b"")).code == "4.08"
        reply = await post(s, bytes(641))
        assert (reply.code, reply.problem.code, reply.message.opt.size1) == ("4.13", "TOO_LARGE", 640)
        assert (await post(s, b"x", content_format=0)).code == "4.15"
        assert s.bench.node._updates.status().result is None
        assert (await post(s, b"x")).code == "2.01"
        await eventually(lambda: s.bench.node._updates.status().result == "FORMAT")


def padded(s: Site, size: int) -> bytes:
    """An update of exactly this size: what nobody asks for lies beside its manifest."""
    url = s.publish(SEVEN, 1)
    described = build.Description("native", 0, 1, url.replace(".suit", ".bin"), SEVEN, profile=IETF)
    manifest = build.build_manifest(described)

    def made(padding: int) -> bytes:
        return build.sign_manifest(manifest, [s.key], IETF, beside={"#": bytes(padding)})

    return made(300 + size - len(made(300)))


@pytest.mark.parametrize(("size", "result"), [(640, "OK"), (641, "TOO_LARGE")])
@pytest.mark.parametrize("way", ["trigger", "manifest", "pull"])
async def test_an_envelope_has_640_bytes_and_not_one_more(
    tmp_path: Path, way: str, size: int, result: str
) -> None:
    async with site(tmp_path) as s:
        made = padded(s, size)
        assert len(made) == size
        (s.root / "m").write_bytes(made)
        match way:
            case "trigger":
                assert (await s.trigger(f"{s.server}/m")).code == "2.01"
            case "manifest":
                reply = await post(s, made)
                if result == "TOO_LARGE":  # there is no update
                    assert (reply.code, reply.problem.code) == ("4.13", result)
                    return
                assert reply.code == "2.01"
            case _:
                assert (await pull(s, f"{s.server}/m")).code == ("2.04" if result == "OK" else "4.13")
        await eventually(lambda: s.bench.node._updates.status().result == result)


async def test_all_three_ways_count_together(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        good = envelope(s, SEVEN, 1)
        assert (await post(s, good)).code == "2.01"
        await eventually(lambda: s.bench.node._updates.status().result == "OK")
        ask = s.bench.ask
        url = s.publish(SEVEN, 2)
        host, name = url.removeprefix("coap://").split("/")
        fields = f"{host}|{name}|6|0||1".encode()
        replies = [
            await ask(Code.POST, "/suit/trigger", payload=url.encode()),
            await ask(Code.POST, "/suit/manifest", payload=good),
            await ask(Code.POST, "/suit/pull", payload=fields),
        ]
        assert [(reply.code, reply.message.opt.max_age) for reply in replies] == [("5.03", 1)] * 3
        assert replies[0].problem.code == replies[1].problem.code == "BUSY"
        assert replies[2].value.startswith("BUSY: ")


# Who asks for fetches does not keep a signed update out.


@pytest.mark.parametrize("way", ["trigger", "pull for another slot"])
async def test_a_signed_manifest_does_not_wait_for_a_fetch_that_anybody_started(
    tmp_path: Path, way: str
) -> None:
    async with site(tmp_path) as s, silent_server() as (silent, asked):
        url = f"{silent}/m"
        pulling = asyncio.create_task(s.trigger(url) if way == "trigger" else pull(s, url, config=4 << 1))
        await eventually(lambda: bool(asked))
        assert (await s.trigger(s.publish(SEVEN, 1))).code == "5.03"
        assert (await post(s, envelope(s, SEVEN, 1))).code == "2.01"
        await eventually(lambda: s.bench.node._updates.status().result == "OK")
        assert s.bench.node.slots.sequence_number == 1
        assert any("suit: refused BUSY (manifest)" in line for line in s.bench.lines)
        assert (await pulling).code == ("2.01" if way == "trigger" else "5.03")


async def test_an_update_that_gave_way_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(tmp_path) as s, silent_server() as (silent, asked):
        said: list[UpdateStatus] = []
        updates = s.bench.node._updates
        monkeypatch.setattr(updates, "on_change", lambda: said.append(updates.status()))
        await s.trigger(f"{silent}/m")
        await eventually(lambda: bool(asked))
        assert (await post(s, envelope(s, SEVEN, 1))).code == "2.01"
        await eventually(lambda: updates.status().result == "OK")
        (ended,) = [one for one in said if one.result == "BUSY"]
        assert (ended.url, ended.riot_code, ended.report_reason) == (f"{silent}/m", -11, None)
        assert "posted" in (ended.detail or "")


@pytest.mark.parametrize("forged", ["trigger", "pull", "noise"])
async def test_a_signed_manifest_does_not_wait_for_what_was_asked_for_in_its_senders_name(
    tmp_path: Path, forged: str
) -> None:
    """The rate is counted by address, and who forges the operator's may start an update a second, too."""
    async with site(tmp_path) as s:
        good, other = envelope(s, SEVEN, 1), envelope(s, SPIN, 2)
        nothing = f"{s.server}/nothing"
        if forged == "trigger":
            await s.trigger(nothing)
        elif forged == "pull":
            await pull(s, nothing)
        else:
            await post(s, b"noise")
        await eventually(lambda: s.bench.node._updates.status().result in ("TRANSPORT", "FORMAT"))
        url = s.publish(SPIN, 3)
        assert (await s.bench.ask(Code.POST, "/suit/trigger", payload=url.encode())).code == "5.03"
        assert (await s.bench.ask(Code.POST, "/suit/manifest", payload=b"noise")).code == "5.03"
        assert (await s.bench.ask(Code.POST, "/suit/manifest", payload=good)).code == "2.01"
        await eventually(lambda: s.bench.node.slots.sequence_number == 1)
        # It was signed: the next one has to wait, signed or not.
        reply = await s.bench.ask(Code.POST, "/suit/manifest", payload=other)
        assert (reply.code, reply.message.opt.max_age) in (("5.03", 1), ("5.03", 2))


@pytest.mark.parametrize("kind", ["noise", "another key", "old number", "another board"])
async def test_what_would_not_be_carried_out_waits_its_turn(tmp_path: Path, kind: str) -> None:
    async with site(tmp_path) as s, silent_server() as (silent, asked):
        assert (await pull(s, s.publish(SEVEN, 1))).code == "2.04"
        hows: dict[str, dict[str, Any]] = {
            "another key": {"key": Ed25519PrivateKey.generate()},
            "another board": {"board": "nucleo-f446re"},
        }
        how = hows.get(kind, {})
        content = b"x" if kind == "noise" else envelope(s, SPIN, 1 if kind == "old number" else 2, **how)
        await s.trigger(f"{silent}/m")
        await eventually(lambda: bool(asked))
        reply = await post(s, content)
        assert (reply.code, reply.problem.code) == ("5.03", "BUSY")
        assert s.bench.node._updates.status().state == "manifest"


async def test_a_signed_update_that_runs_gives_way_to_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path) as s:
        hold, check = asyncio.Event(), s.bench.node.executor.check

        async def slow(*arguments: Any) -> Any:
            await hold.wait()
            return await check(*arguments)

        monkeypatch.setattr(s.bench.node.executor, "check", slow)
        await s.trigger(s.publish(SPIN, 1))
        await eventually(lambda: s.bench.node._updates.status().state == "image")
        assert (await post(s, envelope(s, SEVEN, 2))).code == "5.03"
        hold.set()
        await eventually(lambda: s.bench.node.slots.sequence_number == 1)
        stored = s.bench.node.slots.get(0)
        assert stored is not None
        assert stored.digest == sha256(SPIN).digest()


async def test_fifty_at_once_in_every_way(tmp_path: Path) -> None:
    """One runs, the others are told; a second later a fresh one succeeds, and another device is untouched."""
    async with site(tmp_path) as s, device() as other:
        good = s.publish(SEVEN, 1)
        host, name = good.removeprefix("coap://").split("/")
        envelope_bytes = (s.root / name).read_bytes()
        ways = [
            ("/suit/trigger", good.encode()),
            ("/suit/manifest", envelope_bytes),
            ("/suit/pull", f"{host}|{name}|6|0||1".encode()),
        ]
        asked = [s.bench.ask(Code.POST, ways[i % 3][0], payload=ways[i % 3][1]) for i in range(50)]
        replies = await asyncio.gather(*asked)
        assert sorted(reply.code for reply in replies)[1:] == ["5.03"] * 49
        assert all(reply.message.opt.max_age in (1, 2) for reply in replies if reply.code == "5.03")
        await eventually(lambda: s.bench.node.slots.sequence_number == 1)
        assert (await other.get("/suit/status")).value["result"] is None
        await asyncio.sleep(1.0)
        assert (
            await s.bench.ask(Code.POST, "/suit/trigger", payload=s.publish(SEVEN, 2).encode())
        ).code == "2.01"


async def test_fifty_sources_at_once(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        updates, url = s.bench.node._updates, s.publish(SEVEN, 1)
        told = []
        for number in range(50):
            try:
                updates.start(url, f"192.0.2.{number}")
            except Unavailable as error:
                told.append(error.code)
        assert told == ["BUSY"] * 49
        await eventually(lambda: updates.status().result == "OK")
