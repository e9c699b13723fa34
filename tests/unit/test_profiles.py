"""What a profile changes in verification and in runs (programs.md sections 5 and 7, helpers.md section 8)."""

from __future__ import annotations

from typing import Any

import pytest

from device.engines import ENGINES
from device.vm.asm import assemble
from device.vm.faults import FaultCode
from device.vm.helpers import HELPERS, CType, profile_helpers
from device.vm.memory import CONTEXT_BASE
from device.vm.profiles import FEMTO, PROFILES, RIOT2020, SMING, UBPF, UBPF_FC, Profile, adapt
from device.vm.program import Layout, Outcome, Program, Run, build_memory
from device.vm.verifier import verify
from tests.unit.helper_bench import Bench

X = "9500000000000000"
IDS = {profile.name: profile for profile in PROFILES.values()}


def execute(program: Program, profile: Profile, engine: str, context: bytes = b"") -> Outcome:
    memory = build_memory(program, program.fresh_data(), bytearray(context))
    run = Run(memory, r1=CONTEXT_BASE if context else 0, r2=len(context), rules=profile.rules)
    return ENGINES[engine].run(adapt(program, profile), run)


def ending(text: str, profile: Profile, engine: str, context: str = "", **fields: Any) -> str:
    """`r0 N`, the name of a fault, or `E id` of the first error."""
    fields = {"layout": Layout.TEXT, "digest": b"", **fields}
    program = Program(bytes.fromhex(text.replace("X", X)), **fields)
    report = verify(program, helpers=(), profile=profile)
    if not report.accepted:
        return f"E {report.errors[0].id}"
    outcome = execute(program, profile, engine, bytes.fromhex(context))
    return outcome.fault.name if outcome.fault else f"r0 {outcome.r0_signed}"


HEADER = {"layout": Layout.FEMTO}
# text, context, other parts of the image; what `ubpf` comes to, and `femto` where that differs.
VECTORS: list[tuple[str, str, str, dict[str, Any], str, str]] = [
    ("mov64 -1", "b7000000ffffffff X", "", {}, "r0 -1", ""),
    ("neg 87", "b700000005000000 8700000000000000 X", "", {}, "r0 -5", ""),
    ("neg 8f", "b700000005000000 8f00000000000000 X", "", {}, "E opcode", "r0 -5"),
    ("lddw, bit 31", "180000000000ffff 0000000000000000 X", "", {}, "r0 4294901760", ""),
    ("lddw, both halves", "180000000000ffff 0000000001000000 X", "", {}, "r0 8589869056", ""),
    ("mov32", "b400000001000000 X", "", {}, "r0 1", ""),
    ("jeq32", "1600000000000000 X", "", {}, "r0 0", ""),
    ("be16", "dc00000010000000 X", "", {}, "r0 0", ""),
    ("mov r10", "b70a000000000000 b700000007000000 X", "", {}, "E reg-r10", ""),
    ("jump to 0", "b700000001000000 0500feff00000000", "", {}, "OUT_OF_INSTRUCTIONS", "OUT_OF_BRANCHES"),
    (
        "endless",
        "b700000001000000 0700000001000000 0500feff00000000",
        "", {}, "OUT_OF_INSTRUCTIONS", "OUT_OF_BRANCHES",
    ),
    (
        "200 branches",
        "b700000000000000 b7010000c9000000 0700000001000000 2d01feff00000000 X",
        "", {}, "r0 201", "",
    ),
    (
        "201 branches",
        "b700000000000000 b7010000ca000000 0700000001000000 2d01feff00000000 X",
        "", {}, "r0 202", "OUT_OF_BRANCHES",
    ),
    ("div by constant 0", "3700000000000000 X", "", {}, "r0 0", "ILLEGAL_DIV"),
    ("div by r1 = 0", "b700000008000000 3f10000000000000 X", "", {}, "r0 0", "ILLEGAL_DIV"),
    ("mod by r1 = 0", "b700000008000000 9f10000000000000 X", "", {}, "r0 8", "ILLEGAL_DIV"),
    ("sdiv by r1 = 0", "b700000008000000 3f10010000000000 X", "", {}, "r0 0", "ILLEGAL_DIV"),
    ("mod32 by 0", "b700000008000000 9400000000000000 X", "", {}, "r0 8", "ILLEGAL_DIV"),
    ("half a slot", "9500000000", "", {}, "E text-len", ""),
    ("no exit", "b700000001000000", "", {}, "E no-exit", ""),
    ("helper that nobody bound", "8500000010000000 X", "", {}, "E helper-unknown", ""),
    ("r11", "b70b000001000000 X", "", {}, "E reg-dst", ""),
    ("jump outside", "0500010000000000 X", "", {}, "E jump-range", ""),
    ("jump into lddw", "0500010000000000 1800000001000000 0000000002000000 X", "", {}, "E jump-half", ""),
    ("below the frame", "7b0af8fd00000000 X", "", {}, "ILLEGAL_MEM", ""),
    ("in the frame", "7b0af8ff00000000 X", "", {}, "r0 0", ""),
    ("at r10", "7b0a000000000000 X", "", {}, "ILLEGAL_MEM", ""),
    ("context", "7a01000007000000 7910000000000000 X", "00" * 8, {}, "r0 7", ""),
    ("behind the context", "7910080000000000 X", "00" * 8, {}, "ILLEGAL_MEM", ""),
    (
        "rodata", "d801000000000000 0000000000000000 7110000000000000 X",
        "", {**HEADER, "rodata": b"ABCDEFGH"}, "r0 65", "",
    ),
    (
        "data", "b801000000000000 0000000000000000 7110000000000000 X",
        "", {**HEADER, "data": b"ABCDEFGH"}, "r0 65", "",
    ),
]  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("text", "context", "fields", "ubpf", "femto"),
    [row[1:] for row in VECTORS],
    ids=[row[0] for row in VECTORS],
)
def test_profile_vectors(
    text: str, context: str, fields: dict[str, Any], ubpf: str, femto: str, engine: str
) -> None:
    assert ending(text, UBPF, engine, context, **fields) == ubpf
    assert ending(text, FEMTO, engine, context, **fields) == (femto or ubpf)


COUNTED = assemble("mov r0, 0\nloop: add r0, 1\njlt r0, 1000, loop\nexit")


@pytest.mark.parametrize("engine", ENGINES)
def test_the_branch_fault_is_at_the_target_and_counts_what_ran(engine: str) -> None:
    outcome = execute(Program(COUNTED, Layout.TEXT, b""), SMING, engine)
    assert outcome.fault is not None
    assert (outcome.fault.code, outcome.fault.pc) == (FaultCode.OUT_OF_BRANCHES, 1)
    assert outcome.instructions == 1 + 2 * 201


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("profile", "fault"),
    [(UBPF, None), (FEMTO, "OUT_OF_BRANCHES"), (SMING, "OUT_OF_BRANCHES"), (RIOT2020, None), (UBPF_FC, None)],
    ids=lambda value: value.name if isinstance(value, Profile) else value or "runs",
)
def test_who_counts_branches(profile: Profile, fault: str | None, engine: str) -> None:
    outcome = execute(Program(COUNTED, Layout.TEXT, b""), profile, engine)
    assert (outcome.fault.name if outcome.fault else None) == fault


@pytest.mark.parametrize(
    ("profile", "accepted"),
    [(UBPF, False), (FEMTO, True), (SMING, True), (RIOT2020, True), (UBPF_FC, False)],
    ids=lambda value: value.name if isinstance(value, Profile) else "",
)
def test_who_takes_neg_with_the_register_bit(profile: Profile, accepted: bool) -> None:
    text = assemble("mov r0, 5\n.bytes 8f00000000000000\nlddw r1, 0x8f\nexit")
    report = verify(Program(text, Layout.TEXT, b""), helpers=(), profile=profile)
    assert report.accepted is accepted
    (finding,) = report.findings
    assert (finding.id, finding.insn, str(finding.severity)) == ("opcode", 1, "W" if accepted else "E")
    adapted = adapt(Program(text, Layout.TEXT, b""), profile).text
    assert adapted == (text.replace(b"\x8f" + b"\0" * 7, b"\x87" + b"\0" * 7, 1) if accepted else text)


def test_no_return_makes_no_exit_a_warning() -> None:
    report = verify(Program(assemble("mov r0, 1"), Layout.TEXT, b""), helpers=(), profile=UBPF_FC)
    assert [(finding.id, str(finding.severity)) for finding in report.findings] == [("no-exit", "W")]


@pytest.mark.parametrize(
    ("profile", "ids"),
    [(UBPF, 30), (UBPF_FC, 20), (FEMTO, 18), (SMING, 11), (RIOT2020, 14)],
    ids=lambda value: value.name if isinstance(value, Profile) else "",
)
def test_helper_sets(profile: Profile, ids: int) -> None:
    assert len(profile.helpers) == ids
    offered = profile_helpers(profile)
    assert list(offered) == sorted(set(offered))
    assert set(offered) <= profile.helpers
    assert all(helper.id == number for number, helper in offered.items())


def test_sming_has_the_stores_the_other_way_round() -> None:
    offered = profile_helpers(SMING)
    names = [offered[number].name for number in range(0x10, 0x14)]
    assert names == ["bpf_store_global", "bpf_store_local", "bpf_fetch_global", "bpf_fetch_local"]
    bench = Bench(available=offered)
    bench.call(0x10, 1, 7)
    assert (bench.shared.entries, bench.local.entries) == ({1: 7}, {})


@pytest.mark.parametrize("name", PROFILES)
def test_results_of_helpers_are_32_bits_where_the_profile_says_so(name: str) -> None:
    """-1 of a full store: sign-extended here, a u32 in the others."""
    bench = Bench(available=profile_helpers(IDS[name]))
    full = [bench.call(0x11, key, 0) for key in range(3)]
    assert full == [0, 0, 2**64 - 1 if name == "ubpf" else 2**32 - 1]


def test_the_originals_table_is_not_changed() -> None:
    assert HELPERS[0x11].result is CType.INT
    assert profile_helpers(UBPF)[0x11] is HELPERS[0x11]


NUMBERS = [
    (FEMTO, FaultCode.OUT_OF_INSTRUCTIONS, -8),
    (FEMTO, FaultCode.CALL_DEPTH, -2),
    (FEMTO, FaultCode.HELPER_DENIED, -4),
    (FEMTO, FaultCode.NO_MEMORY, None),
    (SMING, FaultCode.NO_MEMORY, -100),
    (SMING, FaultCode.ILLEGAL_DIV, -9),
    (RIOT2020, FaultCode.NO_RETURN, -6),
    (RIOT2020, FaultCode.ILLEGAL_REGISTER, None),
    (RIOT2020, FaultCode.ILLEGAL_MEM, -2),
    (UBPF, FaultCode.OUT_OF_INSTRUCTIONS, -10),
]


@pytest.mark.parametrize(
    ("profile", "code", "number"), NUMBERS, ids=[f"{row[0].name}-{row[1].name}" for row in NUMBERS]
)
def test_numbers_of_the_originals(profile: Profile, code: FaultCode, number: int | None) -> None:
    assert profile.number(code) == number
