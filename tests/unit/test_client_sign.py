"""`client keygen`, `sign` and what they say no to: formats, capabilities, several keys, several slots."""

from __future__ import annotations

import json
import stat
from hashlib import sha256
from pathlib import Path
from time import time
from typing import Any

import cbor2
import pytest
from click.testing import CliRunner, Result

from client.cli import cli
from client.inspection import inspect, keys_of
from client.keys import load_signers
from client.terms import Terms, capabilities_of
from device.errors import ConfigError
from device.suit.capabilities import Capabilities
from tests.device_bench import OBJECTS

HELLO, COUNTER = OBJECTS / "hello.o", OBJECTS / "counter.o"
BASE = "coap://10.0.0.1"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name, kind in (("old", "ed25519"), ("new", "ed25519"), ("curve", "p256")):
        assert client("keygen", "--to", str(tmp_path / f"{name}.pem"), "--type", kind).exit_code == 0
    return tmp_path


def client(*arguments: str) -> Result:
    env = {"MICROBPF_DEVICE": None, "MICROBPF_KEY": None, "XDG_DATA_HOME": "/nowhere"}
    return CliRunner().invoke(cli, list(arguments), env=env)


def sign(home: Path, *options: str, key: str = "old", program: Path = HELLO) -> Result:
    return client(
        *("sign", str(program), "--seq", "7", "--board", "native64", "--fetch-base", BASE, "--to", str(home)),
        *("--key", str(home / f"{key}.pem"), *options, "-o", "json"),
    )


def signed(
    home: Path, *options: str, key: str = "old", program: Path = HELLO
) -> tuple[dict[str, Any], bytes]:
    done = sign(home, *options, key=key, program=program)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)["results"][0]["result"]
    return result, Path(result["manifest_file"]).read_bytes()


@pytest.mark.parametrize(("suit", "start"), [("riot", "a20258"), ("ietf", "d86ba202")])
@pytest.mark.parametrize("key", ["old", "curve"])
def test_formats_and_kinds_of_keys(home: Path, suit: str, start: str, key: str) -> None:
    result, envelope = signed(home, "--suit", suit, key=key)
    assert (result["suit"], result["capabilities"], result["also"]) == (suit, None, [])
    assert envelope.hex().startswith(start)
    found = inspect(envelope, keys_of(home / f"{key}.pem.pub"), required=True)
    assert (found.problems, found.signers) == ((), (key,))
    assert Path(result["image_file"]).read_bytes()


def test_capabilities_are_signed_only_when_asked_for(home: Path) -> None:
    options = ("--helpers", "0x13,1", "--budget", "5000", "--stack", "256", "--store", "3", "--no-jit")
    result, envelope = signed(home, *options, "--profile", "ubpf")
    granted = {
        "helpers": [1, 0x13],
        "stack": 256,
        "budget": 5000,
        "store": 3,
        "profile": "ubpf",
        "jit": False,
    }
    assert result["capabilities"] == granted
    assert inspect(envelope).to_map()["images"][0]["capabilities"] == granted


def test_a_number_from_the_clock(home: Path) -> None:
    before = int(time())
    done = client(
        *("sign", str(HELLO), "--seq", "clock", "--fetch-base", BASE, "--to", str(home)),
        *("--key", str(home / "old.pem"), "-o", "json"),
    )
    number = json.loads(done.stdout)["results"][0]["result"]["sequence_number"]
    assert before <= number <= int(time())


def test_two_keys_while_they_are_being_changed(home: Path) -> None:
    _, envelope = signed(home, "--key", str(home / "new.pem"))
    assert inspect(envelope, keys_of(home)).signers == ("old", "new")
    for name in ("old", "new"):
        assert inspect(envelope, keys_of(home / f"{name}.pem.pub"), required=True).problems == ()


def test_several_slots(home: Path) -> None:
    result, envelope = signed(home, "--also", f"3={COUNTER}", "--budget", "9")
    planned = inspect(envelope, board="native64").to_map()["images"]
    assert [(one["slot"], one["capabilities"]) for one in planned] == [(0, {"budget": 9}), (3, {"budget": 9})]
    (also,) = result["also"]
    assert (also["slot"], len((home / also["image"]).read_bytes())) == (3, also["size"])
    assert planned[1]["uri"] == f"{BASE}/{also['image']}"


def test_each_program_has_grants_of_its_own(home: Path) -> None:
    grants = ("--grant", "3:budget=500", "--grant", "3:helpers=0x13,1", "--grant", "0:jit=no")
    result, envelope = signed(home, "--also", f"3={COUNTER}", "--budget", "9", *grants)
    planned = {one["slot"]: one["capabilities"] for one in inspect(envelope).to_map()["images"]}
    assert planned == {0: {"budget": 9, "jit": False}, 3: {"budget": 500, "helpers": [1, 0x13]}}
    assert {0: result["capabilities"], 3: result["also"][0]["capabilities"]} == planned


@pytest.mark.parametrize(("layout", "code"), [("text", 0), ("femto", 1), ("extended", 2), ("elf", 3)])
def test_the_layout_is_granted_with_the_image_that_has_it(home: Path, layout: str, code: int) -> None:
    program = OBJECTS / "add.o"
    result, envelope = signed(home, "--layout", layout, "--fix-layout", program=program)
    assert result["capabilities"] == {"layout": code}
    assert inspect(envelope).to_map()["images"][0]["capabilities"] == {"layout": code}


def test_a_severed_install_section(home: Path) -> None:
    _, whole = signed(home, "--suit", "ietf")
    _, envelope = signed(home, "--suit", "ietf", "--sever")
    members, manifest = cbor2.loads(envelope).value, cbor2.loads(cbor2.loads(envelope).value[3])
    section = cbor2.loads(cbor2.loads(whole).value[3])[20]
    assert set(members) == {2, 3, 20}
    assert members[20] == section
    assert manifest[20] == [-16, sha256(cbor2.dumps(section)).digest()]
    assert inspect(envelope).problems == ()
    assert inspect(envelope).plan == inspect(whole).plan
    cut = cbor2.dumps(cbor2.CBORTag(107, {key: members[key] for key in (2, 3)}), canonical=True)
    assert [problem.code for problem in inspect(cut).problems] == ["MALFORMED"]


@pytest.mark.parametrize("sever", [(), ("--sever",)], ids=["whole", "severed"])
def test_images_in_the_envelope(home: Path, sever: tuple[str, ...]) -> None:
    result, envelope = signed(home, "--suit", "ietf", "--integrate", "--also", f"3={COUNTER}", *sever)
    images = {f"#{one['image']}": one["tag"] for one in (result, *result["also"])}
    members = cbor2.loads(envelope).value
    found = {key: sha256(value).hexdigest()[:8] for key, value in members.items() if isinstance(key, str)}
    assert found == images
    assert (result["image_url"], result["image_file"]) == (f"#{result['image']}", None)
    assert not list(home.glob("*.bin"))
    assert [one["uri"] for one in inspect(envelope).to_map()["images"]] == list(images)


def test_the_url_of_the_image_is_told_as_it_was_signed(home: Path) -> None:
    result, envelope = signed(home, "--uri", f"{BASE}/x.bin")
    assert result["image_url"] == f"{BASE}/x.bin"
    assert inspect(envelope).to_map()["images"][0]["uri"] == f"{BASE}/x.bin"


@pytest.mark.parametrize("many", [(), ("--suit", "ietf", "--integrate")], ids=["small", "large"])
def test_an_envelope_that_is_too_large_as_devices_come_is_remarked_upon(
    home: Path, many: tuple[str, ...]
) -> None:
    done = sign(home, *many, program=COUNTER)
    assert (done.exit_code, "--limit envelope" in done.stderr) == (0, bool(many)), done.stderr


@pytest.mark.parametrize(
    ("options", "exit_code", "where"),
    [
        (("--sever",), 2, "--sever"),
        (("--suit", "riot", "--integrate"), 2, "--integrate"),
        (("--suit", "ietf", "--integrate", "--uri", f"{BASE}/x.bin"), 2, "--uri"),
        (("--grant", "budget=5"), 2, "--grant"),
        (("--grant", "0:budget"), 2, "--grant"),
        (("--grant", "0:speed=5"), 2, "--grant"),
        (("--grant", "0:budget=x"), 2, "--grant"),
        (("--grant", "0:budget=0"), 2, "--grant"),
        (("--grant", "0:helpers=x"), 2, "--grant"),
        (("--grant", "0:jit=maybe"), 2, "--grant"),
        (("--grant", "x:budget=5"), 2, "--grant"),
        (("--grant", "1:budget=5"), 2, "--grant"),
        (("--budget", "0"), 2, "--budget"),
        (("--budget", "x"), 2, "--budget"),
        (("--stack", "33"), 2, "--stack"),
        (("--stack", "520"), 2, "--stack"),
        (("--store", "-1"), 2, "--store"),
        (("--helpers", "0x10000"), 2, "--helpers"),
        (("--profile", "other"), 2, "--profile"),
        (("--also", "1"), 2, "--also"),
        (("--also", "1=/nowhere/x.o"), 2, "--also"),
        (("--also", f"0={COUNTER}"), 2, "--also"),
        (("--also", f"256={COUNTER}"), 2, "--also"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_signed(home: Path, options: tuple[str, ...], exit_code: int, where: str) -> None:
    done = sign(home, *options)
    error = json.loads(done.stdout)["results"][0]["error"]
    assert (done.exit_code, error["where"]) == (exit_code, where)
    assert not list(home.glob("*.signed"))


def test_a_helper_that_is_not_granted_ends_it_before_anything_is_signed(home: Path) -> None:
    done = sign(home, "--helpers", "0x02")
    error = json.loads(done.stdout)["results"][0]["error"]
    assert (done.exit_code, error["code"]) == (4, "helper-denied")
    assert not list(home.glob("*.signed"))


def test_a_helper_of_another_profile(home: Path) -> None:
    done = sign(home, "--helpers", "1,0x100")
    assert (done.exit_code, "CAPABILITY" in done.stdout) == (4, True)


def test_more_keys_than_signatures(home: Path) -> None:
    with pytest.raises(ConfigError, match="5 keys"):
        load_signers([home / "old.pem"] * 5)


def test_an_encrypted_key_among_others(home: Path) -> None:
    (home / "pass").write_text("open sesame\n")
    locked, phrase = str(home / "locked.pem"), str(home / "pass")
    assert client("keygen", "--to", locked, "--pass-file", phrase).exit_code == 0
    content = (home / "locked.pem").read_bytes()
    assert stat.S_IMODE(Path(locked).stat().st_mode) == 0o600
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in content
    _, envelope = signed(home, "--key", locked, "--pass-file", phrase)
    assert inspect(envelope, keys_of(home)).signers == ("old", "locked")


def test_terms() -> None:
    with pytest.raises(ConfigError):
        Terms("other")
    assert capabilities_of() == Capabilities()
    assert capabilities_of(helpers=(2, 1, 2)).helpers == (1, 2)
    assert Terms(capabilities=Capabilities(profile="sming")).profile(0).name == "sming"


def test_grants_of_one_slot_replace_those_of_all() -> None:
    own = Capabilities(budget=5, profile="femto")
    terms = Terms(capabilities=Capabilities(budget=9, stack=64), for_slots=((1, own),))
    assert terms.granted(0) == Capabilities(budget=9, stack=64)
    assert terms.granted(1) == Capabilities(budget=5, stack=64, profile="femto")
    assert [terms.profile(slot).name for slot in (0, 1)] == ["ubpf", "femto"]


@pytest.mark.parametrize(("mode", "said"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_private_key_that_others_may_read_is_remarked_upon(home: Path, mode: int, said: bool) -> None:
    (home / "old.pem").chmod(mode)
    done = sign(home)
    assert (done.exit_code, "others may read the private key" in done.stderr) == (0, said)
