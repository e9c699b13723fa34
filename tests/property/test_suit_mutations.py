"""Hostile updates: signed envelopes and manifests, changed in every way that a sender could think of.

Two kinds. Envelopes whose bytes were changed after signing never verify, unless nothing that is signed was
touched. Manifests that were changed and then signed with a trusted key reach the code behind the signature,
which either refuses them by name or finds a plan that keeps every promise of a plan.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

import cbor2
import pytest

from device.errors import SuitError
from device.suit import build, envelope, wire
from device.suit.identity import Identity
from device.suit.plan import DeviceState, Plan, plan
from device.suit.refusals import Refusal
from tests.property.fuzzing import flood
from tests.property.hostile_cbor import encoded, mutate_bytes, mutate_value, sloppy
from tests.unit.test_suit import KEY, OTHER, STATE, WORKED, manifest_map, signed

INSTALL, VALIDATE = wire.RIOT.key(wire.Member.INSTALL), wire.RIOT.key(wire.Member.VALIDATE)
TRUSTED = [KEY.public_key()]
HOST = ip_address("fd00::1")
NAMES = frozenset(refusal.name for refusal in Refusal)
PAYLOAD = build.build_manifest(build.Description("native64", 2, 7, "coap://[fd00::1]/x", b"\x95" + bytes(7)))
BEHIND_THE_SIGNATURE = frozenset(
    {
        "MALFORMED", "TOO_COMPLEX", "VERSION", "ROLLBACK", "UNSUPPORTED", "UNKNOWN_COMPONENT",
        "TOO_MANY_COMPONENTS", "NOTHING_INSTALLED", "VENDOR_MISMATCH", "CLASS_MISMATCH", "CONDITION_FAILED",
        "POLICY", "SLOT_BUSY", "URI_FORBIDDEN", "STORAGE_EXCEEDED",
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
            assert urlsplit(operation.uri).scheme == "coap"
            assert ip_address(urlsplit(operation.uri).hostname or "") == HOST
        return found


Kind = Callable[[random.Random, Outcomes], None]


def damaged_envelope(source: random.Random, outcomes: Outcomes) -> None:
    """Bytes changed after signing: what verifies all the same is what was signed."""
    data = mutate_bytes(source, WORKED)
    found = outcomes.of(lambda: envelope.verify(data, TRUSTED))
    assert found in (None, envelope.verify(WORKED, TRUSTED))


def changed_envelope(source: random.Random, outcomes: Outcomes) -> None:
    """A good manifest in an envelope with a changed part: the plan is the one that was signed, or none."""
    found = outcomes.plan(encoded(mutate_value(source, cbor2.loads(WORKED))))
    assert found in (None, plan(envelope.verify(WORKED, TRUSTED), STATE))


def stranger(source: random.Random, outcomes: Outcomes) -> None:
    """Anything at all, signed with a key that is not trusted."""
    manifest = mutate_value(source, manifest_map()) if source.random() < 0.8 else manifest_map()
    assert outcomes.plan(signed(encoded(manifest), OTHER)) is None


def resigned_bytes(source: random.Random, outcomes: Outcomes) -> None:
    """A payload of anything, signed with a trusted key."""
    outcomes.plan(signed(mutate_bytes(source, PAYLOAD)))


def resigned_values(source: random.Random, outcomes: Outcomes) -> None:
    """A manifest with a changed part, in good CBOR, signed with a trusted key."""
    outcomes.plan(signed(encoded(mutate_value(source, manifest_map()))))


def resigned_encodings(source: random.Random, outcomes: Outcomes) -> None:
    """A manifest in an encoding that may not be the canonical one: nothing else is taken."""
    data = sloppy(source, manifest_map())
    if outcomes.plan(signed(data)):
        assert canonical(data, wire.COMMON, INSTALL, VALIDATE)
        assert canonical(cbor2.loads(data)[wire.COMMON], wire.COMMON_SEQUENCE)


def canonical(data: bytes, *wrapped: int) -> bool:
    """Whether a map is in its canonical encoding, and the arrays and maps that these members wrap."""
    items = cbor2.loads(data)
    inside = [items[key] for key in wrapped if key in items]
    return all(encoded(cbor2.loads(raw)) == raw for raw in (data, *inside))


def resigned_commands(source: random.Random, outcomes: Outcomes) -> None:
    """Well-formed manifests of commands in any order, for devices in any state."""
    manifest: dict[int, Any] = manifest_map()
    common = cbor2.loads(manifest[wire.COMMON])
    sections = [_pairs(raw) for raw in (common[wire.COMMON_SEQUENCE], manifest[INSTALL], manifest[VALIDATE])]
    for _ in range(source.choice((0, 1, 1, 2, 4))):
        _change_commands(source, sections)
    slots = [source.randrange(7) for _ in range(source.choice((1, 1, 1, 2, 3)))]
    common[wire.COMPONENTS] = [[b"ram", str(slot).encode()] for slot in slots]
    manifest[wire.VERSION] = source.choice((1,) * 15 + (2,))
    manifest[wire.SEQUENCE_NUMBER] = source.choice((7,) * 12 + (6, 0, 2**32 - 1, 2**32))
    chosen = [_flat(section) for section in sections]
    common[wire.COMMON_SEQUENCE], manifest[INSTALL], manifest[VALIDATE] = chosen
    manifest[wire.COMMON] = encoded(common)
    state = DeviceState(
        Identity.of(source.choice(("native64", "native64", "native64", "native64", "other"))),
        sequence_number=6,
        slots=source.choice((5, 7, 7, 7)),
        slot_size=source.choice((15, 4096, 4096, 4096)),
        allowed_hosts=("fd00::1",),
        max_components=source.choice((1, 3, 3, 3, 3)),
        held=tuple(slot for slot in range(7) if source.random() < 0.1),
    )
    outcomes.plan(signed(encoded(manifest)), state)


def _pairs(raw: bytes) -> list[tuple[Any, Any]]:
    flat = cbor2.loads(raw)
    return list(zip(flat[::2], flat[1::2], strict=True))


def _flat(pairs: list[tuple[Any, Any]]) -> bytes:
    return encoded([part for pair in pairs for part in pair])


def _change_commands(source: random.Random, sections: list[list[tuple[Any, Any]]]) -> None:
    """Leave out, move, repeat or add one command."""
    section = source.choice(sections)
    if source.random() < 0.3:
        section.insert(0, (wire.OVERRIDE_PARAMETERS, dict([_parameter(source)])))
        return
    at = source.randrange(len(section) + 1)
    match source.randrange(5):
        case 0 if section:
            section.pop(at - 1)
        case 1 if section:
            source.choice(sections).insert(0, section.pop(at - 1))
        case 2 if len(section) < 100:
            section[at:at] = section * source.choice((1, 1, 100))
        case 3:
            source.shuffle(section)
        case _:
            section.insert(at, _command(source))


def _command(source: random.Random) -> tuple[Any, Any]:
    """A command with an argument of its type, more or less."""
    command = source.choice((*sorted(wire.RIOT.commands), 0, 4, 13, 15, 32, -1))
    if command in (wire.SET_PARAMETERS, wire.OVERRIDE_PARAMETERS):
        return command, dict([_parameter(source) for _ in range(source.randint(1, 3))])
    if command == wire.SET_COMPONENT_INDEX:
        return command, source.choice((0, 1, 2, 3, 2**31, True, False, [0, 1]))
    return command, source.choice((0, 2, 15, 15, 15, 16, -1, None))


def _parameter(source: random.Random) -> tuple[int, Any]:
    digest = encoded([source.choice((-16, -16, -43)), source.randbytes(source.choice((32, 32, 31)))])
    values: dict[int, tuple[Any, ...]] = {
        wire.VENDOR_ID: (source.randbytes(16), source.randbytes(16), b""),
        wire.CLASS_ID: (source.randbytes(16), Identity.of("other").class_id),
        wire.IMAGE_DIGEST: (digest, digest, digest[:-1]),
        wire.COMPONENT_OFFSET: (0, 0, 2**32),
        wire.IMAGE_SIZE: (0, 16, 4096, 4097, 2**32 - 1, -1),
        wire.URI: (
            "coap://[fd00::1]/y",
            "coap://[fd00::2]/y",
            "coaps://[fd00::1]/y",
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
    changed_envelope: {"taken", "MALFORMED", "FORMAT", "MANIFEST_DIGEST", "UNSIGNED"},
    stranger: {"BAD_SIGNATURE"},
    resigned_bytes: {"taken", "MALFORMED", "TOO_COMPLEX"},
    resigned_values: {"taken", "MALFORMED", "UNSUPPORTED", "VERSION", "ROLLBACK"},
    resigned_encodings: {"taken", "MALFORMED", "TOO_COMPLEX"},
    resigned_commands: {"taken", *BEHIND_THE_SIGNATURE},
}
KINDS = pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)


def check(kind: Kind, count: int) -> Outcomes:
    """Every input has a named outcome."""
    outcomes = Outcomes()
    flood(count, lambda source: kind(source, outcomes))
    return outcomes


@KINDS
def test_hostile_updates_are_refused_by_name(kind: Kind) -> None:
    assert len(check(kind, 400)) >= min(3, len(EXPECTED[kind]))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@KINDS
def test_a_night_of_hostile_updates(kind: Kind) -> None:
    outcomes = check(kind, 20_000)
    assert set(outcomes) >= EXPECTED[kind], "the inputs do not come to the outcomes that they are made for"


@pytest.mark.parametrize(
    "data", [WORKED, signed(PAYLOAD), signed(manifest_map())], ids=["worked", "built", "map"]
)
def test_the_originals_are_taken(data: bytes) -> None:
    assert Outcomes().plan(data) is not None
