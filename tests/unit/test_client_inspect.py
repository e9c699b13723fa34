"""`client inspect`: every envelope is readable, whatever state it is in, and says what is wrong with it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from client.cli import cli
from client.inspection import NamedKey, inspect
from device.suit import build, wire
from device.suit.capabilities import Capabilities
from tests.property.hostile_cbor import mutate_bytes
from tests.unit.test_suit import (
    ENVELOPES,
    KEY,
    OTHER,
    PLANS,
    WORKED,
    description,
    manifest_map,
    signed,
)

OURS = NamedKey("ours", KEY.public_key())
GRANT = Capabilities((1, 0x13), 512, 100_000, 16, 3, "ubpf", True)


def both() -> bytes:
    """An envelope of the ietf profile with all that it can have: two images, a payload, capabilities."""
    further = (build.Image(3, "#x", b"123"),)
    made = description(profile=wire.IETF, capabilities=GRANT, further=further)
    return build.sign_manifest(build.build_manifest(made), [KEY], wire.IETF, beside={"#x": b"123"})


def client(*arguments: str, stdin: bytes | None = None) -> Result:
    env = {"XDG_DATA_HOME": "/nowhere", "MICROBPF_KEY": None}
    return CliRunner().invoke(cli, ["inspect", *arguments], input=stdin, env=env)


def test_a_good_one() -> None:
    found = inspect(WORKED, [OURS], required=True)
    assert (found.problems, found.signers) == ((), ("ours",))
    assert [line.strip() for line in found.text] == [
        "envelope, riot profile, 276 bytes",
        "authentication",
        "signature 0: algorithm EdDSA (-8), payload [2,"
        " h'94fdd12c02ad5e555006a75658cba0a3e323a1419d89266f672c28e8c49f89f7'], 64 bytes of signature",
        "manifest, 155 bytes",
        "version 1",
        "sequence number 7",
        "common",
        "component 0: .ram.2",
        "sequence",
        "directive override parameters",
        "vendor id 547d0d74-6d3a-5a92-9662-4881afd9407b (riot-os.org)",
        "class id 9251dc23-fd9d-503f-94c4-bfb95f3167b1 (native64)",
        "image digest [2, h'b11459a0e11ca14cbaa33cc108ffff8ff07ba54b6c389514b3c122ab54b34551']",
        "image size 16",
        "condition vendor identifier 15",
        "condition class identifier 15",
        "install",
        "directive set parameters",
        'uri "coap://[fd00::1]/program-2-7.bin"',
        "directive fetch 2",
        "condition image match 15",
        "validate",
        "condition image match 15",
    ]


def test_all_that_the_other_profile_can_have() -> None:
    found = inspect(both())
    text = [line.strip() for line in found.text]
    assert found.problems == ()
    for line in (
        "envelope, ietf profile, 435 bytes",
        "component 1: .ram.3",
        "directive set component index 1",
        "helpers 0x01 bpf_printf, 0x13 bpf_fetch_global",
        "budget 100000",
        "payload #x: 3 bytes, SHA-256 a665a45920422f9d417e4867efdc4fb8a04a1f3fff1fa07e998e86f7f7a27ae3",
    ):
        assert line in text
    assert [image["capabilities"] for image in found.to_map()["images"]] == [GRANT.to_map(), None]


@pytest.mark.parametrize("name", ENVELOPES)
def test_every_bad_envelope_is_shown_with_what_a_device_says(name: str) -> None:
    make, code = ENVELOPES[name]
    found = inspect(make(), [OURS], required=True)
    assert [problem.code for problem in found.problems][:1] == ([code] if code else [])
    assert found.text


LEFT_TO_THE_DEVICE = {
    "same number", "number 0", "two components", "slot 5", "size over the slot", "wrong board",
    "wrong vendor", "foreign host",
}  # fmt: skip


@pytest.mark.parametrize("name", PLANS)
def test_every_bad_manifest_too(name: str) -> None:
    changes, code = PLANS[name]
    members = {key: value for key, value in {**manifest_map(), **changes}.items() if value is not None}
    found = inspect(signed(members))
    assert found.text
    if name not in LEFT_TO_THE_DEVICE:
        assert [problem.code for problem in found.problems] == [code]


def test_another_board_is_a_problem_where_one_is_named() -> None:
    assert inspect(WORKED, board="native64").problems == ()
    assert [problem.code for problem in inspect(WORKED, board="native").problems] == ["CLASS_MISMATCH"]


def test_a_signature_of_somebody_else_is_a_problem_where_one_is_required() -> None:
    foreign = signed(manifest_map(), OTHER)
    assert inspect(foreign, [OURS]).problems == ()
    assert [p.code for p in inspect(foreign, [OURS], required=True).problems] == ["BAD_SIGNATURE"]


def test_nothing_that_can_be_read_breaks_it() -> None:
    source = random.Random(5)
    for original in (WORKED, both(), signed(manifest_map(), KEY, OTHER)):
        for _ in range(700):
            found = inspect(mutate_bytes(source, original), [OURS], required=True)
            assert found.text
            assert json.dumps(found.to_map())


def test_hostile_text_reaches_no_terminal() -> None:
    made = build.build_manifest(description(profile=wire.IETF))
    hostile = build.sign_manifest(made, [KEY], wire.IETF, beside={"#\x1b[2J\u202e": b"x"})
    shown = "".join(inspect(hostile).text)
    assert not {"\x1b", "\u202e"} & set(shown)


@pytest.mark.parametrize(
    ("content", "options", "exit_code", "said"),
    [
        (WORKED, (), 0, "signature 0: by no key at hand"),
        (WORKED, ("--board", "native"), 1, "CLASS_MISMATCH"),
        (b"", (), 1, "the envelope is empty"),
        (b"hello", (), 1, "FORMAT"),
        (build.sign_manifest(b"\xa0", []), (), 4, "UNSIGNED"),
        (bytes(65_537), (), 2, "are no envelope"),
    ],
    ids=["good", "another board", "empty", "text", "unsigned", "too long"],
)
def test_the_command(content: bytes, options: tuple[str, ...], exit_code: int, said: str) -> None:
    done = client("-", *options, stdin=content)
    assert (done.exit_code, said in done.output) == (exit_code, True)


def test_the_command_asks_for_keys_that_are_named(tmp_path: Path) -> None:
    from device.suit.keys import generate

    generate(tmp_path / "k.pem")
    (tmp_path / "m").write_bytes(WORKED)
    done = client(str(tmp_path / "m"), "--keys", str(tmp_path), "-o", "json")
    answer = json.loads(done.stdout)
    assert (done.exit_code, answer["ok"]) == (4, False)
    error = answer["results"][0]["error"]
    assert (error["code"], error["inspection"]["signers"]) == ("BAD_SIGNATURE", [None])
    empty = tmp_path / "empty"
    empty.mkdir()
    assert client(str(tmp_path / "m"), "--keys", str(empty)).exit_code == 2
