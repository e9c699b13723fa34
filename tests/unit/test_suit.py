"""Envelopes, plans and keys of the riot profile: what is taken, and what each wrong thing is called."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device.errors import ConfigError, MalformedRequest, SuitError
from device.suit import build, cbor, envelope, keys, trust, uri, wire
from device.suit.identity import VENDOR_ID, Identity, class_id, uuid_text
from device.suit.plan import DeviceState, plan

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
IMAGE = bytes.fromhex("b7000000010000009500000000000000")
URI = "coap://[fd00::1]/program-2-7.bin"
STATE = DeviceState(Identity.of("native64"), 6, 5, 4096, allowed_hosts=("fd00::1",))

# suit.md section 7: Ed25519 is deterministic, so the bytes are too.
WORKED = bytes.fromhex(
    "a202587281586fd28443a10127a058248202582094fdd12c02ad5e555006a75658cba0a3e323a1419d89266f672c28e8c49f89f7"
    "5840581de6a673930e416c8851958f1b306fc2a22dbfd02595d9856316068bab77f1dfabcfc538f0306923b9eea19951656334db"
    "9f456351d8cf3990593750bf450703589ba501010207035861a20281824372616d41320458548614a40150547d0d746d3a5a9296"
    "624881afd9407b02509251dc23fd9d503f94c4bfb95f3167b103582482025820b11459a0e11ca14cbaa33cc108ffff8ff07ba54b"
    "6c389514b3c122ab54b345510e10010f020f09582a8613a1157820636f61703a2f2f5b666430303a3a315d2f70726f6772616d2d"
    "322d372e62696e1502030f0a4382030f"
)


def description(**changes: Any) -> build.Description:
    values = {"board": "native64", "slot": 2, "sequence_number": 7, "uri": URI, "image": IMAGE, **changes}
    return build.Description(**values)


def manifest_map() -> dict[int, Any]:
    found: dict[int, Any] = cbor2.loads(build.build_manifest(description()))
    return found


def signed(manifest: dict[int, Any] | bytes, *signers: Ed25519PrivateKey) -> bytes:
    encoded = manifest if isinstance(manifest, bytes) else cbor.encode(manifest)
    return build.sign_manifest(encoded, signers or (KEY,))


def verified(data: bytes) -> envelope.VerifiedManifest:
    return envelope.verify(data, [KEY.public_key()])


def refused_verify(data: bytes) -> str:
    with pytest.raises(SuitError) as caught:
        verified(data)
    return caught.value.code


def refused_plan(manifest: dict[int, Any] | bytes, state: DeviceState = STATE) -> str:
    with pytest.raises(SuitError) as caught:
        plan(verified(signed(manifest)), state)
    return caught.value.code


def test_worked_example_is_reproduced() -> None:
    assert signed(build.build_manifest(description())) == WORKED


def test_worked_example_is_planned() -> None:
    planned = plan(verified(WORKED), STATE)
    (operation,) = planned.operations
    assert planned.sequence_number == 7
    assert (operation.slot, operation.uri, operation.size) == (2, URI, 16)
    assert operation.digest == sha256(IMAGE).digest()


@pytest.mark.parametrize(
    ("board", "text"),
    [
        ("native", "bcc90984-fe7d-562b-b4c9-a24f26a3a9cd"),
        ("native64", "9251dc23-fd9d-503f-94c4-bfb95f3167b1"),
        ("nucleo-f439zi", "b45f54ed-15c6-536a-9d52-9915cccfef6f"),
        ("nucleo-f446re", "5526a061-b6c7-5848-a018-774d773483ac"),
    ],
)
def test_class_ids(board: str, text: str) -> None:
    assert uuid_text(class_id(board)) == text
    assert uuid_text(VENDOR_ID) == "547d0d74-6d3a-5a92-9662-4881afd9407b"


@pytest.mark.parametrize("index", range(len(WORKED)))
def test_no_flipped_bit_is_accepted(index: int) -> None:
    for bit in range(8):
        flipped = bytearray(WORKED)
        flipped[index] ^= 1 << bit
        with pytest.raises(SuitError):
            verified(bytes(flipped))


@pytest.mark.parametrize("length", range(len(WORKED)))
def test_no_truncation_is_accepted(length: int) -> None:
    with pytest.raises(SuitError):
        verified(WORKED[:length])


def test_signed_with_two_keys_either_is_enough() -> None:
    both = signed(manifest_map(), OTHER, KEY)
    assert verified(both).manifest == verified(WORKED).manifest
    assert envelope.verify(both, [OTHER.public_key()]).manifest == verified(WORKED).manifest


def block(
    protected: bytes | None = None,
    unprotected: Any = None,
    payload: bytes | None = None,
    signature: bytes | None = None,
    tag: int = 18,
) -> bytes:
    """A signature block with one part replaced, signed over what it then says."""
    protected = cbor.encode({1: -8}) if protected is None else protected
    digest = sha256(cbor2.dumps(cbor.encode(manifest_map()))).digest()
    payload = cbor.encode([2, digest]) if payload is None else payload
    message = cbor2.dumps(["Signature1", protected, b"", payload])
    parts = [protected, {} if unprotected is None else unprotected, payload, signature or KEY.sign(message)]
    return cbor2.dumps(cbor2.CBORTag(tag, parts))


def with_blocks(*blocks: bytes, **members: Any) -> bytes:
    return cbor.encode({2: cbor.encode(list(blocks)), 3: cbor.encode(manifest_map()), **members})


def beyond_order(signature: bytes) -> bytes:
    order = 2**252 + 27742317777372353535851937790883648493
    number = int.from_bytes(signature[32:], "little") + order
    return signature[:32] + number.to_bytes(32, "little")


GOOD_SIGNATURE = WORKED[52:116]
ENVELOPES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "MALFORMED"),
    "riot in the tag of ietf": (lambda: b"\xd8\x6b" + WORKED, "MALFORMED"),
    "bare manifest tag": (lambda: b"\xd9\x04\x2e" + WORKED, "FORMAT"),
    "array": (lambda: b"\x82" + WORKED[1:], "FORMAT"),
    "text": (lambda: b"hello", "FORMAT"),
    "bytes after it": (lambda: WORKED + b"\0", "MALFORMED"),
    "indefinite map": (lambda: b"\xbf" + WORKED[1:] + b"\xff", "MALFORMED"),
    "longer key": (lambda: b"\xa2\x18\x02" + WORKED[2:], "MALFORMED"),
    "empty map": (lambda: b"\xa0", "UNSIGNED"),
    "no authentication": (lambda: cbor.encode({3: b"x"}), "UNSIGNED"),
    "no manifest": (lambda: cbor.encode({2: cbor.encode([block()])}), "MALFORMED"),
    "no signature": (lambda: build.sign_manifest(cbor.encode(manifest_map()), []), "UNSIGNED"),
    "unknown member": (
        lambda: cbor.encode({2: cbor.encode([block()]), 3: cbor.encode(manifest_map()), 4: b""}),
        "MALFORMED",
    ),
    "text member": (
        lambda: cbor.encode({2: cbor.encode([block()]), 3: cbor.encode(manifest_map()), "#x": b""}),
        "UNSUPPORTED",
    ),
    "another key": (lambda: signed(manifest_map(), OTHER), "BAD_SIGNATURE"),
    "good block": (lambda: with_blocks(block()), ""),
    "kid allowed": (lambda: with_blocks(block(cbor.encode({1: -8, 4: b"k"}))), ""),
    "crit": (lambda: with_blocks(block(cbor.encode({1: -8, 2: [1]}))), "MALFORMED"),
    "no alg": (lambda: with_blocks(block(b"\xa0")), "MALFORMED"),
    "alg unprotected": (lambda: with_blocks(block(b"\xa0", {1: -8})), "MALFORMED"),
    "alg unknown": (lambda: with_blocks(block(cbor.encode({1: -19}))), "ALG_UNSUPPORTED"),
    "es256 header": (lambda: with_blocks(block(cbor.encode({1: -7}))), "BAD_SIGNATURE"),
    "63 bytes": (lambda: with_blocks(block(signature=bytes(63))), "MALFORMED"),
    "65 bytes": (lambda: with_blocks(block(signature=bytes(65))), "MALFORMED"),
    "S beyond L": (lambda: with_blocks(block(signature=beyond_order(GOOD_SIGNATURE))), "BAD_SIGNATURE"),
    "tag 17": (lambda: with_blocks(block(tag=17)), "UNSUPPORTED"),
    "tag 98": (lambda: with_blocks(block(tag=98)), "UNSUPPORTED"),
    "tag 19": (lambda: with_blocks(block(tag=19)), "MALFORMED"),
    "five blocks": (lambda: with_blocks(*[block()] * 5), "TOO_COMPLEX"),
    "one bad block": (lambda: with_blocks(block(), block(signature=bytes(1))), "MALFORMED"),
    "digest id 1": (lambda: with_blocks(block(payload=cbor.encode([1, bytes(32)]))), "MALFORMED"),
    "digest id -16": (lambda: with_blocks(block(payload=cbor.encode([-16, bytes(32)]))), "MALFORMED"),
    "digest of 31": (lambda: with_blocks(block(payload=cbor.encode([2, bytes(31)]))), "MALFORMED"),
    "another manifest": (lambda: with_blocks(block(payload=cbor.encode([2, bytes(32)]))), "MANIFEST_DIGEST"),
}


@pytest.mark.parametrize("name", ENVELOPES)
def test_envelopes(name: str) -> None:
    make, code = ENVELOPES[name]
    if code:
        assert refused_verify(make()) == code
    else:
        assert verified(make()).manifest == cbor.encode(manifest_map())


def test_without_keys_every_update_is_refused() -> None:
    with pytest.raises(SuitError) as caught:
        envelope.verify(WORKED, [])
    assert caught.value.code == "BAD_SIGNATURE"
    assert "--keys" in caught.value.hint


@pytest.mark.parametrize(
    ("hexadecimal", "code"),
    [
        pytest.param("81" * 9 + "01", "TOO_COMPLEX", id="nested nine deep"),
        pytest.param("5bffffffffffffffff", "MALFORMED", id="length beyond the end"),
        pytest.param("9b0000000100000000", "MALFORMED", id="count beyond the end"),
        pytest.param("a201020102", "MALFORMED", id="key twice"),
        pytest.param("a202010102", "MALFORMED", id="keys out of order"),
        pytest.param("f93c00", "MALFORMED", id="float"),
        pytest.param("f7", "MALFORMED", id="undefined"),
        pytest.param("e0", "MALFORMED", id="simple value"),
        pytest.param("1801", "MALFORMED", id="longer integer"),
        pytest.param("61ff", "MALFORMED", id="no UTF-8"),
        pytest.param("c249010000000000000000", "MALFORMED", id="bignum"),
        pytest.param("d9d9f700", "MALFORMED", id="self-described"),
        pytest.param("5f4101ff", "MALFORMED", id="indefinite bytes"),
        pytest.param("a1410101", "MALFORMED", id="byte string as key"),
        pytest.param("", "MALFORMED", id="nothing"),
        pytest.param("0000", "MALFORMED", id="two items"),
    ],
)
def test_strict_decoding(hexadecimal: str, code: str) -> None:
    with pytest.raises(SuitError) as caught:
        cbor.decode(bytes.fromhex(hexadecimal), "here")
    assert caught.value.code == code


def install(*commands: Any) -> bytes:
    return cbor.encode(list(commands))


FETCH = (wire.SET_PARAMETERS, {wire.URI: URI}, wire.FETCH, 2, wire.IMAGE_MATCH, 15)


def common(components: Any = None, sequence: Any = None) -> bytes:
    usual = cbor2.loads(manifest_map()[wire.COMMON])
    members = {
        wire.COMPONENTS: usual[wire.COMPONENTS] if components is None else components,
        wire.COMMON_SEQUENCE: usual[wire.COMMON_SEQUENCE] if sequence is None else cbor.encode(sequence),
    }
    return cbor.encode(members)


PARAMETERS = {
    wire.VENDOR_ID: VENDOR_ID,
    wire.CLASS_ID: class_id("native64"),
    wire.IMAGE_DIGEST: cbor.encode([2, sha256(IMAGE).digest()]),
    wire.IMAGE_SIZE: len(IMAGE),
}


def parameters(**changes: Any) -> bytes:
    numbers = {"vendor": 1, "klass": 2, "digest": 3, "size": 14}
    values = {**PARAMETERS, **{numbers[name]: value for name, value in changes.items()}}
    kept = {key: value for key, value in values.items() if value is not None}
    return common(sequence=[20, kept, 1, 15, 2, 15])


PLANS: dict[str, tuple[dict[Any, Any], str]] = {
    "version 2": ({1: 2}, "VERSION"),
    "version true": ({1: True}, "MALFORMED"),
    "no version": ({1: None}, "MALFORMED"),
    "same number": ({2: 6}, "ROLLBACK"),
    "number 0": ({2: 0}, "ROLLBACK"),
    "number too large": ({2: 2**32}, "MALFORMED"),
    "no common": ({3: None}, "MALFORMED"),
    "reference URI": ({4: "coap://x"}, "UNSUPPORTED"),
    "payload fetch": ({8: install(*FETCH)}, "UNSUPPORTED"),
    "text": ({13: b""}, "UNSUPPORTED"),
    "no install": ({9: None, 10: None}, "NOTHING_INSTALLED"),
    "no image match": ({9: install(*FETCH[:4]), 10: None}, "POLICY"),
    "match before the image": ({9: install(3, 15)}, "MALFORMED"),
    "fetch twice": ({9: install(*FETCH, 21, 2)}, "MALFORMED"),
    "no URI": ({9: install(21, 2, 3, 15)}, "MALFORMED"),
    "odd sequence": ({9: install(21)}, "MALFORMED"),
    "command as text": ({9: install("21", 2)}, "MALFORMED"),
    "policy 16": ({9: install(21, 16)}, "MALFORMED"),
    "unknown command last": ({10: install(3, 15, 23, 15)}, "UNSUPPORTED"),
    "severed install": ({9: [2, bytes(32)]}, "UNSUPPORTED"),
    "offset": ({9: install(5, 15)}, "CONDITION_FAILED"),
    "index true": ({9: install(12, True)}, "UNSUPPORTED"),
    "index 1": ({9: install(12, 1)}, "MALFORMED"),
    "empty parameters": ({9: install(19, {})}, "MALFORMED"),
    "257 commands": ({10: install(*[3, 15] * 257)}, "TOO_COMPLEX"),
    "fetch in common": ({3: common(sequence=[20, PARAMETERS, 1, 15, 2, 15, 21, 2])}, "POLICY"),
    "no vendor condition": ({3: common(sequence=[20, PARAMETERS, 2, 15])}, "POLICY"),
    "no class condition": ({3: common(sequence=[20, PARAMETERS, 1, 15])}, "POLICY"),
    "wrong vendor": ({3: parameters(vendor=bytes(16))}, "VENDOR_MISMATCH"),
    "wrong board": ({3: parameters(klass=class_id("native"))}, "CLASS_MISMATCH"),
    "vendor of 15": ({3: parameters(vendor=bytes(15))}, "MALFORMED"),
    "class of 17": ({3: parameters(klass=bytes(17))}, "MALFORMED"),
    "no class id": ({3: parameters(klass=None)}, "MALFORMED"),
    "digest sha224": ({3: parameters(digest=cbor.encode([1, bytes(32)]))}, "MALFORMED"),
    "no digest": ({3: parameters(digest=None)}, "MALFORMED"),
    "no size": ({3: parameters(size=None)}, "MALFORMED"),
    "size over the slot": ({3: parameters(size=4097)}, "STORAGE_EXCEEDED"),
    "digest changes": (
        {10: install(20, {3: cbor.encode([2, bytes(32)])}, 3, 15)},
        "MALFORMED",
    ),
    "slot 5": ({3: common([[b"ram", b"5"]])}, "UNKNOWN_COMPONENT"),
    "one part": ({3: common([[b"ram.0"]])}, "UNKNOWN_COMPONENT"),
    "00": ({3: common([[b"ram", b"00"]])}, "UNKNOWN_COMPONENT"),
    "upper case": ({3: common([[b"RAM", b"0"]])}, "UNKNOWN_COMPONENT"),
    "NUL": ({3: common([[b"ram", b"0\0"]])}, "UNKNOWN_COMPONENT"),
    "text parts": ({3: common([["ram", "0"]])}, "MALFORMED"),
    "no components": ({3: common([])}, "MALFORMED"),
    "two components": ({3: common([[b"ram", b"0"], [b"ram", b"1"]])}, "TOO_MANY_COMPONENTS"),
    "foreign host": ({9: install(19, {21: "coap://[fd00::2]/x"}, *FETCH[2:])}, "URI_FORBIDDEN"),
    "text key among parameters": ({9: install(19, {wire.URI: URI, "x": 1})}, "MALFORMED"),
    "text key in the manifest": ({"x": 1}, "MALFORMED"),
    "text key in common": ({3: cbor.encode({2: [[b"ram", b"2"]], "x": 1})}, "MALFORMED"),
    "https": ({9: install(19, {21: "https://[fd00::1]/x"}, *FETCH[2:])}, "URI_FORBIDDEN"),
}


@pytest.mark.parametrize("name", PLANS)
def test_plans(name: str) -> None:
    changes, code = PLANS[name]
    members = {**manifest_map(), **changes}
    assert refused_plan({key: value for key, value in members.items() if value is not None}) == code


USUAL_SEQUENCE = cbor2.loads(cbor2.loads(manifest_map()[wire.COMMON])[wire.COMMON_SEQUENCE])
UNUSED_URI: dict[str, Callable[[str], dict[int, Any]]] = {
    "common": lambda text: {3: common(sequence=[*USUAL_SEQUENCE, 19, {wire.URI: text}, 20, {wire.URI: URI}])},
    "install, set too late": lambda text: {9: install(*FETCH, 20, {wire.URI: text})},
    "install, already set": lambda text: {9: install(19, {wire.URI: URI}, 19, {wire.URI: text}, *FETCH[2:])},
    "validate": lambda text: {10: install(19, {wire.URI: text}, 3, 15)},
}


@pytest.mark.parametrize("where", UNUSED_URI)
@pytest.mark.parametrize(
    ("text", "fine"),
    [
        pytest.param(URI, True, id="one of ours"),
        pytest.param("coap://[fd00::2]/x", False, id="foreign host"),
        pytest.param("http://[fd00::1]/\n", False, id="no coap"),
        pytest.param("coap://[fd00::1]/" + "x" * 111, False, id="128 characters"),
        pytest.param("coap://[fd00::1]/" + "x" * 110, True, id="127 characters"),
        pytest.param("", False, id="nothing"),
    ],
)
def test_uris_that_nothing_fetches_are_judged_too(where: str, text: str, fine: bool) -> None:
    manifest = {**manifest_map(), **UNUSED_URI[where](text)}
    if fine:
        assert plan(verified(signed(manifest)), STATE).operations[0].uri == URI
    else:
        assert refused_plan(manifest) == "URI_FORBIDDEN"


def test_a_held_slot_is_busy() -> None:
    state = DeviceState(Identity.of("native64"), 6, 5, 4096, allowed_hosts=None, held=(2,))
    assert refused_plan(manifest_map(), state) == "SLOT_BUSY"


@pytest.mark.parametrize("text", ["a0", "80", "01", "f6"], ids=["map", "array", "integer", "null"])
def test_a_signed_manifest_that_is_none(text: str) -> None:
    assert refused_plan(bytes.fromhex(text)) == "MALFORMED"


@pytest.mark.parametrize(
    "text",
    [
        "coap://h",
        "coap://h:5683/a/b.bin",
        "coap://[fd00::1]/x",
        "coap://[fe80::1%25eth0]:61616/x",
        "coap://10.0.0.1/x",
    ],
)
def test_uris_that_are_fine(text: str) -> None:
    uri.check(text, None)


@pytest.mark.parametrize(
    "text",
    [
        *("", "coap:", "coap://", "COAP://h/x", "coaps://h/x", "http://h/x", "coap://u@h/x", "coap://h/x?q"),
        *("coap://h/x#f", "coap://h/ x", "coap://h/\n", "coap://h/ä", "coap://h/../x", "coap://h/./x"),
        *("coap://h/%2e%2e/x", "coap://h/a%2Fb", "coap://h/%00", "coap://h/%zz", "coap://h:0/x"),
        *("coap://h:65536/x", "coap://[::g]/x", "coap://[::1/x", "coap://h/" + "x" * 128),
    ],
)
def test_uris_that_are_not(text: str) -> None:
    with pytest.raises(MalformedRequest):
        uri.check(text, None)


@pytest.mark.parametrize(
    ("host", "allowed", "fine"),
    [
        ("[fd00::1]", ("fd00:0:0::1",), True),
        ("[::ffff:10.0.0.1]", ("10.0.0.1",), True),
        ("files", ("files",), True),
        ("Files", ("files",), False),
        ("10.0.0.2", ("10.0.0.1",), False),
        ("anything", ("any",), True),
        ("anything", (), False),
    ],
)
def test_hosts(host: str, allowed: tuple[str, ...], fine: bool) -> None:
    if fine:
        uri.check(f"coap://{host}/x", allowed)
    else:
        with pytest.raises(SuitError) as caught:
            uri.check(f"coap://{host}/x", allowed)
        assert caught.value.code == "URI_FORBIDDEN"


RELOADS: dict[str, tuple[Callable[[Path], object], tuple[str, ...], str]] = {
    "nothing": (lambda d: None, ("a", "b"), ""),
    "one removed": (lambda d: (d / "a.pem.pub").unlink(), ("b",), ""),
    "all removed": (shutil.rmtree, (), ""),
    "one added": (lambda d: shutil.copy(d.parent / "c.pem.pub", d), ("a", "b", "c"), ""),
    "one added, half of it": (
        lambda d: (d / "c.pem.pub").write_bytes((d.parent / "c.pem.pub").read_bytes()[:50]),
        ("a", "b"),
        "c.pem.pub is no public key",
    ),
    "a private one added": (
        lambda d: shutil.copy(d.parent / "c.pem", d),
        ("a", "b"),
        "c.pem is a private key",
    ),
    "one overwritten": (lambda d: (d / "a.pem.pub").write_text("x"), ("b",), "a.pem.pub is no public"),
}


class TestKeys:
    def test_pair(self, tmp_path: Path) -> None:
        path = tmp_path / "k.pem"
        keys.generate(path)
        assert path.stat().st_mode & 0o777 == 0o600
        assert b"BEGIN PRIVATE KEY" in path.read_bytes()
        public = keys.load_public(tmp_path / "k.pem.pub")
        assert public == keys.load_private(path).public_key()

    def test_never_overwritten(self, tmp_path: Path) -> None:
        keys.generate(tmp_path / "k.pem")
        before = (tmp_path / "k.pem").read_bytes()
        with pytest.raises(ConfigError, match="exists"):
            keys.generate(tmp_path / "k.pem")
        assert (tmp_path / "k.pem").read_bytes() == before

    def test_pass_phrase(self, tmp_path: Path) -> None:
        path = tmp_path / "k.pem"
        keys.generate(path, passphrase=b"sesame seeds")
        assert b"ENCRYPTED" in path.read_bytes()
        keys.load_private(path, b"sesame seeds")
        for wrong in (None, b"sesame"):
            with pytest.raises(ConfigError) as caught:
                keys.load_private(path, wrong)
            assert "sesame" not in str(caught.value)

    def test_other_keys_are_named(self, tmp_path: Path) -> None:
        path = tmp_path / "p384.pem"
        pem = generate_private_key(SECP384R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(pem)
        with pytest.raises(ConfigError, match="no Ed25519"):
            keys.load_private(path)
        path.write_bytes(b"nonsense")
        with pytest.raises(ConfigError, match="no private key"):
            keys.load_private(path)

    def test_p256_pair(self, tmp_path: Path) -> None:
        path = tmp_path / "k.pem"
        made = keys.generate(path, kind=wire.KeyType.P256)
        assert keys.load_public(tmp_path / "k.pem.pub") == made.public_key()
        assert keys.load_private(path).public_key() == made.public_key()

    @pytest.mark.parametrize(
        ("text", "slots", "code"),
        [
            (None, None, ""),
            ("0 2\n", {0, 2}, ""),
            ("1,3", {1, 3}, ""),
            ("", set(), ""),
            ("all", None, "slots"),
            ("-1", None, "slots"),
            ("256", None, "slots"),
            ("9" * 5000, None, "slots"),
        ],
        ids=["no file", "words", "commas", "none", "a word", "negative", "beyond", "long"],
    )
    def test_slots_of_a_key(
        self, tmp_path: Path, text: str | None, slots: set[int] | None, code: str
    ) -> None:
        keys.generate(tmp_path.parent / f"{tmp_path.name}.pem")
        shutil.copy(tmp_path.parent / f"{tmp_path.name}.pem.pub", tmp_path / "k.pem.pub")
        if text is not None:
            (tmp_path / "k.slots").write_text(text)
        store, problems = trust.TrustStore.read(tmp_path)
        assert [problem.code for problem in problems] == ([code] if code else [])
        assert [key.slots for key in store.trusted] == ([] if code else [slots])

    def test_slots_of_no_key(self, tmp_path: Path) -> None:
        (tmp_path / "kk.slots").write_text("0")
        with pytest.raises(ConfigError, match="has no key"):
            trust.TrustStore.load(tmp_path)

    def test_what_one_of_the_signers_may_they_may(self) -> None:
        narrow = trust.TrustedKey("narrow", KEY.public_key(), frozenset({0, 2}))
        other = trust.TrustedKey("other", OTHER.public_key(), frozenset({1}))
        store = trust.TrustStore((narrow, other))
        assert store.writable([KEY.public_key()]) == frozenset({0, 2})
        assert store.writable(store.keys) == frozenset({0, 1, 2})
        assert store.writable([]) == frozenset()
        assert store.describe() == "narrow (slots 0 2), other (slots 1)"
        everything = trust.TrustStore((narrow, trust.TrustedKey("other", OTHER.public_key())))
        assert everything.writable(everything.keys) is None

    def test_store(self, tmp_path: Path) -> None:
        trusted = tmp_path / "trusted"
        assert trust.TrustStore.load(trusted).keys == ()
        trusted.mkdir()
        for index in range(4):
            keys.generate(tmp_path / f"k{index}.pem")
            (tmp_path / f"k{index}.pem.pub").rename(trusted / f"k{index}.pem.pub")
        assert trust.TrustStore.load(trusted).names == ("k0", "k1", "k2", "k3")
        keys.generate(tmp_path / "k4.pem")
        (tmp_path / "k4.pem.pub").rename(trusted / "k4.pem.pub")
        with pytest.raises(ConfigError, match="at most 4"):
            trust.TrustStore.load(trusted)

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A trust store with the keys a and b, and the pair c beside it."""
        trusted = tmp_path / "trusted"
        trusted.mkdir()
        for name in "abc":
            keys.generate(tmp_path / f"{name}.pem")
        for name in "ab":
            (tmp_path / f"{name}.pem.pub").rename(trusted / f"{name}.pem.pub")
        return trusted

    @pytest.mark.parametrize("name", RELOADS)
    def test_what_is_trusted_of_a_changed_folder(self, folder: Path, name: str) -> None:
        change, names, problem = RELOADS[name]
        before = trust.TrustStore.load(folder)
        change(folder)
        store, problems = trust.TrustStore.read(folder, before)
        assert store.names == names
        assert [problem in error.detail for error in problems] == ([True] if problem else [])
        if problem:
            with pytest.raises(ConfigError, match=problem):
                trust.TrustStore.load(folder)

    def test_removed_and_broken_at_once(self, folder: Path) -> None:
        before = trust.TrustStore.load(folder)
        (folder / "a.pem.pub").unlink()
        (folder / "c.pem.pub").write_text("half a copy")
        assert trust.TrustStore.read(folder, before)[0].names == ("b",)

    def test_of_too_many_the_known_ones_stay(self, folder: Path) -> None:
        before = trust.TrustStore.load(folder)
        for index in range(4):
            keys.generate(folder.parent / f"0{index}.pem")
            (folder.parent / f"0{index}.pem.pub").rename(folder / f"0{index}.pem.pub")
        store, (problem,) = trust.TrustStore.read(folder, before)
        assert store.names == ("00", "01", "a", "b")
        assert "6 keys" in problem.detail

    def test_another_key_of_the_same_name(self, folder: Path) -> None:
        before = trust.TrustStore.load(folder)
        (folder / "a.pem.pub").write_bytes((folder.parent / "c.pem.pub").read_bytes())
        store, problems = trust.TrustStore.read(folder, before)
        assert (store.names, problems) == (("a", "b"), [])
        assert store.keys[0] == keys.load_public(folder.parent / "c.pem.pub") != before.keys[0]

    def test_a_private_key_among_the_trusted_is_refused(self, tmp_path: Path) -> None:
        keys.generate(tmp_path / "k.pem")
        with pytest.raises(ConfigError, match="private key"):
            trust.TrustStore.load(tmp_path)

    @pytest.mark.parametrize("raw", ["00" * 32, "01" + "00" * 31, "01" + "00" * 30 + "80"])
    def test_small_order(self, raw: str) -> None:
        assert keys.has_small_order(bytes.fromhex(raw))
        assert not keys.has_small_order(KEY.public_key().public_bytes_raw())
