"""The properties of suit.md section 12, P10 to P19: what an update does, and what it leaves when it does not.

Both formats, against a whole device whose files a test serves.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from device.api import JobRequest
from device.errors import ConfigError, MicroBpfError, RemoteError, SuitError, TransportError, Unprocessable
from device.execution import ShortRunPool
from device.storage.disk import RealDisk
from device.storage.slots import SlotTable
from device.storage.state import StateDirectory
from device.suit import keys, trust, wire
from device.suit.capabilities import Capabilities
from device.suit.install import Progress
from device.suit.wire import Command, Member
from device.vm.asm import assemble
from tests.device_bench import SPIN, eventually
from tests.suit_device import Device, device
from tests.suit_manifests import (
    EIGHT,
    FORMATS,
    HOST,
    IETF,
    KEY,
    MANIFEST_URL,
    OTHER,
    REPORT,
    RIOT,
    SEVEN,
    Format,
    Image,
)
from tests.unit.test_storage import DyingDisk, PowerCutError

MATCH = (Command.IMAGE_MATCH, REPORT)
OVERRIDE = Command.OVERRIDE_PARAMETERS

# P10

URIS: dict[str, str] = {
    "another host": "coap://[fd00::2]/x",
    "another scheme": "coaps://[fd00::1]/x",
    "upper case": "COAP://[fd00::1]/x",
    "web": "http://[fd00::1]/x",
    "user": "coap://me@[fd00::1]/x",
    "query": "coap://[fd00::1]/x?y",
    "fragment": "coap://[fd00::1]/x#y",
    "dots": "coap://[fd00::1]/a/../x",
    "escaped dots": "coap://[fd00::1]/%2e%2e/x",
    "escaped slash": "coap://[fd00::1]/a%2fx",
    "escaped NUL": "coap://[fd00::1]/x%00",
    "NUL": "coap://[fd00::1]/x\0",
    "white space": "coap://[fd00::1]/ x",
    "other letters": "coap://[fd00::1]/ü",
    "port 0": "coap://[fd00::1]:0/x",
    "128 characters": "coap://[fd00::1]/" + "x" * 111,
    "no host": "coap:///x",
    "nothing": "",
    "address as a number": "coap://4244635649/x",
}
"""URIs that a device with the usual list does not fetch from."""


@FORMATS
@pytest.mark.parametrize("name", URIS)
async def test_p10_uris_of_images(form: Format, name: str) -> None:
    install = [(OVERRIDE, {wire.URI: URIS[name]}), (Command.FETCH, 2), MATCH]
    async with device() as d:
        assert await d.refused(form.update(install=install), Image()) == "URI_FORBIDDEN"


@pytest.mark.parametrize("name", URIS)
async def test_p10_urls_of_manifests(name: str) -> None:
    async with device() as d:
        before = d.state()
        assert (await d.installer.update_from(URIS[name])).result == "URI_FORBIDDEN"
        assert (d.asked, d.state()) == ([], before)


@pytest.mark.parametrize(
    ("hosts", "uri", "fine"),
    [
        ((HOST,), "coap://[fd00:0:0:0:0:0:0:1]/x", True),
        ((HOST,), "coap://[fd00::1]:61616/x", True),
        (("fe80::1",), "coap://[fe80::1%25eth0]/x", True),
        ((), "coap://[fd00::1]/x", False),
        (None, "coap://anywhere/x", True),
        (("any",), "coap://anywhere/x", True),
        (("files",), "coap://Files/x", False),
    ],
    ids=["by value", "another port", "a zone", "no list", "no bound", "any", "names as text"],
)
async def test_p10_hosts(hosts: tuple[str, ...] | None, uri: str, fine: bool) -> None:
    async with device(allowed_hosts=hosts) as d:
        d.files[uri] = RIOT.update(Image(uri=uri))
        # The manifest and the image are the same file here: the update fails later, or never begins.
        result = (await d.installer.update_from(uri)).result
        assert result == ("IMAGE_SIZE" if fine else "URI_FORBIDDEN")
        assert [url for url, _ in d.asked] == ([uri, uri] if fine else [])


# P11

FAULTS: dict[str, tuple[MicroBpfError, str, int]] = {
    "4.04": (RemoteError("not found", status="4.04"), "TRANSPORT", -6),
    "4.03": (RemoteError("no", status="4.03"), "TRANSPORT", -6),
    "5.00": (RemoteError("broken", status="5.00"), "TRANSPORT", -102),
    "too late": (TransportError("no answer", code="timeout"), "TRANSPORT", -110),
    "unreachable": (TransportError("no route", code="unreachable"), "TRANSPORT", -6),
    "another file between blocks": (TransportError("ETag changed", code="protocol"), "TRANSPORT", -6),
}


@FORMATS
@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("what", ["manifest", "image"])
async def test_p11_faults_of_the_transport(form: Format, what: str, name: str) -> None:
    error, code, riot_code = FAULTS[name]
    async with device() as d:
        before = d.state()
        d.serve(Image())
        d.files[MANIFEST_URL] = form.update()
        d.files[MANIFEST_URL if what == "manifest" else Image().url] = error
        ended = await d.installer.update_from(MANIFEST_URL)
        assert (ended.result, ended.riot_code, d.state()) == (code, riot_code, before)
        assert (await d.update(form.update(), Image())).result == "OK"


@FORMATS
async def test_p11_a_server_that_never_answers(form: Format) -> None:
    async with device(deadline_s=0.05) as d:
        d.files[Image().url] = lambda: asyncio.sleep(60)
        d.files[MANIFEST_URL] = form.update()
        before = d.state()
        ended = await d.installer.update_from(MANIFEST_URL)
        assert (ended.result, ended.riot_code, d.state()) == ("TRANSPORT", -110, before)


# P12 and P13

PAIR = (Image(0), Image(3, EIGHT))
OPERATIONS = range(16)


async def cut(path: Path, operations: int, envelope: bytes) -> bool:
    """Update a device whose power fails in a storage operation; whether it came to an end before."""
    state = StateDirectory(path, disk=DyingDisk(operations))
    try:
        async with device(backing=state, components=2) as d:
            assert (await d.update(envelope, *PAIR)).result == "OK"
    except PowerCutError:
        return False
    finally:
        state.close()
    return True


def found(path: Path) -> tuple[int, list[bytes | None]]:
    """The number, and what lies in the slots, at the next start."""
    state = StateDirectory(path, disk=RealDisk())
    try:
        slots = SlotTable(backing=state)
        stored = [slots.get(number) for number in range(5)]
        assert all(one is None or one.digest == sha256(one.image).digest() for one in stored)
        return slots.sequence_number, [None if one is None else one.image for one in stored]
    finally:
        state.close()


OLD_STATE = (6, [EIGHT, None, None, SEVEN, None])
NEW_STATE = (7, [SEVEN, None, None, EIGHT, None])


@pytest.fixture
async def old(tmp_path: Path) -> Path:
    """A directory with programs in the slots that an update is going to write."""
    state = StateDirectory(tmp_path)
    images = (Image(0, EIGHT), Image(3, SEVEN))
    async with device(backing=state, components=2, number=5) as d:
        assert (await d.update(RIOT.update(*images, number=6), *images)).result == "OK"
    state.close()
    return tmp_path


@FORMATS
@pytest.mark.parametrize("operations", OPERATIONS)
async def test_p12_p13_a_power_cut_at_every_operation(form: Format, old: Path, operations: int) -> None:
    envelope = form.update(*PAIR)
    done = await cut(old, operations, envelope)
    assert found(old) in ([NEW_STATE] if done else [OLD_STATE, NEW_STATE])
    if found(old) == OLD_STATE:
        assert await cut(old, 1000, envelope)
    assert found(old) == NEW_STATE


@pytest.mark.parametrize("first", OPERATIONS)
@pytest.mark.parametrize("second", OPERATIONS)
async def test_p12_p13_two_power_cuts(old: Path, first: int, second: int) -> None:
    envelope = IETF.update(*PAIR)
    for operations in (first, second):
        if found(old) == OLD_STATE:
            await cut(old, operations, envelope)
        assert found(old) in (OLD_STATE, NEW_STATE)


async def test_p12_the_operations_reach_the_end(old: Path) -> None:
    assert await cut(old, max(OPERATIONS), RIOT.update(*PAIR))


@FORMATS
async def test_p13_the_console_says_whose_turn_it_is(form: Format) -> None:
    async with device(components=2) as d:
        assert (await d.update(form.update(*PAIR), *PAIR)).result == "OK"
        said = [line.text for line in d.log.page().lines]
        where = [at for at, text in enumerate(said) if text.startswith("Setting component index to")]
        assert [said[at] for at in where] == [f"Setting component index to {n}" for n in (0, 1) * 3]
        follows = "Formatted component name: .ram.0", "SUIT policy check OK.", "Verifying image digest"
        assert [said[at + 1] for at in where[::2]] == list(follows)
        assert said[-1] == "suit_worker: update successful"


SECOND: dict[str, tuple[Any, str]] = {
    "missing": (RemoteError("not found", status="4.04"), "TRANSPORT"),
    "another": (SEVEN, "IMAGE_DIGEST"),
    "longer": (EIGHT + b"\0", "IMAGE_SIZE"),
}


@FORMATS
@pytest.mark.parametrize("name", SECOND)
async def test_p13_both_or_none(form: Format, name: str) -> None:
    served, code = SECOND[name]
    async with device(components=2) as d:
        before = d.state()
        d.serve(PAIR[0])
        d.files |= {MANIFEST_URL: form.update(*PAIR), PAIR[1].url: served}
        assert (await d.installer.update_from(MANIFEST_URL)).result == code
        assert d.state() == before
        assert (await d.update(form.update(*PAIR), *PAIR)).result == "OK"
        assert [(await d.run(image.slot)).r0_signed for image in PAIR] == [7, 8]


@FORMATS
async def test_p13_the_verifier_sees_both_before_the_commit(form: Format) -> None:
    bad = (PAIR[0], Image(3, bytes(16)))
    async with device(components=2) as d:
        assert await d.refused(form.update(*bad), *bad, fetched=True) == "PROGRAM"
        assert await d.refused(form.update(*PAIR, Image(4)), *PAIR, Image(4)) == "TOO_MANY_COMPONENTS"


@FORMATS
async def test_p13_a_job_on_one_of_them_keeps_both(form: Format) -> None:
    async with device(components=2) as d:
        assert (await d.update(form.update(Image(3, SPIN)), Image(3, SPIN))).result == "OK"
        job = await d.executor.start_job(JobRequest.from_map({"slot": 3}), "test")
        assert await d.refused(form.update(*PAIR, number=8), *PAIR) == "SLOT_BUSY"
        await d.executor.end_job(job.number)
        assert (await d.update(form.update(*PAIR, number=8), *PAIR)).result == "OK"


# P14


@FORMATS
async def test_p14_of_fifty_at_once_one_runs(form: Format) -> None:
    async with device() as d:
        d.serve(Image())
        d.files[MANIFEST_URL] = form.update()
        ended = await asyncio.gather(
            *(d.installer.update_from(MANIFEST_URL) for _ in range(50)), return_exceptions=True
        )
        results = [one.result if isinstance(one, Progress) else one for one in ended]
        assert results.count("OK") == 1
        assert [e.code for e in results if isinstance(e, SuitError)] == ["BUSY"] * 49
        assert d.images_asked == [(Image().url, len(SEVEN))]
        assert (await d.update(form.update(number=8), Image())).result == "OK"


@FORMATS
@pytest.mark.parametrize("steps", range(0, 24, 3))
async def test_p14_cancelling_anywhere_lets_go(form: Format, steps: int) -> None:
    async with device() as d:
        d.serve(Image())
        d.files[MANIFEST_URL] = form.update()
        task = asyncio.create_task(d.installer.update_from(MANIFEST_URL))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert d.slots.sequence_number in (6, 7)
        assert (await d.update(form.update(number=8), Image())).result == "OK"
        assert (await d.run()).r0_signed == 7


@FORMATS
async def test_p14_devices_of_a_process_do_not_touch_each_other(form: Format) -> None:
    pool = ShortRunPool()
    one, two = Device(pool), Device(pool)
    try:

        async def update(d: Device, content: bytes) -> None:
            d.serve(Image(content=content))
            d.files[MANIFEST_URL] = form.update(Image(content=content))
            assert (await d.installer.update_from(MANIFEST_URL)).result == "OK"

        await asyncio.gather(update(one, SEVEN), update(two, EIGHT))
        assert [(await d.run()).r0_signed for d in (one, two)] == [7, 8]
    finally:
        for d in (one, two):
            await d.executor.stop()
        pool.close()


# P15 and P16

HOLLOW: dict[str, tuple[Callable[[Format], bytes], str]] = {
    "empty map": (lambda f: f.sign(b"\xa0"), "MALFORMED"),
    "no common": (lambda f: f.update(members={3: None}), "MALFORMED"),
    "no sections": (lambda f: hollow(f, {}), "NOTHING_INSTALLED"),
    "install that installs nothing": (
        lambda f: hollow(f, {Member.INSTALL: f.sequence([(OVERRIDE, {wire.URI: Image().url})])}),
        "NOTHING_INSTALLED",
    ),
    "empty install": (lambda f: hollow(f, {Member.INSTALL: b"\x80"}), "MALFORMED"),
    "install that is null": (lambda f: f.update(members={f.profile.key(Member.INSTALL): None}), "MALFORMED"),
}


def hollow(form: Format, sections: dict[Member, bytes]) -> bytes:
    keys_of = {form.profile.key(member): None for member in (Member.INSTALL, Member.VALIDATE)}
    return form.update(members={**keys_of, **{form.profile.key(m): raw for m, raw in sections.items()}})


@FORMATS
@pytest.mark.parametrize("name", HOLLOW)
async def test_p15_success_is_something_installed(form: Format, name: str) -> None:
    make, code = HOLLOW[name]
    async with device() as d:
        assert await d.refused(make(form), Image()) == code
        assert (d.installer.status.result, d.installer.status.installed) == (code, ())
        assert d.installer.status.report_reason is not None


@FORMATS
async def test_p15_envelopes_that_are_hollow(form: Format) -> None:
    empty = b"\xa0" if form is RIOT else b"\xd8\x6b\xa0"
    async with device() as d:
        assert await d.refused(empty) == "UNSIGNED"
        assert (await d.update(form.update(), Image())).result == "OK"
        assert [(one.slot, one.size) for one in d.installer.status.installed] == [(2, len(SEVEN))]


LATE: dict[str, tuple[Any, str]] = {
    "command": ((99, 15), "UNSUPPORTED"),
    "parameter": ((OVERRIDE, {99: 1}), "UNSUPPORTED"),
    "argument": ((OVERRIDE, {wire.IMAGE_SIZE: "x"}), "MALFORMED"),
    "policy": ((Command.IMAGE_MATCH, 16), "MALFORMED"),
    "key": (("x", 15), "MALFORMED"),
}


@FORMATS
@pytest.mark.parametrize("name", LATE)
@pytest.mark.parametrize("place", ["install", "validate", "branch", "sequence"])
async def test_p16_nothing_happens_before_all_was_read(form: Format, place: str, name: str) -> None:
    pair, code = LATE[name]
    install: list[Any] = form.install(Image())
    validate: list[Any] = [MATCH]
    match place:
        case "install":
            install = [*install, pair]
        case "validate":
            validate = [MATCH, pair]
        case "branch":
            taken, never = form.sequence(install[:2]), form.sequence([pair])
            install = [(Command.TRY_EACH, [taken, never]), MATCH]
            code = "UNSUPPORTED" if name == "policy" else code  # it is an image match: not in a branch
        case _:
            validate = [MATCH, (Command.RUN_SEQUENCE, form.sequence([pair]))]
    async with device() as d:
        assert await d.refused(form.update(install=install, validate=validate), Image()) == code


@FORMATS
async def test_p16_unknown_members_last(form: Format) -> None:
    async with device() as d:
        assert await d.refused(form.update(members={1000: b""}), Image()) == "UNSUPPORTED"
        assert await d.refused(form.update(members={"zz": b""}), Image()) == "MALFORMED"


# P17 and P18


@FORMATS
async def test_p17_what_was_checked_is_what_runs(form: Format) -> None:
    answers = [SEVEN, EIGHT, EIGHT]
    async with device() as d:
        d.files[Image().url] = lambda: answers.pop(0)
        d.files[MANIFEST_URL] = form.update()
        assert (await d.installer.update_from(MANIFEST_URL)).result == "OK"
        stored = d.slots.get(2)
        assert stored is not None
        assert len(d.images_asked) == 1
        prepared = await d.executor.check(2, stored.image)
        assert prepared.program.digest == stored.digest
        assert (await d.run()).r0_signed == 7


PRINTS = assemble("mov r1, 0\ncall bpf_printf\nmov r0, 0\nexit", helpers={"bpf_printf": 1})
PROGRAMS: dict[str, tuple[bytes, Capabilities, str]] = {
    "invalid": (bytes(16), Capabilities(), "opcode"),
    "no exit": (SEVEN[:8], Capabilities(), "no-exit"),
    "empty": (b"", Capabilities(), "load-short"),
    "a helper that nobody has": (
        assemble("call 9999\nexit"),
        Capabilities(),
        "helper-unknown",
    ),
    "a helper that was not granted": (PRINTS, Capabilities(helpers=()), "helper-denied"),
    "another layout": (SEVEN, Capabilities(layout=3), "load-layout"),
}


def granting(form: Format, image: Image, capabilities: Capabilities, number: int = 8) -> bytes:
    """An update that grants."""
    install = form.install(image)
    install[0] = (form.setting, {wire.URI: image.url, wire.CAPABILITIES: capabilities.encode()})
    return form.update(image, number=number, install=install)


@FORMATS
@pytest.mark.parametrize("name", PROGRAMS)
async def test_p18_a_program_that_may_not_run_costs_nothing(form: Format, name: str) -> None:
    content, capabilities, finding = PROGRAMS[name]
    image = Image(content=content)
    async with device() as d:
        assert (await d.update(form.update(), Image())).result == "OK"
        assert await d.refused(granting(form, image, capabilities), image, fetched=True) == "PROGRAM"
        assert finding in {found["id"] for found in d.installer.status.findings}
        assert (await d.run()).r0_signed == 7
        assert (
            await d.update(form.update(Image(content=EIGHT), number=8), Image(content=EIGHT))
        ).result == "OK"


@FORMATS
async def test_p18_capabilities_bound_runs(form: Format) -> None:
    deep = assemble("mov r0, 0\nstxdw [r10-72], r0\nexit")
    async with device() as d:
        grant = Capabilities(helpers=(1,), budget=1000, stack=64, store=3, jit=False)
        image = Image(content=SPIN)
        assert (await d.update(granting(form, image, grant), image)).result == "OK"
        info = d.executor.slot_info(2)
        assert info.capabilities == grant.to_map()
        assert d.executor.local_store(2).capacity == 3
        for budget, count in ((None, 1000), (10, 10), (50_000, 1000)):
            answer = await d.run(budget=budget)
            assert (answer.fault or {})["code"] == "OUT_OF_INSTRUCTIONS"
            assert answer.instructions == count
        assert (await d.run(helpers=(1, 2, 3))).helpers == (1,)
        with pytest.raises(Unprocessable) as caught:
            await d.run(engine="jit")
        assert caught.value.code == "jit-denied"
        for stack, fault in ((64, "ILLEGAL_MEM"), (72, None)):
            image = Image(content=deep)
            number = d.slots.sequence_number + 1
            update = granting(form, image, Capabilities(stack=stack), number)
            assert (await d.update(update, image)).result == "OK"
            for engine in ("switch", "interpreter", "jit"):
                assert ((await d.run(engine=engine)).fault or {}).get("code") == fault
        await d.executor.undeploy(2)
        assert d.executor.local_store(2).capacity == 16


@FORMATS
async def test_p18_a_signature_can_raise_the_budget(form: Format) -> None:
    image = Image(content=SPIN)
    async with device() as d:
        assert (await d.update(granting(form, image, Capabilities(budget=150_000)), image)).result == "OK"
        assert (await d.run()).instructions == 150_000
        assert (await d.update(form.update(image, number=9), image)).result == "OK"
        assert (await d.run()).instructions == 100_000


async def test_p18_capabilities_outlive_a_restart(tmp_path: Path) -> None:
    image = Image(content=SPIN)
    state = StateDirectory(tmp_path)
    async with device(backing=state) as d:
        await d.update(granting(RIOT, image, Capabilities(budget=70, store=2)), image)
    state.close()
    state = StateDirectory(tmp_path)
    async with device(backing=state) as d:
        assert d.executor.local_store(2).capacity == 2
        assert (await d.run()).instructions == 70
        assert d.executor.slot_info(2).capabilities == {"budget": 70, "store": 2}
    state.close()


@FORMATS
async def test_p18_a_profile_that_was_signed(form: Format) -> None:
    divides = assemble("mov r0, 1\nmov r1, 0\ndiv r0, r1\nexit")
    image = Image(content=divides)
    async with device() as d:
        assert (await d.update(granting(form, image, Capabilities()), image)).result == "OK"
        assert (await d.run()).r0_signed == 0
        assert (await d.update(granting(form, image, Capabilities(profile="femto"), 9), image)).result == "OK"
        assert d.executor.slot_info(2).profile == "femto"
        assert ((await d.run()).fault or {})["code"] == "ILLEGAL_DIV"


# P19

FIELD = 2**255 - 19
SMALL = [
    *(number.to_bytes(32, "little") for number in (0, 1, FIELD - 1, FIELD, FIELD + 1)),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
]


@pytest.mark.parametrize("top", [0, 0x80])
@pytest.mark.parametrize("raw", SMALL, ids=lambda raw: raw.hex()[:8])
def test_p19_keys_of_small_order(tmp_path: Path, raw: bytes, top: int) -> None:
    raw = raw[:31] + bytes([raw[31] | top])
    pem = Ed25519PublicKey.from_public_bytes(raw).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "k.pem.pub").write_bytes(pem)
    with pytest.raises(ConfigError, match="small order"):
        trust.TrustStore.load(tmp_path)


@pytest.mark.parametrize("passphrase", [None, b"secret"], ids=["plain", "encrypted"])
@pytest.mark.parametrize("kind", wire.KeyType, ids=lambda kind: kind.value)
def test_p19_private_keys_stay_with_their_owner(
    tmp_path: Path, kind: wire.KeyType, passphrase: bytes | None
) -> None:
    path = tmp_path / "k.pem"
    keys.generate(path, kind=kind, passphrase=passphrase)
    assert path.stat().st_mode & 0o777 == 0o600
    assert keys.is_private(path.read_bytes())
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    shutil.copy(path, trusted / "innocent.txt")
    with pytest.raises(ConfigError, match="private key"):
        trust.TrustStore.load(trusted)


@FORMATS
async def test_p19_a_key_that_is_removed_while_its_update_is_fetched(form: Format) -> None:
    async with device() as d:

        def served() -> bytes:
            d.trusted = trust.TrustStore((trust.TrustedKey("new", OTHER.public_key()),))
            return SEVEN

        d.files |= {MANIFEST_URL: form.update(), Image().url: served}
        before = d.state()
        assert (await d.installer.update_from(MANIFEST_URL)).result == "BAD_SIGNATURE"
        assert d.state() == before
        assert d.images_asked


@FORMATS
async def test_p19_a_key_that_is_removed_while_runs_are_given_time_to_end(form: Format) -> None:
    spin = Image(content=SPIN)
    async with device() as d:
        granted = granting(form, spin, Capabilities(budget=2**32 - 1))
        assert (await d.update(granted, spin)).result == "OK"
        running = asyncio.create_task(d.run(timeout_ms=60_000))
        await eventually(lambda: d.executor.slot_info(2).state == "running")
        update = asyncio.create_task(d.refused(form.update(number=9), Image(), fetched=True))
        await eventually(lambda: d.executor._slots.at(2).closed)
        d.trusted = trust.TrustStore()
        assert await update == "BAD_SIGNATURE"
        await asyncio.gather(running, return_exceptions=True)


@FORMATS
async def test_p19_rotation(form: Format) -> None:
    """Old, then both, then new: what the old key signed before is refused from then on as well."""
    before = form.sign(form.manifest(number=10), [KEY])
    async with device(keys=(KEY.public_key(), OTHER.public_key())) as d:
        for number, signers in ((7, [KEY]), (8, [KEY, OTHER]), (9, [OTHER])):
            envelope = form.sign(form.manifest(number=number), signers)
            assert (await d.update(envelope, Image())).result == "OK"
        d.trusted = trust.TrustStore((trust.TrustedKey("new", OTHER.public_key()),))
        assert await d.refused(before, Image()) == "BAD_SIGNATURE"
        assert await d.refused(form.sign(form.manifest(number=11), [KEY]), Image()) == "BAD_SIGNATURE"
        assert (await d.update(form.sign(form.manifest(number=11), [KEY, OTHER]), Image())).result == "OK"
        d.trusted = trust.TrustStore()
        assert await d.refused(form.sign(form.manifest(number=12), [OTHER]), Image()) == "BAD_SIGNATURE"
