"""Layouts there and back, and hostile headers: what is written loads, what is damaged is refused by name.

MICROBPF_FUZZ_SEED chooses other inputs.
"""

from __future__ import annotations

import random
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.errors import LoadError
from device.vm import loader, verifier
from device.vm.asm import assemble
from device.vm.layouts import reader
from device.vm.layouts.convert import Wish, convert
from device.vm.layouts.header import CallRecord, FunctionRecord, Parts
from device.vm.memory import MAX_REGION_BYTES
from device.vm.program import Layout, Program
from tests.headers import BODY, FIELDS, RBPF, START, UBPF, Header, offset_of
from tests.integration.test_layout_acceptance import POINTERS
from tests.property.fuzzing import flood
from tests.property.test_loader_fuzz import OBJECTS
from tests.property.test_loader_fuzz import mutated as damaged

EXAMPLES: Final = Path(__file__).parents[2] / "examples" / "objects"
HEADERS: Final = (Layout.FEMTO, Layout.SMING, Layout.EXTENDED)
NUMBERS: Final = (
    0,
    1,
    2,
    7,
    8,
    9,
    255,
    256,
    257,
    4096,
    0x7FFF,
    0xFFFF,
    2**31 - 1,
    2**31,
    2**32 - 8,
    2**32 - 1,
)
SLOTS: Final = 6
CALL: Final = assemble("call local +0")


# ---- There and back ------------------------------------------------------------------------------


@st.composite
def images(draw: st.DrawFn) -> Parts:
    """Any sound image of the family."""
    layout = draw(st.sampled_from(HEADERS))
    slots = draw(st.integers(1, SLOTS))
    rodata = draw(st.binary(max_size=24))
    records = st.builds(
        FunctionRecord,
        st.integers(0, max(len(rodata) - 1, 0)),
        st.just(0),
        st.integers(0, slots - 1).map(lambda n: 8 * n),
    )
    targets = draw(st.dictionaries(st.integers(0, slots - 1), st.integers(0, slots - 1)))
    extended = layout is Layout.EXTENDED
    text = b"".join(
        CALL[:4] + draw(st.sampled_from([target - at - 1, -1])).to_bytes(4, "little", signed=True)
        if (target := targets.get(at)) is not None
        else draw(st.sampled_from([BODY[:8], BODY[8:]]))
        for at in range(slots)
    )
    return Parts(
        layout,
        text,
        magic=draw(st.sampled_from([RBPF, UBPF])),
        data=draw(st.binary(max_size=24)),
        bss_size=draw(st.integers(0, 64)) if layout is Layout.SMING else 0,
        rodata=rodata,
        functions=tuple(draw(st.lists(records, max_size=slots))) if rodata else (),
        calls=tuple(CallRecord(8 * at, 8 * to) for at, to in targets.items()) if extended else (),
        helpers=draw(st.binary(max_size=256)) if extended else b"",
    )


@given(images())
def test_what_is_taken_apart_is_put_together_again(parts: Parts) -> None:
    image = parts.encode()
    assert reader.parse(image) == parts
    assert reader.parse(image).encode() == image


@given(images())
def test_a_program_is_what_its_image_says(parts: Parts) -> None:
    program = loader.load(parts.encode())
    assert (program.layout, program.data, program.bss_size) == (parts.layout, parts.data, parts.bss_size)
    assert (program.rodata, len(program.text)) == (parts.rodata, len(parts.text))
    listed = frozenset(parts.helpers) if parts.layout is Layout.EXTENDED else None
    assert program.declared_helpers == listed


def same(one: Program, other: Program) -> None:
    """Equal in everything but the image they came from."""
    assert replace(one, digest=b"") == replace(other, digest=b"")


@given(images())
def test_written_again_it_is_the_same_program(parts: Parts) -> None:
    """Load, write in the same layout, load. Names may have to be written anew: behind what was there."""
    image = parts.encode()
    again = convert(image, Wish(parts.layout)).image
    first, second = loader.load(image), loader.load(again)
    assert second.rodata.startswith(first.rodata)
    same(first, replace(second, rodata=first.rodata))
    assert convert(again, Wish(parts.layout)).image == again


@given(images(), st.sampled_from(HEADERS))
def test_in_another_layout_text_names_and_memory_are_the_same(parts: Parts, layout: Layout) -> None:
    first = loader.load(parts.encode())
    second = loader.load(convert(parts.encode(), Wish(layout)).image)
    assert (second.text, second.functions) == (first.text, first.functions)
    assert second.rodata.startswith(first.rodata)
    assert bytes(second.fresh_data()).startswith(bytes(first.fresh_data()))


@given(images())
def test_as_an_object_it_is_the_same_program(parts: Parts) -> None:
    first = loader.load(parts.encode())
    second = loader.load(convert(parts.encode(), Wish(Layout.ELF)).image)
    assert (second.text, second.rodata, second.data) == (first.text, first.rodata, first.data)
    assert (second.bss_size, second.entry) == (first.bss_size, first.entry)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.o")), ids=lambda path: path.stem)
def test_examples_there_and_back(path: Path) -> None:
    for wish in (
        Wish(Layout.FEMTO),
        Wish(Layout.EXTENDED),
        Wish(Layout.FEMTO, profile="femto"),
        Wish(Layout.SMING),
    ):
        try:
            image = convert(path.read_bytes(), wish).image
        except LoadError:
            assert path.stem in POINTERS
            continue
        assert reader.parse(image).encode() == image
        assert convert(image, wish).image == image


# ---- Hostile headers -----------------------------------------------------------------------------

SOUND: Final = {
    "femto": Header("femto", data=bytes(8), rodata=b"main\0\0\0\0", functions=((0, 0, 0),)),
    "sming": Header("sming", data=bytes(8), bss=16, rodata=b"main\0\0\0\0", functions=((0, 0, 0),)),
    "extended": Header(
        "extended",
        rodata=b"mainsub\0",
        text=CALL[:4] + b"\xff" * 4 + BODY[8:] + BODY,
        functions=((0, 0, 0), (4, 0, 16)),
        calls=((0, 16),),
        helpers=b"\x01\x13",
    ),
}
"""A sound image of each variant that has one of everything."""

Field = tuple[str, str]
FIELD_TABLE: Final = [(variant, name) for variant in FIELDS for name in (*START[1:], *FIELDS[variant])]


def judge(image: bytes, declared: Layout | None = None) -> bool:
    """Whether it loads; it must, or be refused with an id, a place and a hint."""
    try:
        program = loader.load(image, declared=declared)
    except LoadError as error:
        refusal = error
    else:
        verifier.verify(program, helpers=range(256))
        assert len(program.data) + program.bss_size <= MAX_REGION_BYTES
        assert len(program.text) + len(program.rodata) + len(program.data) <= len(image)
        return True
    assert refusal.code.startswith("load-"), refusal.code
    assert refusal.detail
    assert refusal.where
    return False


def test_the_sound_ones_load() -> None:
    assert all(judge(header.build()) for header in SOUND.values())


@pytest.mark.parametrize(("variant", "name"), FIELD_TABLE, ids=[f"{v}-{n}" for v, n in FIELD_TABLE])
def test_every_field_with_every_number(variant: str, name: str) -> None:
    """One field says something else: refused, but for a .bss that fits.

    The list of helpers of an extended header has no count, so what a field that says too little leaves over
    may be one. Declared as what it is, the image is refused even then.
    """
    image = SOUND[variant].build()
    at = offset_of(variant, name)
    for number in NUMBERS:
        raw = number.to_bytes(4, "little")
        changed = image[:at] + raw + image[at + 4 :]
        harmless = changed == image or (name == "bss_len" and number <= 4096 - 8)
        too_little = number < int.from_bytes(image[at : at + 4], "little")
        if variant != "extended":
            assert judge(changed, Layout(variant)) == harmless, number
        assert judge(changed) == harmless or (too_little and reader.parse(changed).layout is Layout.EXTENDED)


@pytest.mark.parametrize("variant", SOUND)
def test_every_byte_of_the_records(variant: str) -> None:
    image = SOUND[variant].build()
    loaded = sum(
        judge(image[:at] + bytes([value]) + image[at + 1 :])
        for at in range(offset_of(variant, "functions"), len(image))
        for value in (0, 1, 7, 8, 16, 127, 128, 255)
    )
    assert loaded


@pytest.mark.parametrize("variant", SOUND)
def test_cut_anywhere(variant: str) -> None:
    """A cut extended image may still be one, with a shorter list of helpers."""
    image = SOUND[variant].build()
    for end in range(4, len(image)):
        assert judge(image[:end]) == (variant == "extended" and end >= len(image) - 2)


@pytest.mark.parametrize("variant", SOUND)
def test_a_header_costs_no_memory(variant: str) -> None:
    """Whatever it says: nothing is allocated that is not in the file."""
    image = SOUND[variant].build()
    lies = [
        image[:at] + b"\xff\xff\xff\x7f" + image[at + 4 :]
        for at in (offset_of(variant, name) for name in FIELDS[variant])
    ]
    judge(lies[0])
    tracemalloc.start()
    try:
        for lie in lies:
            assert not judge(lie)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def mutated(source: random.Random) -> bytes:
    """A sound image with one to four changes, half of them in its header and records."""
    image = bytearray(source.choice(list(SOUND.values())).build())
    for _ in range(source.randint(1, 4)):
        at = source.randrange(32) if source.random() < 0.5 else source.randrange(len(image) or 1)
        at = min(at, max(len(image) - 1, 0))
        match source.randrange(5):
            case 0 if image:
                image[at] ^= 1 << source.randrange(8)
            case 1:
                size = source.choice((1, 2, 4))
                number = source.choice(NUMBERS) & (1 << 8 * size) - 1
                image[at : at + size] = number.to_bytes(size, "little")
            case 2:
                image[at:at] = source.randbytes(source.choice((1, 4, 6, 8)))
            case 3:
                del image[at : at + source.choice((1, 4, 6, 8))]
            case _ if source.random() < 0.2:
                del image[at:]
    return bytes(image)


def one(source: random.Random) -> None:
    """Load it; what loads can be written in every layout, or is refused by name."""
    image = mutated(source)
    if not judge(image):
        return
    for layout in Layout:
        with suppress(LoadError):
            assert loader.detect_layout(convert(image, Wish(layout)).image) is layout


def test_hostile_headers_are_loaded_or_refused() -> None:
    flood(3_000, one)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_night_of_hostile_headers() -> None:
    flood(300_000, one)


def test_many_functions_take_linear_time() -> None:
    """All with one name that fills .rodata: it is read once."""
    slots = 8_000
    header = Header(
        "femto",
        text=BODY[8:] * slots,
        rodata=b"n" * 60_000,
        functions=tuple((0, 0, 8 * (number % 8_000)) for number in range(slots)),
    )
    program = loader.load(header.build())
    assert len({id(function.name) for function in program.functions}) == 1


# ---- Hostile objects, to be written behind a header ----------------------------------------------


def write_hostile(source: random.Random) -> None:
    """A damaged object is written in every layout, so that it loads; or refused by name."""
    image = damaged(source, source.choice(OBJECTS).read_bytes())
    for layout in (Layout.TEXT, *HEADERS):
        with suppress(LoadError):
            converted = convert(image, Wish(layout)).image
            assert loader.detect_layout(converted) is layout
            assert convert(image, Wish(layout)).image == converted


def test_hostile_objects_are_written_or_refused() -> None:
    flood(600, write_hostile)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_night_of_hostile_objects_written() -> None:
    flood(60_000, write_hostile)
