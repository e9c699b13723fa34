"""The properties of suit.md section 12, P1 to P9: each in both formats, against a whole device.

`Device.refused` sees each time that slots and number are what they were and that no image was asked for.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from time import thread_time
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device.errors import SuitError
from device.storage.state import StateDirectory
from device.suit import cbor, cose, wire
from device.suit.envelope import verify
from device.suit.install import Conditions
from device.suit.refusals import Refusal
from device.suit.trust import TrustedKey
from device.suit.wire import Command, Member
from tests.property.hostile_cbor import mutate_bytes
from tests.suit_device import device
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

TRUSTED = [KEY.public_key()]
MATCH = (Command.IMAGE_MATCH, REPORT)
P256 = generate_private_key(SECP256R1())
STRANGER = Ed25519PrivateKey.generate()
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ORDER = 2**252 + 27742317777372353535851937790883648493


def code_of(envelope: bytes, *keys: Any) -> str:
    with pytest.raises(SuitError) as caught:
        verify(envelope, keys or TRUSTED)
    return caught.value.code


# P1


@FORMATS
async def test_p1_only_a_trusted_signature_starts_anything(form: Format) -> None:
    async with device() as d:
        manifest = form.manifest()
        assert await d.refused(form.sign(manifest, []), Image()) == "UNSIGNED"
        assert await d.refused(form.sign(manifest, [OTHER]), Image()) == "BAD_SIGNATURE"
        assert await d.refused(form.sign(b"\xff nonsense", [OTHER]), Image()) == "BAD_SIGNATURE"
        assert (await d.update(form.sign(manifest, [OTHER, KEY]), Image())).result == "OK"


@FORMATS
async def test_p1_no_single_bit_can_be_flipped(form: Format) -> None:
    good = form.update()
    async with device() as d:
        for index in range(len(good)):
            flipped = bytearray(good)
            flipped[index] ^= 1 << index % 8
            await d.refused(bytes(flipped), Image())
        for bit in range(8 * len(good)):
            flipped = bytearray(good)
            flipped[bit // 8] ^= 1 << bit % 8
            code_of(bytes(flipped))
        assert (await d.update(good, Image())).result == "OK"


# P2 and P3


def with_block(
    form: Format, block: bytes, *, manifest: bytes | None = None, digest: bytes | None = None
) -> bytes:
    """An envelope with a block of one's own."""
    manifest = manifest or form.manifest()
    digest = digest or signed_digest(form, manifest)
    authentication = cbor.encode([digest, block] if form.profile.detached else [block])
    envelope: Any = {2: authentication, 3: manifest}
    return cbor.encode(envelope if form.profile.tag is None else cbor2.CBORTag(form.profile.tag, envelope))


def signed_digest(form: Format, manifest: bytes) -> bytes:
    return cbor.encode([form.profile.digest_id, sha256(cbor2.dumps(manifest)).digest()])


def block_of(form: Format, **changes: Any) -> bytes:
    """A good block with parts replaced: protected, unprotected, payload, signature, context, external."""
    protected = changes.get(
        "protected", cbor.encode({1: changes.get("alg", form.profile.algorithm(wire.KeyType.ED25519))})
    )
    payload = signed_digest(form, form.manifest())
    message = cbor2.dumps(
        [changes.get("context", "Signature1"), protected, changes.get("external", b""), payload]
    )
    signature = changes.get("signature", KEY.sign(message))
    attached = changes.get("payload", None if form.profile.detached else payload)
    parts = [protected, changes.get("unprotected", {}), attached, signature]
    return cbor.encode(cbor2.CBORTag(18, parts))


def raised_order(form: Format) -> bytes:
    good = cbor2.loads(block_of(form)).value[3]
    return bytes(good[:32]) + (int.from_bytes(good[32:], "little") + ORDER).to_bytes(32, "little")


HEADERS: dict[str, tuple[Callable[[Format], dict[str, Any]], str]] = {
    "good": (lambda form: {}, ""),
    "kid": (lambda form: {"protected": cbor.encode({1: -8, 4: b"k"}), "unprotected": {4: b"k"}}, ""),
    "crit": (lambda form: {"protected": cbor.encode({1: -8, 2: [1]})}, "MALFORMED"),
    "crit unprotected": (lambda form: {"unprotected": {2: [1]}}, "MALFORMED"),
    "alg unprotected": (lambda form: {"protected": b"\xa0", "unprotected": {1: -8}}, "MALFORMED"),
    "alg twice": (lambda form: {"unprotected": {1: -8}}, "MALFORMED"),
    "alg as text": (lambda form: {"protected": cbor.encode({1: "EdDSA"})}, "MALFORMED"),
    "protected empty": (lambda form: {"protected": b""}, "MALFORMED"),
    "protected not canonical": (lambda form: {"protected": b"\xa1\x01\x38\x07"}, "MALFORMED"),
    "alg of nobody": (lambda form: {"alg": -35}, "ALG_UNSUPPORTED"),
    "alg of P-256": (lambda form: {"alg": -7}, "BAD_SIGNATURE"),
    "63 bytes": (lambda form: {"signature": bytes(63)}, "MALFORMED"),
    "65 bytes": (lambda form: {"signature": bytes(65)}, "MALFORMED"),
    "text signature": (lambda form: {"signature": "x" * 64}, "MALFORMED"),
    "S + L": (lambda form: {"signature": raised_order(form)}, "BAD_SIGNATURE"),
    "zero": (lambda form: {"signature": bytes(64)}, "BAD_SIGNATURE"),
    "another context": (lambda form: {"context": "Signature"}, "BAD_SIGNATURE"),
    "external data": (lambda form: {"external": b"x"}, "BAD_SIGNATURE"),
}


@FORMATS
@pytest.mark.parametrize("name", HEADERS)
def test_p2_p3_key_algorithm_and_context_are_bound(form: Format, name: str) -> None:
    make, code = HEADERS[name]
    envelope = with_block(form, block_of(form, **make(form)))
    if code:
        assert code_of(envelope) == code
    else:
        assert verify(envelope, TRUSTED).manifest == form.manifest()


@FORMATS
def test_p2_the_key_decides_the_algorithm(form: Format) -> None:
    good = form.sign(form.manifest(), [P256])
    assert verify(good, [P256.public_key()]).signers == (P256.public_key(),)
    assert code_of(good, KEY.public_key()) == "BAD_SIGNATURE"
    payload = signed_digest(form, form.manifest())
    of_p256 = cbor2.loads(cose.sign(P256, payload, form.profile)).value[3]
    under_ours = with_block(form, block_of(form, signature=of_p256))
    assert code_of(under_ours, KEY.public_key(), P256.public_key()) == "BAD_SIGNATURE"
    ours_under_p256 = with_block(form, block_of(form, alg=-7))
    assert code_of(ours_under_p256, KEY.public_key(), P256.public_key()) == "BAD_SIGNATURE"


@FORMATS
@pytest.mark.parametrize("half", [0, 1, P256_ORDER, 2**256 - 1], ids=["0", "1", "the order", "the most"])
def test_p2_halves_of_a_p256_signature(form: Format, half: int) -> None:
    forged = half.to_bytes(32, "big") * 2
    assert (
        code_of(with_block(form, block_of(form, alg=-7, signature=forged)), P256.public_key())
        == "BAD_SIGNATURE"
    )


def test_p2_algorithms_of_the_other_format() -> None:
    for number in (-19, -9):
        assert code_of(with_block(RIOT, block_of(RIOT, alg=number))) == "ALG_UNSUPPORTED"
    for number in (-19, -8):
        assert verify(with_block(IETF, block_of(IETF, alg=number)), TRUSTED).signers


@FORMATS
def test_p2_payload_where_it_belongs(form: Format) -> None:
    wrong = signed_digest(form, form.manifest()) if form.profile.detached else None
    assert code_of(with_block(form, block_of(form, payload=wrong))) == "MALFORMED"


@FORMATS
async def test_p3_a_signature_stays_with_its_manifest_and_format(form: Format) -> None:
    other = RIOT if form is IETF else IETF
    first, second = form.manifest(), form.manifest(number=8)
    async with device() as d:
        moved = with_block(form, block_of(form), manifest=second, digest=signed_digest(form, first))
        assert await d.refused(moved, Image()) == "MANIFEST_DIGEST"
        retold = with_block(form, block_of(form), manifest=second, digest=signed_digest(form, second))
        assert await d.refused(retold, Image()) in ("MANIFEST_DIGEST", "BAD_SIGNATURE")
        theirs = with_block(form, block_of(other))
        assert await d.refused(theirs, Image()) in ("MALFORMED", "BAD_SIGNATURE", "ALG_UNSUPPORTED")
        # Even with a signature that verifies, the digest's algorithm id keeps the formats apart.
        foreign = cbor.encode([other.profile.digest_id, sha256(cbor2.dumps(first)).digest()])
        block = cose.sign(KEY, foreign, form.profile)
        assert await d.refused(with_block(form, block, digest=foreign), Image()) == "MALFORMED"


ELSEWHERE = cbor.encode([RIOT.profile.digest_id, bytes(32)])


def blocks_of(*signed: tuple[Ed25519PrivateKey, bytes | None]) -> bytes:
    """A riot envelope with a block of each key over its payload, None for the manifest's digest."""
    digest = signed_digest(RIOT, RIOT.manifest())
    blocks = [cose.sign(key, digest if payload is None else payload, RIOT.profile) for key, payload in signed]
    return cbor.encode({2: cbor.encode(blocks), 3: RIOT.manifest()})


@pytest.mark.parametrize(
    ("blocks", "signers", "code"),
    [
        (((KEY, None), (OTHER, None)), (KEY, OTHER), ""),
        (((KEY, None), (OTHER, ELSEWHERE)), (KEY,), ""),
        (((KEY, None), (OTHER, b"\x80")), (KEY,), ""),
        (((KEY, None), (KEY, ELSEWHERE)), (KEY,), ""),
        (((OTHER, ELSEWHERE), (KEY, None)), (), "MANIFEST_DIGEST"),
        (((OTHER, b"\x80"), (KEY, None)), (), "MALFORMED"),
        (((STRANGER, ELSEWHERE), (KEY, None)), (KEY,), ""),
    ],
    ids=[
        "both",
        "then another",
        "then no digest",
        "then its own other",
        "first another",
        "first none",
        "stranger",
    ],
)
def test_p3_the_first_signature_that_verifies_decides(
    blocks: tuple[tuple[Ed25519PrivateKey, bytes | None], ...], signers: tuple[Any, ...], code: str
) -> None:
    trusted = [KEY.public_key(), OTHER.public_key()]
    if code:
        assert code_of(blocks_of(*blocks), *trusted) == code
    else:
        found = verify(blocks_of(*blocks), trusted).signers
        assert found == tuple(key.public_key() for key in signers)


# P4

SERVED: dict[str, tuple[bytes, str]] = {
    "flipped": (bytes([SEVEN[0] ^ 1]) + SEVEN[1:], "IMAGE_DIGEST"),
    "another": (EIGHT, "IMAGE_DIGEST"),
    "short": (SEVEN[:-1], "IMAGE_SIZE"),
    "long": (SEVEN + b"\0", "IMAGE_SIZE"),
    "empty": (b"", "IMAGE_SIZE"),
}


@FORMATS
@pytest.mark.parametrize("name", SERVED)
async def test_p4_what_is_stored_is_what_was_signed(form: Format, name: str) -> None:
    content, code = SERVED[name]
    async with device() as d:
        assert await d.refused(form.update(), Image(content=content), fetched=True) == code
        assert (await d.update(form.update(), Image())).result == "OK"
        stored = d.slots.get(2)
        assert stored is not None
        assert (stored.image, stored.digest) == (SEVEN, sha256(SEVEN).digest())


@pytest.mark.parametrize("name", SERVED)
async def test_p4_what_the_update_brings_is_compared_too(name: str) -> None:
    content, code = SERVED[name]
    image = Image(uri="#x")
    async with device() as d:
        assert await d.refused(IETF.sign(IETF.manifest(image), beside={"#x": content})) == code
        write = [(Command.OVERRIDE_PARAMETERS, {wire.CONTENT: content}), (Command.WRITE, 2), MATCH]
        assert await d.refused(IETF.update(install=write)) == code
        assert d.images_asked == []
        assert (await d.update(IETF.sign(IETF.manifest(image), beside={"#x": SEVEN}))).result == "OK"
        assert (await d.run()).r0_signed == 7


@FORMATS
@pytest.mark.parametrize(
    "digest", [[1, bytes(32)], [-43, bytes(32)], [2, bytes(28)], [-16, bytes(48)], [2]], ids=str
)
async def test_p4_digest_ids_and_lengths(form: Format, digest: list[Any]) -> None:
    common = form.common(commands=form.shared(Image(), digest=cbor.encode(digest)))
    async with device() as d:
        assert await d.refused(form.update(common=common), Image()) == "MALFORMED"


@FORMATS
async def test_p4_no_image_without_a_match(form: Format) -> None:
    async with device() as d:
        nowhere = form.update(
            install=form.install(Image())[:2], members={form.profile.key(Member.VALIDATE): None}
        )
        assert await d.refused(nowhere, Image()) == "POLICY"
        before = form.update(install=[MATCH, *form.install(Image())])
        assert await d.refused(before, Image()) == "MALFORMED"


# P5


async def test_p5_the_number_only_grows_over_restarts(tmp_path: Path) -> None:
    source = random.Random(5)
    highest, state = 6, StateDirectory(tmp_path)
    for _ in range(12):
        async with device(backing=state) as d:
            assert d.slots.sequence_number == highest
            for _ in range(4):
                form = source.choice((RIOT, IETF))
                number = source.choice(
                    (highest, highest - 1, 0, highest + 1, highest + source.randrange(9), 2**32)
                )
                envelope = form.update(number=number)
                if highest < number < 2**32:
                    assert (await d.update(envelope, Image())).result == "OK"
                    highest = number
                else:
                    assert await d.refused(envelope, Image()) == (
                        "ROLLBACK" if number < 2**32 else "MALFORMED"
                    )
                if source.random() < 0.3:
                    assert await d.refused(
                        form.update(number=highest + 5), Image(content=EIGHT), fetched=True
                    )
                assert d.slots.sequence_number == highest
        state.close()
        state = StateDirectory(tmp_path)
    state.close()


@FORMATS
async def test_p5_one_number_for_all_slots_and_both_formats(form: Format) -> None:
    other = RIOT if form is IETF else IETF
    async with device() as d:
        assert (await d.update(form.update(number=9), Image())).result == "OK"
        assert await d.refused(other.update(Image(4), number=9), Image(4)) == "ROLLBACK"
        assert (await d.update(other.update(Image(4), number=2**32 - 1), Image(4))).result == "OK"
        assert await d.refused(form.update(number=2**32 - 1), Image()) == "ROLLBACK"


# P6

IDENTITIES: dict[str, tuple[Callable[[Format], list[Any]], str]] = {
    "no vendor condition": (lambda f: [f.shared(Image())[0], f.shared(Image())[2]], "POLICY"),
    "no class condition": (lambda f: f.shared(Image())[:2], "POLICY"),
    "conditions without ids": (lambda f: f.shared(Image(), vendor=None, klass=None), "MALFORMED"),
    "another vendor": (lambda f: f.shared(Image(), vendor=bytes(16)), "VENDOR_MISMATCH"),
    "another board": (lambda f: f.shared(Image(), klass=bytes(16)), "CLASS_MISMATCH"),
    "vendor of 15": (lambda f: f.shared(Image(), vendor=bytes(15)), "MALFORMED"),
    "class of 17": (lambda f: f.shared(Image(), klass=bytes(17)), "MALFORMED"),
    "vendor as text": (lambda f: f.shared(Image(), vendor="x" * 16), "MALFORMED"),
}


@FORMATS
@pytest.mark.parametrize("name", IDENTITIES)
async def test_p6_vendor_and_class_before_the_download(form: Format, name: str) -> None:
    make, code = IDENTITIES[name]
    async with device() as d:
        assert await d.refused(form.update(common=form.common(commands=make(form))), Image()) == code


@FORMATS
async def test_p6_each_component_has_its_own(form: Format) -> None:
    images = [Image(0), Image(1, EIGHT)]
    groups = form.grouped([form.shared(images[0]), form.shared(images[1])[:1]])
    async with device(components=2) as d:
        envelope = form.update(*images, common=form.common(images, groups))
        assert await d.refused(envelope, *images) == "POLICY"


# P7

NAMES: dict[str, tuple[Any, str]] = {
    "one part": ([b"ram.0"], "UNKNOWN_COMPONENT"),
    "00": ([b"ram", b"00"], "UNKNOWN_COMPONENT"),
    "with a NUL": ([b"ram", b"0\0"], "UNKNOWN_COMPONENT"),
    "upper case": ([b"RAM", b"0"], "UNKNOWN_COMPONENT"),
    "third part": ([b"ram", b"0", b""], "UNKNOWN_COMPONENT"),
    "no parts": ([], "UNKNOWN_COMPONENT"),
    "slot 5": ([b"ram", b"5"], "UNKNOWN_COMPONENT"),
    "slot -1": ([b"ram", b"-1"], "UNKNOWN_COMPONENT"),
    "plus": ([b"ram", b"+1"], "UNKNOWN_COMPONENT"),
    "another digit": ([b"ram", "٢".encode()], "UNKNOWN_COMPONENT"),
    "text": (["ram", "0"], "MALFORMED"),
    "a number": ([b"ram", 0], "MALFORMED"),
    "no array": (b"ram0", "MALFORMED"),
}


@FORMATS
@pytest.mark.parametrize("name", NAMES)
async def test_p7_exact_names(form: Format, name: str) -> None:
    component, code = NAMES[name]
    async with device() as d:
        common = form.common(commands=form.shared(Image()), components=[component])
        assert await d.refused(form.update(common=common), Image()) == code


@FORMATS
async def test_p7_the_slot_that_was_asked_for(form: Format) -> None:
    async with device() as d:
        d.serve(Image(1))
        d.files[MANIFEST_URL] = form.update(Image(1))
        before = d.state()
        ended = await d.installer.update_from(MANIFEST_URL, Conditions(0, d.executor.check))
        assert (ended.result, d.state(), d.images_asked) == ("SLOT_MISMATCH", before, [])
        ended = await d.installer.update_from(MANIFEST_URL, Conditions(1, d.executor.check))
        assert ended.result == "OK"


@FORMATS
async def test_p7_a_key_for_some_slots(form: Format) -> None:
    narrow = TrustedKey("narrow", KEY.public_key(), frozenset({0}))
    async with device(keys=(narrow, OTHER.public_key())) as d:
        assert await d.refused(form.update(Image(1)), Image(1)) == "COMPONENT_FORBIDDEN"
        assert (await d.update(form.update(Image(0)), Image(0))).result == "OK"
        both = form.sign(form.manifest(Image(1), number=8), [KEY, OTHER])
        assert (await d.update(both, Image(1))).result == "OK"


# P8

BOMBS: dict[str, Callable[[Format], bytes]] = {
    "arrays of arrays": lambda form: b"\x81" * 500 + b"\x00",
    "a million entries": lambda form: b"\x9a\x00\x0f\x42\x40",
    "a string of 4 GiB": lambda form: b"\x5a\xff\xff\xff\xff",
    "2^64 pairs": lambda form: b"\xbb" + b"\xff" * 8,
    "257 commands": lambda form: form.manifest(validate=[MATCH] * 255),
    "sequences in sequences": lambda form: form.manifest(install=nested(form, 12)),
    "17 components": lambda form: form.manifest(*(Image(n) for n in range(17))),
}


def nested(form: Format, depth: int) -> list[Any]:
    inner = form.install(Image())
    for _ in range(depth):
        inner = [(Command.RUN_SEQUENCE, form.sequence(inner))]
    return inner


@FORMATS
@pytest.mark.parametrize("name", BOMBS)
async def test_p8_bombs_are_refused_before_work_is_done(form: Format, name: str) -> None:
    async with device(components=16, envelope=65_536) as d:
        begin = thread_time()
        code = await d.refused(form.sign(BOMBS[name](form)), Image())
        assert code in ("MALFORMED", "TOO_COMPLEX", "TOO_MANY_COMPONENTS")
        assert thread_time() - begin < 0.2


@FORMATS
async def test_p8_sizes_are_asked_for_no_larger_than_they_were_signed(form: Format) -> None:
    async with device() as d:
        assert (await d.update(form.update(), Image())).result == "OK"
        assert d.asked == [(MANIFEST_URL, 640), (Image().url, len(SEVEN))]
        huge = form.common(commands=form.shared(Image(), size=4097))
        assert await d.refused(form.update(common=huge, number=8), Image()) == "STORAGE_EXCEEDED"
        padded = form.sign(form.manifest(number=8), [KEY, OTHER, P256, P256])
        assert await d.refused(padded + bytes(641 - len(padded)), Image()) == "TOO_LARGE"
        five = form.sign(form.manifest(number=8), [KEY] * 5)
        d.installer.limits = type(d.installer.limits)(1000, allowed_hosts=(HOST,))
        assert await d.refused(five, Image()) == "TOO_COMPLEX"


# P9

MANGLED: dict[str, Callable[[bytes], bytes]] = {
    "trailing byte": lambda m: m + b"\0",
    "indefinite map": lambda m: b"\xbf" + m[1:] + b"\xff",
    "count in another byte": lambda m: bytes([0xB8, m[0] & 0x1F]) + m[1:],
    "version 1 in two bytes": lambda m: m[:2] + b"\x18\x01" + m[3:],
    "version 1.0": lambda m: m[:2] + b"\xf9\x3c\x00" + m[3:],
    "version true": lambda m: m[:2] + b"\xf5" + m[3:],
    "version undefined": lambda m: m[:2] + b"\xf7" + m[3:],
    "tagged": lambda m: b"\xd9\xd9\xf7" + m,
    "one key twice": lambda m: bytes([m[0] + 1]) + b"\x01\x01" + m[1:],
    "keys in another order": lambda m: m[:1] + m[3:5] + m[1:3] + m[5:],
    "truncated": lambda m: m[:-1],
    "nothing": lambda m: b"",
    "null": lambda m: b"\xf6",
}


@FORMATS
@pytest.mark.parametrize("name", MANGLED)
async def test_p9_strict_decoding_also_behind_the_signature(form: Format, name: str) -> None:
    async with device() as d:
        assert await d.refused(form.sign(MANGLED[name](form.manifest())), Image()) == "MALFORMED"


@FORMATS
async def test_p9_mutations_end_in_our_own_refusals(form: Format) -> None:
    good, source, refusals = form.update(), random.Random(9), set[str]()
    for _ in range(3000):
        try:
            found = verify(mutate_bytes(source, good), TRUSTED)
        except SuitError as error:
            refusals.add(error.code)
        else:
            assert found.manifest == form.manifest()
    assert refusals <= {refusal.name for refusal in Refusal}
    assert refusals >= {"MALFORMED", "BAD_SIGNATURE", "MANIFEST_DIGEST"}


@pytest.mark.parametrize("profiles", [("riot",), ("ietf",)])
async def test_p9_a_format_that_the_device_does_not_take(profiles: tuple[str, ...]) -> None:
    taken, other = (RIOT, IETF) if profiles == ("riot",) else (IETF, RIOT)
    async with device(profiles=profiles) as d:
        assert await d.refused(other.update(), Image()) == "FORMAT"
        for start in (b"\xd9\x04\x2e", b"\xd8\x6c", b"\xd9\x00\x6b", b"\x82", b"\x40"):
            assert await d.refused(start + other.update(), Image()) == "FORMAT"
        assert (await d.update(taken.update(), Image())).result == "OK"
