"""Updates of both formats as bytes, with what a device makes of them: for us, and for other implementations.

`python -m tests.conformance.suit_cases` writes suit_vectors.json. The key is fixed and Ed25519 deterministic,
so the bytes of a vector change only when what we emit does. The device is a native64 with five slots of 4096
bytes, all of them empty, sequence number 6, at most three components, envelopes of 2048 bytes, fetching from
fd00::1 alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cbor2

from device.suit import build, wire
from device.suit.capabilities import Capabilities
from device.suit.wire import Command, Member
from tests.suit_manifests import (
    EIGHT,
    IETF,
    KEY,
    OTHER,
    REPORT,
    RIOT,
    SEVEN,
    Format,
    Image,
    member_digest,
)
from tests.unit.test_suit import ENVELOPES, PLANS, manifest_map, signed
from tests.unit.test_suit_plan import EXAMPLE, FOREIGN, GRANTS, MEMBERS, granting

FILE: Final = Path(__file__).with_name("suit_vectors.json")
ONE, TWO, SAME = Image(2, SEVEN), Image(3, EIGHT), Image(3, SEVEN)
MATCH = (Command.IMAGE_MATCH, REPORT)
WORKED_URI = "coap://[fd00::1]/program-2-7.bin"


@dataclass(frozen=True, slots=True)
class Case:
    """`result` is OK or a class of suit.md section 10; `slots` are the contents that differ afterwards."""

    name: str
    envelope: bytes
    result: str = "OK"
    slots: tuple[tuple[int, bytes], ...] = ((2, SEVEN),)
    asked: tuple[str, ...] = (ONE.url,)

    def to_map(self) -> dict[str, Any]:
        """As it is written down."""
        good = self.result == "OK"
        files = {image.url: image.content.hex() for image in (ONE, TWO)} | {WORKED_URI: SEVEN.hex()}
        return {
            "name": self.name,
            "envelope": self.envelope.hex(),
            "files": {url: files[url] for url in self.asked},
            "expect": {
                "result": self.result,
                "sequence_number": 7 if good else 6,
                "slots": {str(slot): content.hex() for slot, content in self.slots} if good else {},
                "asked": list(self.asked) if good else [],
            },
        }


def good_of_both(form: Format) -> Iterator[Case]:
    """What both formats have."""
    name = form.profile.name
    digits = build.Description("native64", 2, 7, WORKED_URI, SEVEN, profile=form.profile)
    worked = build.sign_manifest(build.build_manifest(digits), [KEY], form.profile)
    yield Case(f"{name}: as published", worked, asked=(WORKED_URI,))
    yield Case(f"{name}: signed by two", form.sign(form.manifest(), [OTHER, KEY]))
    both = ((2, SEVEN), (3, EIGHT))
    yield Case(f"{name}: two components", form.update(ONE, TWO), slots=both, asked=(ONE.url, TWO.url))
    inner = form.sequence([(Command.SET_INDEX, 1), *form.install(TWO)])
    run = form.update(ONE, TWO, install=[(Command.RUN_SEQUENCE, inner), *form.install(ONE)])
    yield Case(f"{name}: run sequence", run, slots=both, asked=(TWO.url, ONE.url))
    failing = form.sequence([(Command.OVERRIDE_PARAMETERS, {2: bytes(16)}), (Command.CLASS_MATCH, REPORT)])
    taken = form.sequence(form.install(ONE)[:2])
    yield Case(f"{name}: try each", form.update(install=[(Command.TRY_EACH, [failing, taken]), MATCH]))
    yield Case(
        f"{name}: capabilities", granting(form, Capabilities((1,), 64, 1000, 3, 0, "ubpf", False).encode())
    )


def good_of_ietf() -> Iterator[Case]:
    """What only the current draft has."""
    failing = IETF.sequence([(Command.ABORT, REPORT)])
    nothing = [(Command.TRY_EACH, [failing, failing, None]), *IETF.install(ONE)]
    yield Case("ietf: else nothing", IETF.update(install=nothing))
    yield Case("ietf: payload fetch", IETF.update(members={16: IETF.sequence(IETF.install(ONE)), 20: None}))
    raw = IETF.sequence(IETF.install(ONE))
    key = IETF.profile.key(Member.INSTALL)
    severed = IETF.sign(IETF.manifest(members={key: member_digest(raw)}), beside={key: raw})
    yield Case("ietf: severed install", severed)
    integrated = IETF.sign(IETF.manifest(Image(2, SEVEN, "#prog")), beside={"#prog": SEVEN})
    yield Case("ietf: integrated payload", integrated, asked=())
    write = [(Command.OVERRIDE_PARAMETERS, {wire.CONTENT: SEVEN}), (Command.WRITE, 2), MATCH]
    yield Case("ietf: write", IETF.update(install=write), asked=())
    copy = [
        *IETF.install(ONE),
        (Command.SET_INDEX, 1),
        (Command.OVERRIDE_PARAMETERS, {wire.SOURCE_COMPONENT: 0}),
        *((Command.COPY, 2), MATCH),
    ]
    yield Case("ietf: copy", IETF.update(ONE, SAME, install=copy), slots=((2, SEVEN), (3, SEVEN)))


def refused() -> Iterator[Case]:
    """The tables of the unit tests, as bytes."""
    for name, (make, code) in ENVELOPES.items():
        if code:
            yield Case(f"riot envelope: {name}", make(), code)
    for name, (changes, code) in PLANS.items():
        members = {key: value for key, value in {**manifest_map(), **changes}.items() if value is not None}
        if name != "two components":
            yield Case(f"riot manifest: {name}", signed(members), code)
    for name, form, pair, code in FOREIGN:
        yield Case(name, form.update(validate=[MATCH, pair]), code)
    for name, form, members, code in MEMBERS:
        if code:
            yield Case(name, form.update(members=members), code)
    for form in (RIOT, IETF):
        for name, value, code in GRANTS:
            if code and "over the maximum" not in name:
                yield Case(f"{form.profile.name} capabilities: {name}", granting(form, value), code)
        for section, code in (("common", "UNSUPPORTED"), ("twice", "MALFORMED"), ("late", "MALFORMED")):
            envelope = granting(form, EXAMPLE, section)
            yield Case(f"{form.profile.name} capabilities: {section}", envelope, code)
    yield Case("ietf: no such payload", IETF.update(Image(2, SEVEN, "#prog")), "TRANSPORT")
    moved = cbor2.loads(IETF.update()[2:])
    moved[3] = IETF.manifest(number=8)
    yield Case(
        "ietf: signature of another manifest",
        cbor2.dumps(cbor2.CBORTag(107, moved), canonical=True),
        "MANIFEST_DIGEST",
    )


def cases() -> list[Case]:
    """All of them; the good ones first."""
    good = [case for form in (RIOT, IETF) for case in good_of_both(form)]
    return [*good, *good_of_ietf(), *refused()]


def text() -> str:
    """The file."""
    lines = ",\n".join(json.dumps(case.to_map(), separators=(",", ":")) for case in cases())
    return (
        '{"key": "'
        + KEY.public_key().public_bytes_raw().hex()
        + '", "board": "native64", "vectors": [\n'
        + lines
        + "\n]}\n"
    )


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
