"""Attacks in the format of the current draft: what only that has, and what is not to be mixed with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import cbor2

from client.attack.workshop import GOOD, REPORT, Attack, Throw, Workshop
from device.suit import build, cbor, cose, wire
from device.suit.wire import IETF, RIOT, Member
from device.vm.asm import assemble

_OTHER: Final = assemble("mov r0, 8\nexit")
_INSTALL: Final = IETF.key(Member.INSTALL)
_EARLIER_INSTALL: Final = 17
"""What installed in drafts 10 to 29."""

_PAYLOAD: Final = f"{wire.INTEGRATED}prog"


def _described(workshop: Workshop, *, uri: str = "", severed: bool = False) -> build.Description:
    return build.Description(
        workshop.board,
        workshop.slot,
        workshop.number,
        uri or workshop.uri(),
        GOOD,
        profile=IETF,
        severed=severed,
    )


def _sent(workshop: Workshop, manifest: bytes, beside: Mapping[int | str, bytes] | None = None) -> Throw:
    """An envelope that the operator signed, while the file server has the good image under its name."""
    envelope = build.sign_manifest(manifest, [workshop.key], IETF, beside=beside)
    return Throw("/suit/manifest", envelope, {workshop.file("image"): GOOD})


def _severed(change: Callable[[bytes], bytes | None]) -> Callable[[Workshop], Throw]:
    """A good manifest with its install section beside it, which comes changed, or not at all."""

    def make(workshop: Workshop) -> Throw:
        described = _described(workshop, severed=True)
        section = change(bytes(build.beside(described)[_INSTALL]))
        return _sent(
            workshop, build.build_manifest(described), None if section is None else {_INSTALL: section}
        )

    return make


def _integrated(payload: bytes | None) -> Callable[[Workshop], Throw]:
    """A good manifest for an image in its envelope, which is another one, or not there."""

    def make(workshop: Workshop) -> Throw:
        manifest = build.build_manifest(_described(workshop, uri=_PAYLOAD))
        return _sent(workshop, manifest, None if payload is None else {_PAYLOAD: payload})

    return make


def _twice(workshop: Workshop) -> Throw:
    """The install section in the manifest and beside it."""
    beside = build.beside(_described(workshop, severed=True))
    return _sent(workshop, build.build_manifest(_described(workshop)), beside)


def _installing(*commands: Any) -> Callable[[Workshop], Throw]:
    """A good manifest whose install section begins with these commands."""

    def make(workshop: Workshop) -> Throw:
        members = cbor2.loads(build.build_manifest(_described(workshop)))
        members[_INSTALL] = cbor.encode([*commands, *cbor2.loads(members[_INSTALL])])
        return _sent(workshop, cbor.encode(members))

    return make


def _renumbered(workshop: Workshop) -> Throw:
    members = cbor2.loads(build.build_manifest(_described(workshop)))
    members[_EARLIER_INSTALL] = members.pop(_INSTALL)
    return _sent(workshop, cbor.encode(members))


def _block(attached: bool, digest_id: int) -> Callable[[Workshop], Throw]:
    """A signature that has its payload inside, or over a digest as the other format has it."""

    def make(workshop: Workshop) -> Throw:
        manifest = build.build_manifest(_described(workshop))
        good = cbor2.loads(workshop.digest(manifest))
        digest = cbor.encode([digest_id, good[1]])
        block = cbor2.loads(cose.sign(workshop.key, digest, IETF))
        parts = [*block.value]
        parts[2] = digest if attached else None
        signed = cbor.encode([digest, cbor.encode(cbor2.CBORTag(block.tag, parts))])
        envelope = cbor2.CBORTag(107, {wire.AUTHENTICATION: signed, wire.MANIFEST: manifest})
        return workshop.post(cbor.encode(envelope))

    return make


_FAILING: Final = cbor.encode([wire.ABORT, REPORT])


def _attack(name: str, threat: str, expected: str, make: Callable[[Workshop], Throw]) -> Attack:
    return Attack(name, threat, expected, make, draft=True)


DRAFTS: Final = (
    _attack(
        "exchanged section",
        "another install section beside the manifest",
        "SEVERED_DIGEST",
        _severed(lambda section: section + b"\0"),
    ),
    _attack("section cut off", "no install section at all", "MALFORMED", _severed(lambda _: None)),
    _attack("section twice", "an install section inside and beside", "MALFORMED", _twice),
    _attack("exchanged payload", "another image in the envelope", "IMAGE_DIGEST", _integrated(_OTHER)),
    _attack("missing payload", "an image that did not come along", "TRANSPORT", _integrated(None)),
    _attack(
        "attached payload",
        "a signature with its own digest inside",
        "MALFORMED",
        _block(attached=True, digest_id=IETF.digest_id),
    ),
    _attack(
        "digest of riot",
        "a digest as the other format writes it",
        "MALFORMED",
        _block(attached=False, digest_id=RIOT.digest_id),
    ),
    _attack("earlier draft", "install by the integer of drafts 10 to 29", "UNSUPPORTED", _renumbered),
    _attack(
        "number of riot",
        "run sequence by the integer of the other format",
        "UNSUPPORTED",
        _installing(wire.RIOT_RUN_SEQUENCE, cbor.encode([wire.IMAGE_MATCH, REPORT])),
    ),
    _attack(
        "indices overrun",
        "a list with a component that there is not",
        "MALFORMED",
        _installing(wire.SET_COMPONENT_INDEX, [0, 1]),
    ),
    _attack(
        "one choice",
        "a choice between a condition that fails and nothing",
        "MALFORMED",
        _installing(wire.TRY_EACH, [_FAILING, None]),
    ),
    _attack("abort", "a condition that always fails", "CONDITION_FAILED", _installing(wire.ABORT, REPORT)),
    _attack(
        "copy of itself",
        "a slot filled from what it is to hold",
        "MALFORMED",
        _installing(wire.OVERRIDE_PARAMETERS, {wire.SOURCE_COMPONENT: 0}, wire.COPY, REPORT),
    ),
)
