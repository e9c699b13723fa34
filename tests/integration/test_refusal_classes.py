"""Every refusal class of suit.md section 10, reached over real CoAP in each way to ask for an update.

The class is the same at `/suit/status` in both formats, in the log, in the answer of a pull, and in what the
client makes of it; the codes beside it are those of the specification's table, written down here once more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import cbor2
import pytest
from aiocoap import Code
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.attack.table import ATTACKS
from client.attack.workshop import GOOD, Workshop
from client.pull import refusal
from device.api import JSON, UpdateStatus
from device.node import NodeLimits
from device.storage.disk import RealDisk
from device.suit import build
from device.suit.capabilities import Capabilities
from device.suit.refusals import Refusal
from device.suit.wire import IETF
from tests.device_bench import SPIN, eventually
from tests.integration.update_site import Site, site

# Class: RIOT's code, suit-report reason, CoAP code (suit.md section 10).
CODES: dict[str, tuple[int, int, str]] = {
    "MALFORMED": (-1, 1, "4.00"),
    "FORMAT": (-1, 1, "4.15"),
    "TOO_LARGE": (-105, 1, "4.13"),
    "TOO_COMPLEX": (-9, 1, "4.13"),
    "UNSIGNED": (-6, 4, "4.03"),
    "BAD_SIGNATURE": (-6, 4, "4.03"),
    "ALG_UNSUPPORTED": (-6, 3, "4.03"),
    "MANIFEST_DIGEST": (-7, 4, "4.03"),
    "SEVERED_DIGEST": (-7, 4, "4.03"),
    "VERSION": (-5, 1, "4.00"),
    "ROLLBACK": (-5, 10, "4.12"),
    "UNSUPPORTED": (-2, 5, "4.00"),
    "UNKNOWN_COMPONENT": (-2, 6, "4.04"),
    "TOO_MANY_COMPONENTS": (-2, 6, "4.13"),
    "NOTHING_INSTALLED": (-1, 11, "4.00"),
    "VENDOR_MISMATCH": (-4, 10, "4.12"),
    "CLASS_MISMATCH": (-4, 10, "4.12"),
    "CONDITION_FAILED": (-4, 10, "4.12"),
    "POLICY": (-8, 7, "4.03"),
    "CAPABILITY": (-8, 7, "4.03"),
    "COMPONENT_FORBIDDEN": (-8, 7, "4.03"),
    "SLOT_BUSY": (-50, 11, "4.09"),
    "URI_FORBIDDEN": (-8, 11, "4.03"),
    "STORAGE_EXCEEDED": (-51, 11, "4.13"),
    "STORAGE": (-50, 11, "5.00"),
    "TRANSPORT": (-6, 11, "5.02"),
    "IMAGE_SIZE": (-1, 11, "4.12"),
    "IMAGE_DIGEST": (-7, 10, "4.12"),
    "PROGRAM": (-8, 11, "4.22"),
}
ELSEWHERE = {"SLOT_MISMATCH", "BUSY"}
"""Only a pull knows the one; the other is no end of an update (both below)."""

WAYS = ("/suit/trigger", "/suit/manifest", "/suit/pull")


@dataclass
class Case:
    """An envelope that must be refused, the files that it needs, and what to do before."""

    envelope: bytes
    files: dict[str, bytes] = field(default_factory=dict)
    prepare: Callable[[Site, pytest.MonkeyPatch], None] = lambda _site, _patch: None


def from_the_table(name: str, s: Site, workshop: Workshop) -> Case:
    """The first attack of `client attack` that must meet this class by an envelope."""
    for attack in ATTACKS:
        if attack.expected == name:
            throw = attack.make(workshop)
            if throw.path == "/suit/manifest":
                return Case(throw.payload, dict(throw.files))
    raise AssertionError(f"no attack for {name}")


def severed(workshop: Workshop) -> Case:
    """An install section in the envelope that is not the one whose digest was signed."""
    manifest = cbor2.loads(workshop.manifest(profile=IETF))
    install = manifest[20]
    manifest[20] = [-16, sha256(cbor2.dumps(install)).digest()]
    content = cbor2.dumps(manifest, canonical=True)
    return Case(build.sign_manifest(content, [workshop.key], IETF, beside={20: install + b"\0"}))


def forbidden(workshop: Workshop) -> Case:
    def restrict(s: Site, _patch: pytest.MonkeyPatch) -> None:
        (s.trusted / "op.slots").write_text("3")
        s.bench.node.reload_keys()

    return Case(workshop.envelope(), prepare=restrict)


def full_disk(workshop: Workshop) -> Case:
    def fill(_site: Site, patch: pytest.MonkeyPatch) -> None:
        def full(_disk: RealDisk, path: Path, _content: bytes) -> None:
            raise OSError(28, "No space left on device", str(path))

        patch.setattr(RealDisk, "write", full)

    return Case(workshop.envelope(), {workshop.file("image"): GOOD}, fill)


def job(workshop: Workshop, way: str) -> Case:
    """A job that comes after a pull was admitted."""

    def hold(s: Site, patch: pytest.MonkeyPatch) -> None:
        executor = s.bench.node.executor
        held, asked = executor.held, iter([False] * (way == "/suit/pull"))
        patch.setattr(executor, "held", lambda slot: next(asked, True) if slot == 0 else held(slot))

    return Case(workshop.envelope(), prepare=hold)


def case_of(name: str, way: str, s: Site, workshop: Workshop) -> Case:
    special: dict[str, Callable[[Workshop], Case]] = {
        "SEVERED_DIGEST": severed,
        "COMPONENT_FORBIDDEN": forbidden,
        "STORAGE": full_disk,
        "SLOT_BUSY": lambda workshop: job(workshop, way),
    }
    if name in special:
        return special[name](workshop)
    if name == "TOO_LARGE":
        return Case(bytes(641))
    return from_the_table(name, s, workshop)


@asynccontextmanager
async def prepared(tmp_path: Path) -> AsyncIterator[tuple[Site, Workshop]]:
    async with site(tmp_path, state=tmp_path / "state") as s:
        assert (await s.update(s.publish(GOOD, 3)))["result"] == "OK"
        yield s, Workshop("native", 0, 5, 4, s.server, s.key, Ed25519PrivateKey.generate(), "x")


def test_the_table_has_every_class() -> None:
    assert CODES.keys() | ELSEWHERE == set(Refusal.__members__)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CODES)
async def test_every_class_is_the_same_wherever_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, way: str
) -> None:
    riot_code, reason, code = CODES[name]
    async with prepared(tmp_path) as (s, workshop):
        case = case_of(name, way, s, workshop)
        files = {**case.files, "envelope": case.envelope}
        for file, content in files.items():
            (s.root / file).write_bytes(content)
        case.prepare(s, monkeypatch)
        before = (await s.bench.get("/slots")).value
        s.bench.node._updates._started.clear()
        host = s.server.removeprefix("coap://")
        payload = {
            "/suit/trigger": f"{s.server}/envelope".encode(),
            "/suit/manifest": case.envelope,
            "/suit/pull": f"{host}|envelope|0|0||1".encode(),
        }[way]
        reply = await s.bench.ask(Code.POST, way, payload=payload)
        if (name, way) == ("TOO_LARGE", "/suit/manifest"):  # there was no update
            assert (reply.code, reply.problem.code) == (code, name)
            return
        if way == "/suit/pull":
            assert (reply.code, reply.value.partition(":")[0]) == (code, name)
        else:
            assert reply.code == "2.01"
        await eventually(lambda: s.bench.node._updates.status().result == name)
        for content_format in (None, JSON):
            status = (await s.bench.get("/suit/status", accept=content_format)).value
            assert (status["state"], status["result"]) == ("idle", name)
            assert (status["riot_code"], status["report_reason"]) == (riot_code, reason)
            assert status["where"]
            assert status["detail"]
            assert status["hint"]
        told = refusal(UpdateStatus.from_map(status, strict=False))
        assert (told.code, told.status) == (name, code)
        assert any(line.startswith(f"warning suit suit: refused {name} (") for line in s.bench.lines)
        assert s.console()[-2:] == [
            f"suit_worker: suit_parse() failed. res={riot_code}",
            "suit_worker: update failed, hdr invalid",
        ]
        assert (await s.bench.get("/slots")).value == before
        assert (await s.bench.get("/suit/version")).value == "3"


async def test_a_pull_for_another_slot(tmp_path: Path) -> None:
    async with prepared(tmp_path) as (s, workshop):
        (s.root / "envelope").write_bytes(workshop.envelope())
        s.bench.node._updates._started.clear()
        fields = f"{s.server.removeprefix('coap://')}|envelope|0|2||1"
        reply = await s.bench.ask(Code.POST, "/suit/pull", payload=fields.encode())
        assert (reply.code, reply.value.partition(":")[0]) == ("4.09", "SLOT_MISMATCH")
        status = (await s.bench.get("/suit/status")).value
        assert (status["result"], status["riot_code"], status["report_reason"]) == ("SLOT_MISMATCH", -8, 7)


async def test_capabilities_that_are_granted_are_installed(tmp_path: Path) -> None:
    """The other side of CAPABILITY: what may be granted is."""
    async with prepared(tmp_path) as (s, workshop):
        (s.root / workshop.file("image")).write_bytes(GOOD)
        manifest = workshop.manifest(capabilities=Capabilities(stack=64, budget=100))
        (s.root / "m").write_bytes(workshop.envelope(manifest))
        assert (await s.update(f"{s.server}/m"))["result"] == "OK"
        shown = (await s.bench.get("/slots/0")).value["capabilities"]
        assert shown == {"stack": 64, "budget": 100}


async def test_a_job_in_the_slot_refuses_an_update(tmp_path: Path) -> None:
    async with site(tmp_path, limits=NodeLimits(budget_default=2**32 - 1)) as s:
        assert (await s.update(s.publish(SPIN, 1)))["result"] == "OK"
        made = await s.bench.ask(Code.POST, "/jobs", {"slot": 0})
        assert (await s.update(s.publish(GOOD, 2)))["result"] == "SLOT_BUSY"
        location = "/" + "/".join(made.message.opt.location_path)
        assert (await s.bench.ask(Code.DELETE, location)).code == "2.02"
        assert (await s.update(s.publish(GOOD, 2)))["result"] == "OK"
