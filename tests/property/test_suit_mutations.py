"""Hostile updates: signed envelopes and manifests, changed in every way that a sender could think of.

Two kinds. Envelopes whose bytes were changed after signing never verify, unless nothing that is signed was
touched. Manifests that were changed and then signed with a trusted key reach the code behind the signature,
which either refuses them by name or finds a plan that keeps every promise of a plan. MICROBPF_FUZZ_SEED
chooses other mutations.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any, TypeVar

import cbor2
import pytest

from device.errors import SuitError
from device.suit import build, envelope
from device.suit.plan import DeviceState, plan
from device.suit.refusals import Refusal
from tests.unit.test_suit import KEY, OTHER, STATE, WORKED, manifest_map, signed

SEED = int(os.environ.get("MICROBPF_FUZZ_SEED", "20261121"))
TRUSTED = [KEY.public_key()]
NAMES = frozenset(refusal.name for refusal in Refusal)
PAYLOAD = build.build_manifest(build.Description("native64", 2, 7, "coap://[fd00::1]/x", b"\x95" + bytes(7)))
KEYS = (0, 1, 2, 3, 9, 20, 23, 99, -5, "text", b"bytes")
SCALARS: tuple[Any, ...] = (
    None, True, False, 0, 1, 7, 23, 24, 255, 256, 2**16, 2**31, 2**32, 2**63, 2**64 - 1, -1, -(2**63), 2**64,
    2**200, 1.5, float("nan"), float("inf"), "", "x", "coap://[fd00::1]/y", "http://host/", "\0", "x" * 300,
    b"", b"\0", b"x" * 16, b"x" * 32, b"x" * 5000, [], {}, [[]], cbor2.CBORTag(1, 0), cbor2.undefined,
    cbor2.CBORSimpleValue(99),
)  # fmt: skip


Found = TypeVar("Found")


def taken(attempt: Callable[[], Found]) -> Found | None:
    """What the attempt gives; None when it is refused by one of the names that there are, in words."""
    try:
        return attempt()
    except SuitError as error:
        if error.code not in NAMES or not error.detail:
            raise AssertionError(f"unnamed refusal {error.code!r}: {error.detail!r}") from error
        return None


def mutate_bytes(source: random.Random, data: bytes) -> bytes:
    """One to three changes of raw bytes: flips, cuts, insertions, repeated and swapped parts, lying heads."""
    changed = bytearray(data)
    for _ in range(source.randint(1, 3)):
        at = source.randrange(len(changed)) if changed else 0
        match source.randrange(7):
            case 0 if changed:
                changed[at] ^= 1 << source.randrange(8)
            case 1:
                del changed[at:]
            case 2:
                changed[at:at] = source.randbytes(source.randint(1, 9))
            case 3:
                end = min(len(changed), at + source.randint(1, 40))
                changed[at:at] = changed[at:end]
            case 4:
                del changed[at : at + source.randint(1, 9)]
            case 5 if changed:
                # heads: longer forms, indefinite lengths, huge counts, tags, breaks
                changed[at : at + 1] = source.choice(
                    (b"\x5f", b"\x9f", b"\xbf", b"\xff", b"\xdb" + b"\xff" * 8, b"\x9b" + b"\xff" * 8,
                     b"\x5b\x7f" + b"\xff" * 7, b"\xf8\x00", b"\x18\x01", b"\x81" * 2000, b"\xc2\x41\x01")
                )  # fmt: skip
            case _:
                changed += source.randbytes(source.randint(1, 4))
    return bytes(changed)


def mutate_value(source: random.Random, value: Any) -> Any:
    """The value with one part, at any depth, replaced, removed, doubled, wrapped or re-keyed."""
    if isinstance(value, bytes) and len(value) > 1 and source.random() < 0.6:
        inner = decoded(value)
        if inner is not None:
            return encoded(mutate_value(source, inner))
    if isinstance(value, list) and value and source.random() < 0.8:
        changed = list(value)
        at = source.randrange(len(changed))
        match source.randrange(5):
            case 0:
                del changed[at]
            case 1:
                changed.insert(at, source.choice(changed))
            case 2:
                changed.insert(at, source.choice(SCALARS))
            case _:
                changed[at] = mutate_value(source, changed[at])
        return changed
    if isinstance(value, dict) and value and source.random() < 0.8:
        changed_map = dict(value)
        key = source.choice(list(changed_map))
        match source.randrange(5):
            case 0:
                del changed_map[key]
            case 1:
                changed_map[source.choice(KEYS)] = source.choice(SCALARS)
            case _:
                changed_map[key] = mutate_value(source, changed_map[key])
        return changed_map
    return source.choice((*SCALARS, [value], {0: value}, [value, value]))


def decoded(data: bytes) -> Any:
    """What byte-string-wrapped CBOR holds; None where it is just bytes."""
    try:
        value = cbor2.loads(data)
        return value if cbor2.dumps(value, canonical=True) == data else None
    except Exception:  # noqa: BLE001  # any bytes
        return None


def encoded(value: Any) -> bytes:
    return cbor2.dumps(value, canonical=True)


def check_plan(data: bytes, state: DeviceState) -> bool:
    """Whether an envelope is taken. A plan must keep what it promises; a refusal must have a name."""
    found = taken(lambda: plan(envelope.verify(data, TRUSTED), state))
    if found is None:
        return False
    assert found.sequence_number > state.sequence_number
    for operation in found.operations:
        assert 0 <= operation.slot < state.slots
        assert 0 <= operation.size <= state.slot_size  # an empty image is refused as a program
        assert len(operation.digest) == 32
        assert operation.uri.startswith("coap://")
    return True


def flood(count: int, one: Callable[[random.Random], None]) -> None:
    for number in range(count):
        try:
            one(random.Random(f"{SEED}/{number}"))
        except Exception as error:
            raise AssertionError(f"MICROBPF_FUZZ_SEED={SEED}, input {number}: {error!r}") from error


def damaged_envelope(source: random.Random) -> None:
    """Bytes changed after signing: what verifies all the same is what was signed."""
    data = mutate_bytes(source, WORKED)
    found = taken(lambda: envelope.verify(data, TRUSTED))
    assert found in (None, envelope.verify(WORKED, TRUSTED))


def resigned_bytes(source: random.Random) -> None:
    """A payload of anything, signed with a trusted key."""
    check_plan(signed(mutate_bytes(source, PAYLOAD)), STATE)


def resigned_values(source: random.Random) -> None:
    """A manifest with a changed part, in good CBOR, signed with a trusted key."""
    manifest: Any = manifest_map()
    for _ in range(source.randint(1, 3)):
        manifest = mutate_value(source, manifest)
    check_plan(signed(encoded(manifest)), STATE)


def changed_envelope(source: random.Random) -> None:
    """A good manifest in an envelope with a changed part."""
    outer: Any = cbor2.loads(WORKED)
    if not check_plan(encoded(mutate_value(source, outer)), STATE):
        assert not check_plan(signed(manifest_map(), OTHER), STATE)


KINDS = pytest.mark.parametrize(
    "kind",
    [damaged_envelope, resigned_bytes, resigned_values, changed_envelope],
    ids=lambda kind: kind.__name__,
)


@KINDS
def test_hostile_updates_are_refused_by_name(kind: Callable[[random.Random], None]) -> None:
    flood(600, kind)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@KINDS
def test_a_night_of_hostile_updates(kind: Callable[[random.Random], None]) -> None:
    flood(30_000, kind)


def test_the_originals_are_taken() -> None:
    assert check_plan(WORKED, STATE)
    assert check_plan(signed(PAYLOAD), STATE)
    assert check_plan(signed(manifest_map()), STATE)
