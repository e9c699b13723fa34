"""Hostile updates: signed envelopes and manifests, changed in every way that a sender could think of.

Two kinds. Envelopes whose bytes were changed after signing never verify, unless nothing that is signed was
touched. Manifests that were changed and then signed with a trusted key reach the code behind the signature,
which either refuses them by name or finds a plan that keeps every promise of a plan.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import cbor2
import pytest

from device.errors import SuitError
from device.suit import envelope, wire
from device.suit.cose import PrivateKey
from device.suit.identity import Identity
from device.suit.plan import DeviceState, Plan, plan
from device.suit.refusals import Refusal
from device.suit.wire import Command, Member
from tests.property.fuzzing import flood
from tests.property.hostile_cbor import encoded, mutate_bytes, mutate_value, sloppy, thawed
from tests.suit_manifests import BOARD, IETF, KEY, OTHER, RIOT, SEVEN, Format, Image
from tests.unit.test_suit import STATE, WORKED

NIGHTLY: Final = 72_000
"""Inputs of each kind and format a night: a million of them all."""

TRUSTED = [KEY.public_key()]
HOST = ip_address("fd00::1")
NAMES = frozenset(refusal.name for refusal in Refusal)
BEHIND_THE_SIGNATURE = frozenset(
    {
        "MALFORMED", "TOO_COMPLEX", "VERSION", "ROLLBACK", "UNSUPPORTED", "UNKNOWN_COMPONENT",
        "TOO_MANY_COMPONENTS", "NOTHING_INSTALLED", "VENDOR_MISMATCH", "CLASS_MISMATCH", "CONDITION_FAILED",
        "POLICY", "SLOT_BUSY", "URI_FORBIDDEN", "STORAGE_EXCEEDED", "CAPABILITY",
    }
)  # fmt: skip


Found = TypeVar("Found")


class Outcomes(Counter[str]):
    """How often it was taken, and how often refused by each name."""

    def of(self, attempt: Callable[[], Found]) -> Found | None:
        """What the attempt gives; None when it is refused by one of the names that there are, in words."""
        try:
            found = attempt()
        except SuitError as error:
            if error.code not in NAMES or not error.detail:
                raise AssertionError(f"unnamed refusal {error.code!r}: {error.detail!r}") from error
            self[error.code] += 1
            return None
        self["taken"] += 1
        return found

    def plan(self, data: bytes, state: DeviceState = STATE) -> Plan | None:
        """The plan of an envelope, if it is taken; it keeps what a plan promises."""
        found = self.of(lambda: plan(envelope.verify(data, TRUSTED), state))
        if found is None:
            return None
        assert found.sequence_number > state.sequence_number
        slots = [operation.slot for operation in found.operations]
        assert 1 <= len(set(slots)) == len(slots) <= state.max_components
        for operation in found.operations:
            assert operation.slot in range(state.slots)
            assert operation.slot not in state.held
            assert 0 <= operation.size <= state.slot_size  # an empty image is refused as a program
            assert len(operation.digest) == 32
            if operation.content is None and operation.source is None:
                assert urlsplit(operation.uri).scheme == "coap"
                assert ip_address(urlsplit(operation.uri).hostname or "") == HOST
        return found


@dataclass(frozen=True, slots=True)
class Subject:
    """A format, with a good manifest and envelope of it."""

    form: Format

    @property
    def manifest(self) -> dict[Any, Any]:
        """A manifest with a nested sequence, and in one format with a payload that it brings."""
        form = self.form
        image = Image(uri="#x") if form is IETF else Image()
        taken, other = form.sequence(form.install(image)[:2]), form.sequence([(Command.CLASS_MATCH, 15)])
        install = [(Command.TRY_EACH, [taken, other]), (Command.IMAGE_MATCH, 15)]
        found: dict[Any, Any] = cbor2.loads(form.manifest(image, install=install))
        return found

    def sign(self, manifest: bytes, keys: Sequence[PrivateKey] = (KEY,)) -> bytes:
        beside: dict[int | str, bytes] = {"#x": SEVEN}
        return self.form.sign(manifest, keys, beside if self.form is IETF else None)

    @property
    def envelope(self) -> bytes:
        return self.sign(encoded(self.manifest))

    @property
    def sections(self) -> tuple[int, int]:
        """The integers of install and validate."""
        return self.form.profile.key(Member.INSTALL), self.form.profile.key(Member.VALIDATE)


SUBJECTS = (Subject(RIOT), Subject(IETF))
Kind = Callable[[random.Random, Outcomes, Subject], None]


def damaged_envelope(source: random.Random, outcomes: Outcomes, subject: Subject) -> None:
    """Bytes changed after signing: what verifies all the same is what was signed."""
    data = mutate_bytes(source, subject.envelope)
    found = outcomes.of(lambda: envelope.verify(data, TRUSTED))
    assert found is None or found.manifest == encoded(subject.manifest)


def changed_envelope(source: random.Random, outcomes: Outcomes, subject: Subject) -> None:
    """A good manifest in an envelope with a changed part: the operations are those signed, or none."""
    good = plan(envelope.verify(subject.envelope, TRUSTED), STATE).operations
    found = outcomes.plan(encoded(mutate_value(source, thawed(cbor2.loads(subject.envelope)))))
    if found is not None:
        # Payloads in the envelope are no part of what is signed: they are compared when they are used.
        assert [replace(o, content=None) for o in found.operations] == [
            replace(o, content=None) for o in good
        ]


def stranger(source: random.Random, outcomes: Outcomes, subject: Subject) -> None:
    """Anything at all, signed with a key that is not trusted."""
    manifest = mutate_value(source, subject.manifest) if source.random() < 0.8 else subject.manifest
    assert outcomes.plan(subject.sign(encoded(manifest), [OTHER])) is None


def resigned_bytes(source: random.Random, outcomes: Outcomes, subject: Subject) -> None:
    """A payload of anything, signed with a trusted key."""
    outcomes.plan(subject.sign(mutate_bytes(source, encoded(subject.manifest))))


def resigned_values(source: random.Random, outcomes: Outcomes, subject: Subject) -> None:
    """A manifest with a changed part, in good CBOR, signed with a trusted key."""
    outcomes.plan(subject.sign(encoded(mutate_value(source, subject.manifest))))


def resigned_encodings(source: random.Random, outcomes: Outcomes, subject: Subject) -> None:
    """A manifest in an encoding that may not be the canonical one: nothing else is taken."""
    data = sloppy(source, subject.manifest)
    if outcomes.plan(subject.sign(data)):
        assert canonical(data, wire.COMMON, *subject.sections)
        assert canonical(cbor2.loads(data)[wire.COMMON], wire.COMMON_SEQUENCE)


def canonical(data: bytes, *wrapped: int) -> bool:
    """Whether a map is in its canonical encoding, and the arrays and maps that these members wrap."""
    items = cbor2.loads(data)
    inside = [items[key] for key in wrapped if key in items]
    return all(encoded(cbor2.loads(raw)) == raw for raw in (data, *inside))


def resigned_commands(source: random.Random, outcomes: Outcomes, subject: Subject) -> None:
    """Well-formed manifests of commands in any order, for devices in any state."""
    form = subject.form
    slots = [source.randrange(7) for _ in range(source.choice((1, 1, 1, 2, 3)))]
    images = [Image(slot) for slot in slots]
    raw = cbor2.loads(form.manifest(*images, number=source.choice((7,) * 12 + (6, 0, 2**32 - 1, 2**32))))
    install, validate = subject.sections
    common = cbor2.loads(raw[wire.COMMON])
    sections = [_pairs(part) for part in (common[wire.COMMON_SEQUENCE], raw[install], raw[validate])]
    for _ in range(source.choice((0, 1, 1, 2, 4))):
        _change_commands(source, sections, form)
    raw[wire.VERSION] = source.choice((1,) * 15 + (2,))
    common[wire.COMMON_SEQUENCE], raw[install], raw[validate] = map(_flat, sections)
    raw[wire.COMMON] = encoded(common)
    state = DeviceState(
        Identity.of(source.choice((BOARD, BOARD, BOARD, BOARD, "other"))),
        sequence_number=6,
        slots=source.choice((5, 7, 7, 7)),
        slot_size=source.choice((15, 4096, 4096, 4096)),
        allowed_hosts=("fd00::1",),
        max_components=source.choice((1, 3, 3, 3, 3)),
        held=tuple(slot for slot in range(7) if source.random() < 0.1),
    )
    outcomes.plan(subject.sign(encoded(raw)), state)


def _pairs(raw: bytes) -> list[tuple[Any, Any]]:
    flat = cbor2.loads(raw)
    return list(zip(flat[::2], flat[1::2], strict=True))


def _flat(pairs: Sequence[tuple[Any, Any]]) -> bytes:
    return encoded([part for pair in pairs for part in pair])


def _change_commands(source: random.Random, sections: list[list[tuple[Any, Any]]], form: Format) -> None:
    """Leave out, move, repeat, nest or add one command."""
    section = source.choice(sections)
    at = source.randrange(len(section) + 1)
    if source.random() < 0.3:
        section.insert(at, (wire.OVERRIDE_PARAMETERS, dict([_parameter(source, form)])))
        return
    if source.random() < 0.02:
        for emptied in sections[1:]:
            emptied[:] = [(wire.OVERRIDE_PARAMETERS, {wire.URI: "coap://[fd00::1]/y"})]
        return
    match source.randrange(6):
        case 0 if section:
            section.pop(at - 1)
        case 1 if section:
            source.choice(sections).insert(0, section.pop(at - 1))
        case 2 if len(section) < 100:
            section[at:at] = section * source.choice((1, 1, 100))
        case 3:
            source.shuffle(section)
        case 4 if section:
            section[:] = [_nested(source, section, form)]
        case _:
            section.insert(at, _command(source, form))


def _nested(source: random.Random, section: list[tuple[Any, Any]], form: Format) -> tuple[Any, Any]:
    """All of a section inside one command."""
    flat = _flat(section)
    if source.random() < 0.5:
        return form.code(Command.RUN_SEQUENCE), flat
    other = _flat([_command(source, form)])
    return wire.TRY_EACH, source.choice(([other, flat], [flat, other], [other, other, None], [flat]))


def _command(source: random.Random, form: Format) -> tuple[Any, Any]:
    """A command with an argument of its type, more or less."""
    command = source.choice((*sorted(form.profile.commands), 0, 4, 13, 15, 32, -1))
    if command in (wire.SET_PARAMETERS, wire.OVERRIDE_PARAMETERS):
        return command, dict([_parameter(source, form) for _ in range(source.randint(1, 3))])
    if command == wire.SET_COMPONENT_INDEX:
        return command, source.choice((0, 1, 2, 3, 2**31, True, False, [0, 1]))
    return command, source.choice((0, 2, 15, 15, 15, 16, -1, None))


def _parameter(source: random.Random, form: Format) -> tuple[int, Any]:
    number = form.profile.digest_id
    digest = encoded([source.choice((number, number, -43)), source.randbytes(source.choice((32, 32, 31)))])
    values: dict[int, tuple[Any, ...]] = {
        wire.VENDOR_ID: (source.randbytes(16), source.randbytes(16), b"", cbor2.CBORTag(112, b"\x01")),
        wire.CLASS_ID: (source.randbytes(16), Identity.of("other").class_id),
        wire.IMAGE_DIGEST: (digest, digest, digest[:-1]),
        wire.COMPONENT_OFFSET: (0, 0, 2**32),
        wire.IMAGE_SIZE: (0, 16, 4096, 4097, 2**32 - 1, -1),
        wire.CONTENT: (SEVEN, b"", "x"),
        wire.SOURCE_COMPONENT: (0, 1, 2, 3),
        wire.CAPABILITIES: tuple(map(encoded, ({1: 1}, {1: 1, 2: [1]}, {1: 2}, {1: 1, 3: 520}, {}))),
        wire.URI: (
            "coap://[fd00::1]/y",
            "coap://[fd00::2]/y",
            "coaps://[fd00::1]/y",
            "#x",
            "#y",
            "",
            "coap://[fd00::1]/../y",
        ),
        99: (0,),
    }
    key = source.choice(list(values))
    return key, source.choice(values[key])


EXPECTED: dict[Kind, set[str]] = {
    damaged_envelope: {"MALFORMED", "BAD_SIGNATURE", "MANIFEST_DIGEST", "TOO_COMPLEX"},
    changed_envelope: {"taken", "MALFORMED", "FORMAT", "UNSIGNED"},
    stranger: {"BAD_SIGNATURE"},
    resigned_bytes: {"taken", "MALFORMED", "TOO_COMPLEX"},
    resigned_values: {"taken", "MALFORMED", "UNSUPPORTED", "VERSION", "ROLLBACK"},
    resigned_encodings: {"taken", "MALFORMED", "TOO_COMPLEX"},
    resigned_commands: {"taken", *BEHIND_THE_SIGNATURE},
}
KINDS = pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
BOTH = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.form.profile.name)


def check(kind: Kind, subject: Subject, count: int) -> Outcomes:
    """Every input has a named outcome."""
    outcomes = Outcomes()
    flood(count, lambda source: kind(source, outcomes, subject))
    return outcomes


@KINDS
@BOTH
def test_hostile_updates_are_refused_by_name(subject: Subject, kind: Kind) -> None:
    assert len(check(kind, subject, 250)) >= min(3, len(EXPECTED[kind]))


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@KINDS
@BOTH
def test_a_night_of_hostile_updates(subject: Subject, kind: Kind) -> None:
    outcomes = check(kind, subject, NIGHTLY)
    assert set(outcomes) >= EXPECTED[kind], "the inputs do not come to the outcomes that they are made for"


@pytest.mark.parametrize(
    "data",
    [WORKED, *(subject.envelope for subject in SUBJECTS), *(form.update() for form in (RIOT, IETF))],
    ids=["worked", "riot", "ietf", "riot, plain", "ietf, plain"],
)
def test_the_originals_are_taken(data: bytes) -> None:
    assert Outcomes().plan(data) is not None
