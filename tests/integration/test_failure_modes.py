"""Updates that fail in the middle, between processes over real UDP: what is said, how soon, what is left.

A deploy is stopped by a relay between device and file server at a certain block, something happens there and
then, and it goes on. In the end the named error is what device and client tell, the old program runs, and the
next valid deploy works.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import monotonic
from typing import Final

import pytest
import pytest_asyncio

from client.exchange import DELETE
from client.keys import load_signer
from client.publish import put_over
from device.suit.build import Description, build_manifest, sign_manifest
from device.suit.identity import VENDOR_ID
from tests.device_bench import example
from tests.integration.client_testbed import OBJECTS
from tests.integration.failure_bed import (
    IMAGE,
    MANIFEST,
    NEW,
    NEW_GIVES,
    OLD_GIVES,
    STORED,
    Rig,
    Site,
    deploys,
    in_the_middle,
    open_site,
    still_there,
)
from tests.relay import Relay, relay

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEADLINE_S: Final = 2
"""Seconds in which an update of a hasty device has to get its files."""

SLACK_S: Final = 5.0
"""What a busy machine may take besides."""

SAME_SIZE: Final = "if_forward_jump"
"""A program as long as the new one."""

CUTS: Final = {"of the manifest": (MANIFEST, 2), "of the image": (IMAGE, 8)}
"""The file, and how many blocks of it the device is given."""

KILLS: Final = {
    "SIGKILL, the manifest": (signal.SIGKILL, MANIFEST, 2),
    "SIGKILL, the image": (signal.SIGKILL, IMAGE, 8),
    "SIGTERM, the image": (signal.SIGTERM, IMAGE, 8),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with open_site(tmp_path_factory.mktemp("failures")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fresh(site: Site) -> AsyncIterator[Iterator[Rig]]:
    """Devices that no test had yet: one takes an update a second, and tests would wait for each other."""
    async with AsyncExitStack() as stack:
        yield iter((await site.devices(stack, "fresh", count=len(FORGERIES) + 3)).rigs)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty(site: Site) -> AsyncIterator[Iterator[Rig]]:
    """The same, with a deadline that is short enough to be waited for."""
    limit = ("--limit", f"update_deadline={DEADLINE_S}")
    async with AsyncExitStack() as stack:
        yield iter((await site.devices(stack, "hasty", *limit, count=len(CUTS))).rigs)


# Forged files: valid ones lie on the file server, and are exchanged when the device is about to fetch them.

Content = Callable[[Site, Relay, bytes], Awaitable[bytes | None]]


@dataclass(frozen=True)
class Forgery:
    """The file server has another manifest or image: what `content` makes of it, None deletes it.

    The device refuses with `refused`, saying `says`; the client ends with `code`.
    """

    prefix: str
    content: Content
    refused: str
    says: str
    code: int


def changed(change: Callable[[bytes], bytes | None]) -> Content:
    async def content(_site: Site, _relay: Relay, original: bytes) -> bytes | None:
        return change(original)

    return content


def signed_for(*options: str) -> Content:
    """A manifest for the new program, signed with the operator's key as options of `client sign` say."""

    async def content(site: Site, through: Relay, _original: bytes) -> bytes:
        program, manifest = site.home / f"{NEW}.o", site.home / "other.signed"
        program.write_bytes((OBJECTS / program.name).read_bytes())
        done = await site.client("sign", program, "--fetch-base", through.url, "--to", manifest, *options)
        assert done.code == 0, done
        return manifest.read_bytes()

    return content


async def another_vendor(site: Site, through: Relay, _original: bytes) -> bytes:
    uri = f"{through.url}/{IMAGE}.bin"
    manifest = build_manifest(Description("native", 0, STORED + 1, uri, example(NEW)))
    assert VENDOR_ID in manifest
    return sign_manifest(manifest.replace(VENDOR_ID, bytes(16)), [load_signer(site.key).private_key])


FORGERIES: Final = {
    "truncated image": Forgery(IMAGE, changed(lambda it: it[:-64]), "IMAGE_SIZE", "888 bytes", 1),
    "swapped image": Forgery(IMAGE, changed(lambda _: example(SAME_SIZE)), "IMAGE_DIGEST", "SHA-256", 4),
    "image gone": Forgery(IMAGE, changed(lambda _: None), "TRANSPORT", "4.04", 1),
    "truncated manifest": Forgery(MANIFEST, changed(lambda it: it[:-1]), "MALFORMED", "beyond the end", 1),
    "stale number": Forgery(MANIFEST, signed_for("--seq", "1"), "ROLLBACK", "2 is installed", 4),
    "another board": Forgery(
        MANIFEST, signed_for("--seq", "3", "--board", "nucleo-f446re"), "CLASS_MISMATCH", "5526a061", 1
    ),
    "another vendor": Forgery(MANIFEST, another_vendor, "VENDOR_MISMATCH", "00000000", 1),
}


@pytest.mark.parametrize(("number", "case"), list(enumerate(FORGERIES)), ids=FORGERIES)
async def test_a_forged_file_is_refused_by_name(
    site: Site, fresh: Iterator[Rig], number: int, case: str
) -> None:
    forgery, rig = FORGERIES[case], next(fresh)
    before = await rig.seen()
    async with relay(site.files.url) as through:
        gate = through.stop_at(forgery.prefix)
        # A number of its own: what one row did to its files is nothing to the next.
        deploying = site.deploy(rig, through, "--seq", str(10 + number))
        url = f"{site.files.url}/{await gate.wait()}"
        content = await forgery.content(site, through, await site.connection.fetch(url, 65536))
        if content is None:
            await site.connection.ask(DELETE, url)
        else:
            await put_over(site.connection, site.files.url, gate.file, content)
        opened = monotonic()
        through.go_on()
        done = await deploying
        assert monotonic() - opened < SLACK_S

        status = await rig.device.status()
        assert (status.state, status.result) == ("idle", forgery.refused)
        assert status.where
        assert forgery.says in (status.detail or "")
        assert (done.code, done.out) == (forgery.code, "")
        assert forgery.refused in done.err
        assert (status.detail or "") in done.err
        await still_there(rig, before)
        await deploys(site, rig, through)


# A file server that is cut off, and comes back.


@pytest.mark.parametrize(("prefix", "after"), CUTS.values(), ids=CUTS)
async def test_silence_in_the_middle_of_a_fetch_ends_at_the_deadline(
    site: Site, hasty: Iterator[Rig], prefix: str, after: int
) -> None:
    rig = next(hasty)
    before = await rig.seen()
    async with relay(site.files.url) as through:
        gate = through.stop_at(prefix, after)
        deploying = site.deploy(rig, through, "-o", "json")
        file = await gate.wait()
        through.cut()
        assert await in_the_middle(rig, through, gate) == OLD_GIVES
        done = await deploying
        assert DEADLINE_S <= done.seconds < DEADLINE_S + SLACK_S

        (entry,) = done.results
        assert (done.code, entry["device"], entry["ok"]) == (1, rig.address, False)
        error = entry["error"]
        assert (error["code"], error["riot_code"]) == ("TRANSPORT", -110)
        assert error["where"] == f"{through.url}/{file}"
        assert error["detail"] == f"the files did not come within {DEADLINE_S} s"
        assert "file server" in error["hint"]
        status = await rig.device.status()
        assert (status.state, status.result, status.where) == ("idle", "TRANSPORT", error["where"])
        await still_there(rig, before)
        through.go_on()
        await deploys(site, rig, through)


async def test_a_file_server_killed_in_the_middle_of_a_fetch(site: Site, fresh: Iterator[Rig]) -> None:
    rig = next(fresh)
    before = await rig.seen()
    async with site.file_server("mortal") as files, relay(files.url) as through:
        here = site.at(files)
        gate = through.stop_at(IMAGE, 8)
        deploying = here.deploy(rig, through)
        await gate.wait()
        assert await in_the_middle(rig, through, gate) == OLD_GIVES
        assert await files.end(signal.SIGKILL) == -signal.SIGKILL
        killed = monotonic()
        through.go_on()
        done = await deploying
        assert (done.code, done.out) == (1, "")
        assert monotonic() - killed < SLACK_S
        assert "TRANSPORT" in done.err
        status = await rig.device.status()
        assert (status.state, status.result) == ("idle", "TRANSPORT")
        assert status.where == f"{through.url}/{gate.file}"
        await still_there(rig, before)

        # Now the client has nowhere to publish.
        away = await here.deploy(rig, through, "-o", "json")
        assert (away.code, away.results[0]["error"]["code"]) == (3, "unreachable")
        assert away.seconds < SLACK_S

        async with site.file_server("mortal", files.ports[0]):
            await through.open()
            await deploys(here, rig, through)


@pytest.mark.parametrize("same", [True, False], ids=["with the same file", "with another"])
async def test_a_file_server_that_is_started_anew_in_the_middle_of_a_fetch(
    site: Site, fresh: Iterator[Rig], same: bool
) -> None:
    rig, name = next(fresh), f"anew-{same}"
    before = await rig.seen()
    async with site.file_server(name) as files, relay(files.url) as through:
        here = site.at(files)
        gate = through.stop_at(IMAGE, 8)
        deploying = here.deploy(rig, through)
        await gate.wait()
        assert await in_the_middle(rig, through, gate) == OLD_GIVES
        await files.end(signal.SIGKILL)
        if not same:
            (site.home / name / gate.file).write_bytes(example(SAME_SIZE))
        async with site.file_server(name, files.ports[0]):
            through.go_on()
            done = await deploying
            if same:
                assert (done.code, await rig.run()) == (0, NEW_GIVES)
            else:
                assert (done.code, "TRANSPORT" in done.err) == (1, True)
                status = await rig.device.status()
                assert ("replaced" in (status.detail or ""), status.hint) == (True, "try again")
                await still_there(rig, before)
                await deploys(here, rig, through)


# A device that is killed.


@pytest.mark.parametrize(("how", "prefix", "after"), KILLS.values(), ids=KILLS)
async def test_a_device_killed_in_the_middle_of_a_fetch(
    site: Site, how: signal.Signals, prefix: str, after: int
) -> None:
    name = f"{how.name}-{prefix}"
    async with AsyncExitStack() as stack:
        through = await stack.enter_async_context(relay(site.files.url))
        devices = await site.devices(stack, name)
        process, (rig,) = devices.process, devices.rigs
        before = await rig.seen()
        gate = through.stop_at(prefix, after)
        deploying = site.deploy(rig, through, "-o", "json")
        await gate.wait()
        assert await in_the_middle(rig, through, gate) == OLD_GIVES
        assert await process.end(how) == (-how if how == signal.SIGKILL else 0)
        killed = monotonic()
        done = await deploying
        assert monotonic() - killed < SLACK_S
        error = done.results[0]["error"]
        if how == signal.SIGKILL:
            assert (done.code, error["code"]) == (3, "unreachable")
        else:  # one that is stopped may have the time to say so
            assert (done.code, error["code"]) in {(3, "unreachable"), (1, "STORAGE")}
        assert rig.kept() == before[-1]

        process = (await site.devices(stack, name, port=process.ports[0])).process
        through.go_on()
        await still_there(rig, before)
        ran = await site.client("exec", "-d", rig.address, "-o", "json")
        assert (ran.code, ran.results[0]["result"]["r0_signed"]) == (0, OLD_GIVES)
        await deploys(site, rig, through)

        # What was reported as installed is there however soon the power goes.
        installed = await rig.seen()
        assert await process.end(signal.SIGKILL) == -signal.SIGKILL
        await site.devices(stack, name, port=process.ports[0])
        assert await rig.seen() == installed
        assert await rig.run() == NEW_GIVES
