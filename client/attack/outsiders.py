"""Forgeries that need no key: signatures, encodings, requests."""

from __future__ import annotations

from typing import Any, Final

import cbor2

from client.attack.workshop import GOOD, Attack, Throw, Workshop, tagged
from device.suit import cbor
from device.suit.build import sign_manifest
from device.suit.wire import IETF, RIOT

_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_ELSEWHERE: Final = "192.0.2.66"
"""A host of the documentation's network: nobody's."""


def _block(workshop: Workshop, **parts: Any) -> Throw:
    """The good envelope, with other parts in its signature block."""
    block = workshop.block({1: -8})
    for position, name in enumerate(("protected", "unprotected", "payload", "signature")):
        block[position] = parts.get(name, block[position])
    return workshop.post(workshop.wrapped(tagged(block)))


def _signature(workshop: Workshop) -> bytes:
    signature: bytes = workshop.block({1: -8})[3]
    return signature


def _flipped(content: bytes, at: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


def _grown(workshop: Workshop) -> Throw:
    """The other form of the same signature, S + L."""
    signature = _signature(workshop)
    grown = (int.from_bytes(signature[32:], "little") + _ORDER) % 2**256
    return _block(workshop, signature=signature[:32] + grown.to_bytes(32, "little"))


def _moved(workshop: Workshop) -> Throw:
    """The operator's own signature over another manifest of theirs."""
    other = workshop.manifest(sequence_number=workshop.number + 1)
    block = workshop.block({1: -8}, workshop.digest(other))
    return workshop.post(workshop.wrapped(tagged(block)))


def _mixed(workshop: Workshop) -> Throw:
    """What was signed for the one format, in the envelope of the other."""
    members = cbor2.loads(workshop.envelope(workshop.manifest(profile=IETF), IETF)).value
    return workshop.post(cbor.encode(dict(members)))


def _foreign(workshop: Workshop) -> Throw:
    return workshop.post(sign_manifest(workshop.manifest(), [workshop.foreign], RIOT))


def _authentication(workshop: Workshop, authentication: bytes) -> Throw:
    return workshop.post(cbor.encode({2: authentication, 3: workshop.manifest()}))


SIGNATURES: Final = (
    Attack("unsigned", "an empty list of signatures", "UNSIGNED", lambda w: w.post(w.wrapped()), brief=True),
    Attack(
        "no authentication",
        "the member with the signatures left out",
        "UNSIGNED",
        lambda w: w.post(cbor.encode({3: w.manifest()})),
    ),
    Attack("empty envelope", "a map with nothing in it", "UNSIGNED", lambda w: w.post(b"\xa0")),
    Attack("foreign key", "signed well, with a key that nobody trusts", "BAD_SIGNATURE", _foreign),
    Attack(
        "signature bit",
        "one bit of the signature flipped",
        "BAD_SIGNATURE",
        lambda w: _block(w, signature=_flipped(_signature(w), 63)),
    ),
    Attack(
        "manifest bit",
        "one bit of the manifest flipped",
        "MANIFEST_DIGEST",
        lambda w: w.post(_flipped(w.envelope(), -1)),
        brief=True,
    ),
    Attack("moved signature", "the operator's signature over another manifest", "MANIFEST_DIGEST", _moved),
    Attack("moved profile", "a signature of the ietf format in a riot envelope", "MALFORMED", _mixed),
    Attack("second form", "the same signature as S + L", "BAD_SIGNATURE", _grown),
    Attack(
        "universal signature",
        "R neutral, S zero: right for keys of small order",
        "BAD_SIGNATURE",
        lambda w: _block(w, signature=b"\x01" + bytes(63)),
    ),
    Attack(
        "long signature",
        "a byte behind the signature",
        "MALFORMED",
        lambda w: _block(w, signature=_signature(w) + b"\0"),
    ),
    Attack(
        "weak algorithm",
        "an algorithm that the format does not have",
        "ALG_UNSUPPORTED",
        lambda w: _block(w, protected=cbor.encode({1: 5})),
    ),
    Attack(
        "unprotected algorithm",
        "the algorithm where no signature protects it",
        "MALFORMED",
        lambda w: _block(w, protected=cbor.encode({}), unprotected={1: -8}),
    ),
    Attack(
        "critical header",
        "a header that must be understood and is not",
        "MALFORMED",
        lambda w: _block(w, protected=cbor.encode({1: -8, 2: [99]})),
    ),
    Attack(
        "digest of another kind",
        "a signed digest of an algorithm that is not taken",
        "MALFORMED",
        lambda w: w.post(w.wrapped(tagged(w.block({1: -8}, cbor.encode([3, bytes(32)]))))),
    ),
    Attack(
        "other COSE",
        "COSE_Sign in place of COSE_Sign1",
        "UNSUPPORTED",
        lambda w: w.post(w.wrapped(tagged(w.block({1: -8}), 98))),
    ),
    Attack(
        "many signatures",
        "five blocks, to be tried with every key",
        "TOO_COMPLEX",
        lambda w: _authentication(w, cbor.encode([b""] * 5)),
    ),
)

ENCODINGS: Final = (
    Attack("noise", "bytes that are no envelope", "FORMAT", lambda w: w.post(b"\x7fELF" + bytes(60))),
    Attack("bare manifest", "tag 1070", "FORMAT", lambda w: w.post(b"\xd9\x04\x2e" + w.manifest())),
    Attack(
        "truncated",
        "the last byte cut off",
        "MALFORMED",
        lambda w: w.post(w.envelope()[:-1]),
    ),
    Attack(
        "trailing byte", "a byte behind the envelope", "MALFORMED", lambda w: w.post(w.envelope() + b"\0")
    ),
    Attack(
        "duplicate key",
        "two manifests in one envelope",
        "MALFORMED",
        lambda w: w.post(b"\xa3" + w.envelope()[1:] + b"\x03\x40"),
    ),
    Attack(
        "open end",
        "a map of indefinite length",
        "MALFORMED",
        lambda w: w.post(b"\xbf" + w.envelope()[1:] + b"\xff"),
    ),
    Attack(
        "long form",
        "an integer in more bytes than it needs",
        "MALFORMED",
        lambda w: w.post(w.envelope().replace(b"\xa2\x02", b"\xa2\x18\x02", 1)),
    ),
    Attack(
        "swapped members",
        "the manifest before the signatures",
        "MALFORMED",
        lambda w: w.post(_swapped(w.envelope())),
    ),
    Attack(
        "length bomb",
        "a string that says it has 2^64-1 bytes",
        "MALFORMED",
        lambda w: w.post(b"\xa2\x02\x5b" + b"\xff" * 8),
    ),
    Attack(
        "nesting bomb",
        "a hundred arrays in each other",
        "TOO_COMPLEX",
        lambda w: _authentication(w, b"\x81" * 100 + b"\x80"),
    ),
    Attack(
        "unknown member",
        "a member that no format has",
        "MALFORMED",
        lambda w: w.post(cbor.encode({2: b"\x80", 3: b"", 99: b""})),
    ),
    Attack(
        "oversized, posted",
        "more bytes than an envelope may have",
        "TOO_LARGE",
        lambda w: w.post(bytes(70_000)),
        brief=True,
    ),
    Attack(
        "oversized, fetched",
        "the same from the file server",
        "TOO_LARGE",
        lambda w: _trigger(w.uri("large"), {w.file("large"): bytes(60_000)}),
    ),
)


def _swapped(envelope: bytes) -> bytes:
    """Both members, the other way round."""
    members = cbor2.loads(envelope)
    return b"\xa2\x03" + cbor2.dumps(members[3]) + b"\x02" + cbor2.dumps(members[2])


def _trigger(url: str | bytes, files: dict[str, bytes] | None = None) -> Throw:
    return Throw("/suit/trigger", url.encode() if isinstance(url, str) else url, files or {})


def _pull(workshop: Workshop) -> Throw:
    """A manifest for one slot, pulled into another."""
    host = workshop.base.removeprefix("coap://")
    other = (workshop.slot + 1) % workshop.slots
    manifest = workshop.envelope()
    fields = f"{host}|{workshop.file('m')}|0|{other << 1:x}||1"
    return Throw("/suit/pull", fields.encode(), {workshop.file("m"): manifest, workshop.file("image"): GOOD})


REQUESTS: Final = (
    Attack(
        "another host",
        "make the device send to a host of the caller's choice",
        "URI_FORBIDDEN",
        lambda _: _trigger(f"coap://{_ELSEWHERE}/m"),
        brief=True,
    ),
    Attack(
        "host in disguise",
        "the allowed host as user name",
        "4.00",
        lambda w: _trigger(w.base.replace("//", "//user@") + "/m"),
    ),
    Attack("other scheme", "a URL that is not CoAP", "4.00", lambda w: _trigger(f"http{w.base[4:]}/m")),
    Attack("dot segment", "a path that climbs", "4.00", lambda w: _trigger(f"{w.base}/a/../../m")),
    Attack("escaped slash", "a path that hides a slash", "4.00", lambda w: _trigger(f"{w.base}/a%2fb")),
    Attack("query", "a URL with a query", "4.00", lambda w: _trigger(f"{w.base}/m?x=1")),
    Attack("control character", "a line break in a URL", "4.00", lambda w: _trigger(f"{w.base}/m\r\nx")),
    Attack("no text", "a URL that is not UTF-8", "4.00", lambda _: _trigger(b"coap://\xff\xfe/m")),
    Attack("no URL", "a trigger without payload", "4.08", lambda _: _trigger("")),
    Attack(
        "long URL",
        "a URL that overruns RIOT's buffer",
        "4.13",
        lambda w: _trigger(f"{w.base}/".ljust(128, "m")),
    ),
    Attack("no such file", "a manifest that is not there", "TRANSPORT", lambda w: _trigger(w.uri("none"))),
    Attack("another slot", "a manifest pulled into a slot that it is not for", "SLOT_MISMATCH", _pull),
    Attack("broken pull", "a pull without its fields", "4.00", lambda _: Throw("/suit/pull", b"a|b|c")),
)
