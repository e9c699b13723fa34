"""Hostile objects: real ones with changed bytes. The loader gives a program or a named refusal.

MICROBPF_FUZZ_SEED chooses other mutations.
"""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest

from device.errors import LoadError
from device.vm import verifier
from device.vm.loader import load
from device.vm.memory import MAX_REGION_BYTES

OBJECTS = sorted((Path(__file__).parents[2] / "examples" / "objects").glob("*.o"))
SEED = int(os.environ.get("MICROBPF_FUZZ_SEED", "20261121"))
NUMBERS = (0, 1, 2, 7, 8, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


def mutated(source: random.Random, original: bytes) -> bytes:
    """One to four changes: flips, numbers written over fields, copies from elsewhere, cuts."""
    image = bytearray(original)
    headers = struct.unpack_from("<Q", original, 40)[0]
    for _ in range(source.randint(1, 4)):
        # half of the changes hit the file header or the section headers, where the lies are
        near = source.choice(
            (0, headers, source.randrange(len(image) or 1), source.randrange(len(image) or 1))
        )
        at = min(near + source.randrange(64 * 12), max(len(image) - 8, 0))
        match source.randrange(5):
            case 0 if image:
                image[at] ^= 1 << source.randrange(8)
            case 1:
                number = source.choice(NUMBERS)
                size = source.choice((1, 2, 4, 8))
                image[at : at + size] = (number & (1 << 8 * size) - 1).to_bytes(size, "little")
            case 2:
                other = source.randrange(len(image) or 1)
                image[at : at + 8] = image[other : other + 8]
            case 3:
                del image[at : at + source.choice((1, 8, 64))]
            case _ if source.random() < 0.2:
                del image[at:]
    return bytes(image)


def check(count: int) -> None:
    originals = [path.read_bytes() for path in OBJECTS]
    loaded = 0
    for number in range(count):
        source = random.Random(f"{SEED}/{number}")
        image = mutated(source, source.choice(originals))
        try:
            program = load(image)
            verifier.verify(program, helpers=range(256))
            assert len(program.data) + program.bss_size <= MAX_REGION_BYTES
            loaded += 1
        except LoadError as error:
            if not error.code.startswith(("load-", "text-")):
                raise AssertionError(f"input {number}: refusal without a name: {error!r}") from error
        except Exception as error:
            raise AssertionError(f"MICROBPF_FUZZ_SEED={SEED}, input {number}: {error!r}") from error
    assert count // 20 < loaded < count, "mutations should leave some objects whole, and break some"


def test_hostile_objects_are_loaded_or_refused() -> None:
    assert OBJECTS
    check(2_000)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_night_of_hostile_objects() -> None:
    check(100_000)
