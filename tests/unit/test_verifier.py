"""The verifier: a program for every finding, and what it does not find (programs.md section 4)."""

from __future__ import annotations

from typing import Any

import pytest

from device.errors import VerifyError
from device.vm.asm import assemble
from device.vm.faults import FaultCode
from device.vm.isa import Op
from device.vm.program import Function, Layout
from device.vm.verifier import RULES, Severity, require_accepted, verify
from tests.conformance.vectors import Vector, vectors
from tests.isa_rows import HELPERS, each_row, program_with
from tests.unit.verifying import CHAIN, found, judge

LDDW_WITH_EXIT = "ja +1\nlddw r1, 1\nmov r0, 0\nexit"
HEADER = {"layout": Layout.FEMTO, "rodata": b"ABCD", "data": b"12345678", "bss_size": 4}

# id: (text, options, findings)
Case = tuple[str, str | bytes, dict[str, Any], list[str]]
CASES: list[Case] = [
    ("text-len", bytes.fromhex("9500000000"), {}, ["E text-len #0 text length 5 is not a multiple of 8"]),
    ("text-len", "mov r0, 0\nexit\n.bytes 95", {}, ["E text-len #1 text length 17 is not a multiple of 8"]),
    ("text-empty", b"", {}, ["E text-empty #0 no instructions"]),
    ("text-max", "mov r0, 0\n" * 65536 + "exit", {}, ["E text-max #65536 65537 slots, limit 65536"]),
    ("no-exit", "mov r0, 1", {}, ["E no-exit #0 last instruction is neither exit nor an unconditional jump"]),
    (
        "no-exit",
        "mov r0, 0\nexit\nlddw r0, 1",
        {},
        [
            "W unreachable #2 code never reached",
            "E no-exit #3 last instruction is neither exit nor an unconditional jump",
        ],
    ),
    (
        "no-exit",
        "mov r0, 1",
        {"no_return": True},
        ["W no-exit #0 last instruction is neither exit nor an unconditional jump"],
    ),
    ("no-exit", "mov r0, 0\nx: exit\nja x", {}, ["W unreachable #2 code never reached"]),
    ("no-exit", "mov r0, 0\nx: exit\nja32 x", {}, ["W unreachable #2 code never reached"]),
    ("opcode", "mov r0, 0\n.bytes 8f00000000000000\nexit", {}, ["E opcode #1 unknown opcode 0x8f"]),
    ("opcode", ".bytes ffffffffffffffff\nmov r0, 0\nexit", {}, ["E opcode #0 unknown opcode 0xff"]),
    (
        "opcode-legacy",
        ".bytes 2000000000000000\n.bytes 5010000000000000\nmov r0, 0\nexit",
        {},
        [
            "E opcode-legacy #0 packet load 0x20 not supported",
            "E opcode-legacy #1 packet load 0x50 not supported",
        ],
    ),
    (
        "opcode-callx",
        ".bytes 8d00000001000000\nmov r0, 0\nexit",
        {},
        ["E opcode-callx #0 call by register not supported"],
    ),
    (
        "reg-dst",
        ".bytes b70b000001000000\nmov r0, 0\nexit",
        {},
        ["E reg-dst #0 invalid destination register r11"],
    ),
    (
        "reg-dst",
        "mov r0, 0\n.bytes 950f000000000000",
        {},
        [
            "E field #1 field dst of opcode 0x95 is 15, must be 0",
            "E reg-dst #1 invalid destination register r15",
        ],
    ),
    ("reg-src", ".bytes bfb0000000000000\nexit", {}, ["E reg-src #0 invalid source register r11"]),
    (
        "reg-src",
        "mov r0, 0\n.bytes 85c0000000000000\nexit",
        {},
        ["E call-kind #1 call of kind 12", "E reg-src #1 invalid source register r12"],
    ),
    ("reg-r10", "mov r10, 0\nmov r0, 7\nexit", {}, ["E reg-r10 #0 write to read-only r10"]),
    ("reg-r10", "lddw r10, 0\nmov r0, 7\nexit", {}, ["E reg-r10 #0 write to read-only r10"]),
    ("reg-r10", "ldxw r10, [r1]\nmov r0, 7\nexit", {}, ["E reg-r10 #0 write to read-only r10"]),
    ("reg-r10", "be16 r10\nmov r0, 7\nexit", {}, ["E reg-r10 #0 write to read-only r10"]),
    (
        "reg-r10",
        "lock fetch add [r1], r10\nlock xchg [r1], r10\nlock add [r1], r10\nmov r0, 7\nexit",
        {},
        ["E reg-r10 #0 write to read-only r10", "E reg-r10 #1 write to read-only r10"],
    ),
    (
        "field",
        ".bytes 0711010001000000\nmov r0, 0\nexit",
        {},
        [
            "E field #0 field off of opcode 0x07 is 1, must be 0",
            "E field #0 field src of opcode 0x07 is 1, must be 0",
        ],
    ),
    (
        "field",
        "mov r0, 0\n.bytes 95000000ffffffff",
        {},
        ["E field #1 field imm of opcode 0x95 is -1, must be 0"],
    ),
    (
        "field",
        ".bytes b701feff01000000\nmov r0, 0\nexit",
        {},
        ["E field #0 field off of opcode 0xb7 is -2, must be 0"],
    ),
    (
        "end-width",
        "mov r0, 0\n.bytes d400000008000000\nexit",
        {},
        ["E end-width #1 byte swap width 8"],
    ),
    (
        "modifier",
        "mov r0, 0\n.bytes 3700020001000000\n.bytes bc00200000000000\nexit",
        {},
        ["E modifier #1 off 2 not allowed for div", "E modifier #2 off 32 not allowed for mov32"],
    ),
    (
        "atomic-op",
        "mov r0, 0\n.bytes db01000002000000\nexit",
        {},
        ["E atomic-op #1 unknown atomic operation 0x02"],
    ),
    (
        "lddw-half",
        "mov r0, 0\n.bytes 1800000000000000",
        {},
        [
            "E lddw-half #1 second half of lddw missing",
            "E no-exit #1 last instruction is neither exit nor an unconditional jump",
        ],
    ),
    (
        "lddw-half",
        ".bytes 180000000000000007210300ffffffff\nexit",
        {},
        [
            "E lddw-half #0 second half of lddw has off 0x3, must be 0",
            "E lddw-half #0 second half of lddw has opcode 0x7, must be 0",
            "E lddw-half #0 second half of lddw has registers 0x21, must be 0",
        ],
    ),
    (
        "lddw-src",
        ".bytes 18110000000000000000000000000000\nmov r0, 0\nexit",
        {},
        ["E lddw-src #0 lddw pseudo source 1"],
    ),
    (
        "lddw-base",
        "lddwd r0, 0\nlddwr r0, 0\nexit",
        {},
        [
            "E lddw-base #0 lddwd in a layout without header",
            "E lddw-base #2 lddwr in a layout without header",
        ],
    ),
    (
        "lddw-base",
        "lddwd r0, 0\nexit",
        {"layout": Layout.ELF},
        ["E lddw-base #0 lddwd in a layout without header"],
    ),
    (
        "lddw-base",
        ".bytes d8000000000000000000000001000000\nexit",
        HEADER,
        ["E lddw-base #0 lddwr with 1 in imm_high"],
    ),
    ("lddw-base", ".bytes d80000000000000000000000ffffffff\nexit", HEADER, []),
    (
        "jump-range",
        "ja +1\nexit",
        {},
        ["E jump-range #0 jump to #2 outside the program", "W unreachable #1 code never reached"],
    ),
    ("jump-range", "mov r0, 0\njeq r0, 0, -3\nexit", {}, ["E jump-range #1 jump to #-1 outside the program"]),
    ("jump-range", "mov r0, 0\nexit", {"entry": 2}, ["E jump-range #1 entry to #2 outside the program"]),
    ("jump-range", "mov r0, 0\nexit", {"entry": -1}, ["E jump-range #1 entry to #-1 outside the program"]),
    (
        "jump-half",
        LDDW_WITH_EXIT,
        {},
        ["E jump-half #0 jump into the second half of #1", "W unreachable #1 code never reached"],
    ),
    ("jump-half", "lddw r0, 1\nexit", {"entry": 1}, ["E jump-half #2 entry into the second half of #0"]),
    ("jump-self", "mov r0, 0\njeq r0, 1, -1\nexit", {}, ["E jump-self #1 jump to itself"]),
    ("jump-self", "mov r0, 0\nja32 -1", {}, ["E jump-self #1 jump to itself"]),
    ("call-range", "call local +1\nexit", {}, ["E call-range #0 local call to #2 outside the program"]),
    (
        "call-half",
        "call local +2\nexit\nlddw r0, 1\nexit",
        {},
        ["E call-half #0 local call into the second half of #2", "W unreachable #2 code never reached"],
    ),
    ("call-kind", ".bytes 8520000001000000\nmov r0, 0\nexit", {}, ["E call-kind #0 call of kind 2"]),
    ("call-unresolved", "call -1\nexit", {}, ["E call-unresolved #0 call -1, relocation not resolved"]),
    ("call-unresolved", "call local -1\nexit", {}, ["E call-unresolved #0 call -1, relocation not resolved"]),
    ("call-depth", CHAIN, {}, ["E call-depth #14 chain of 9 frames, limit 8"]),
    ("call-depth", CHAIN, {"entry": 2}, ["W unreachable #0 code never reached"]),
    (
        "helper-unknown",
        "call 0x10\nexit",
        {},
        ["E helper-unknown #0 helper 0x10 does not exist in profile ubpf"],
    ),
    (
        "helper-unknown",
        "call 0x100\nexit",
        {"allowed": [0x100]},
        ["E helper-unknown #0 helper 0x100 does not exist in profile ubpf"],
    ),
    (
        "helper-denied",
        "call 0x13\nmov r0, 0\nexit\ncall 0x01\nexit",
        {"allowed": [0x13]},
        [
            "E helper-denied #3 helper 0x01 bpf_printf is not in the allow-list",
            "W unreachable #3 code never reached",
        ],
    ),
    (
        "helper-denied",
        "call 0x13\nexit",
        {"allowed": [], "helpers": {0x13}},
        ["E helper-denied #0 helper 0x13 is not in the allow-list"],
    ),
    ("recursion", "f: mov r0, 1\njeq r1, 0, +1\ncall local f\nexit", {}, ["W recursion #2 recursive call"]),
    (
        "recursion",
        "call local f\nexit\nf: mov r0, 1\njeq r1, 0, +1\ncall local g\nexit\ng: call local f\nexit",
        {},
        ["W recursion #4 recursive call", "W recursion #6 recursive call"],
    ),
    (
        "loop-budget",
        "mov r0, 0\nx: add r0, 1\nja x",
        {},
        ["W loop-budget #2 loop without an exit, budget 2000000"],
    ),
    (
        "loop-budget",
        "mov r1, 10\nx: sub r1, 1\njne r1, 0, x\nmov r0, 0\nexit",
        {"budget": 19},
        ["W loop-budget #2 loop of at least 20 instructions, budget 19"],
    ),
    (
        "unreachable",
        "mov r0, 0\nja x\nmov r0, 1\nmov r0, 2\nx: exit\nmov r0, 3\nexit",
        {},
        ["W unreachable #2 code never reached", "W unreachable #5 code never reached"],
    ),
    (
        "cross-function",
        "call local f\nja mid\nf: mov r0, 0\nmid: mov r0, 1\nexit",
        {},
        ["W cross-function #1 jump into another function"],
    ),
    ("fall-into", "call local f\nf: mov r0, 0\nexit", {}, ["W fall-into #0 function runs into the next"]),
    (
        "fall-into",
        "mov r0, 0\nmov r0, 1\nexit",
        {"functions": (Function(0, "a"), Function(1, "b"))},
        ["W fall-into #0 function runs into the next"],
    ),
    ("uninit", "mov r0, r3\nexit", {}, ["W uninit #0 r3 read before written (reads 0)"]),
    ("uninit", "exit", {}, ["W uninit #0 r0 read before written (reads 0)"]),
    ("uninit", "lock cmpxchg [r1], r2\nexit", {}, ["W uninit #0 r0 read before written (reads 0)"]),
    (
        "uninit",
        "jeq r1, 0, x\nmov r3, 1\nx: mov r0, r3\nexit",
        {},
        ["W uninit #2 r3 read before written (reads 0)"],
    ),
    (
        "uninit",
        "mov r6, 1\ncall local f\nexit\nf: mov r0, r6\nadd r0, r7\nexit",
        {},
        ["W uninit #4 r7 read before written (reads 0)"],
    ),
    (
        "clobbered",
        "mov r3, 1\ncall 0x13\nmov r0, r3\nmov r1, 0\nadd r0, r1\nexit",
        {},
        ["W clobbered #2 r3 read after a call"],
    ),
    (
        "clobbered",
        "call local f\nmov r0, r1\nexit\nf: mov r1, 1\nexit",
        {},
        ["W clobbered #1 r1 read after a call"],
    ),
    (
        "stack-range",
        "ldxdw r0, [r10-520]\nldxdw r0, [r10-512]\nldxdw r0, [r10-7]\nldxdw r0, [r10-8]\nexit",
        {},
        [
            "W stack-range #0 constant access r10-520 outside the frame (faults at run time)",
            "W stack-range #2 constant access r10-7 outside the frame (faults at run time)",
        ],
    ),
    (
        "stack-range",
        "mov r1, r10\nadd r1, -40\nldxb r0, [r1+7]\nldxb r0, [r1+8]\nexit",
        {"frame_size": 32},
        ["W stack-range #2 constant access r10-33 outside the frame (faults at run time)"],
    ),
    (
        "stack-range",
        "call local f\nexit\nf: ldxb r0, [r10+511]\nldxb r0, [r10+512]\nexit",
        {},
        ["W stack-range #3 constant access r10+512 outside the frame (faults at run time)"],
    ),
    (
        "div-zero",
        "mov r0, 1\ndiv r0, 0\nmod32 r0, 0\nsdiv r0, 0\nexit",
        {},
        [f"W div-zero #{n} division by constant 0" for n in (1, 2, 3)],
    ),
    (
        "shift-range",
        "mov r0, 1\nlsh r0, 63\nlsh r0, 64\narsh32 r0, 32\nrsh r0, -1\nexit",
        {},
        [
            "W shift-range #2 shift count 64 of 64 bits",
            "W shift-range #3 shift count 32 of 32 bits",
            "W shift-range #4 shift count -1 of 64 bits",
        ],
    ),
    (
        "lddw-range",
        "lddwr r0, 3\nlddwr r0, 4\nlddwd r0, 11\nlddwd r0, 12\nexit",
        HEADER,
        [
            "W lddw-range #2 lddwr offset 0x4 outside .rodata of 4 bytes",
            "W lddw-range #6 lddwd offset 0xc outside .data of 12 bytes",
        ],
    ),
    (
        "lddw-range",
        "lddwd r0, 3\nlddwd r0, 4\nexit",
        {"layout": Layout.EXTENDED, "rodata": b"ABCD"},
        ["W lddw-range #2 lddwd offset 0x4 outside .rodata of 4 bytes"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [case[1:] for case in CASES],
    ids=[f"{case[0]}-{number}" for number, case in enumerate(CASES)],
)
def test_findings(text: str | bytes, options: dict[str, Any], expected: list[str]) -> None:
    assert found(judge(text, **options)) == expected


def test_every_rule_has_a_case() -> None:
    shown = {line.split()[1] for case in CASES for line in case[3]}
    assert shown == set(RULES)


# programs.md section 4, column FC code, once more.
FAULTS = {
    -5: "text-len text-empty text-max",
    -7: "no-exit",
    -1: "opcode opcode-legacy opcode-callx field end-width modifier atomic-op lddw-half lddw-src lddw-base",
    -6: "reg-dst reg-src reg-r10",
    -3: "jump-range jump-half jump-self",
    -4: "call-range call-half call-kind call-unresolved call-depth helper-unknown helper-denied",
}


def test_every_error_has_the_fault_code_of_the_originals() -> None:
    expected = {name: FaultCode(number) for number, names in FAULTS.items() for name in names.split()}
    assert {name: rule.fault for name, rule in RULES.items() if rule.severity is Severity.ERROR} == expected
    assert {rule.fault for rule in RULES.values() if rule.severity is Severity.WARNING} == {None}


def test_every_rule_says_what_is_expected_and_what_to_try() -> None:
    assert all(rule.expected and rule.hint for rule in RULES.values())


@each_row
def test_every_row_is_accepted(op: Op) -> None:
    report = verify(program_with(op), helpers=HELPERS)
    assert report.accepted, found(report)


@each_row
def test_every_row_has_its_registers_checked(op: Op) -> None:
    raw = bytearray(assemble(f"{op.mnemonic} {_operands(op)}"))
    raw[1] = 0xBB
    ids = {finding.id for finding in judge(bytes(raw)).findings}
    assert {"reg-dst", "reg-src"} <= ids


@each_row
def test_every_row_has_its_fields_checked(op: Op) -> None:
    """Fields that have to be 0 are refused one by one, the selector by whatever its rule is."""
    for name in op.form.zero:
        raw = bytearray(assemble(f"{op.mnemonic} {_operands(op)}"))
        at = {"dst": 1, "src": 1, "off": 3, "imm": 7}[name]
        raw[at] |= {"dst": 0x01, "src": 0x10, "off": 0x40, "imm": 0x40}[name]
        ids = {finding.id for finding in judge(bytes(raw)).findings}
        assert ids & {"field", "lddw-src", "modifier", "end-width", "atomic-op"}, name


def _operands(op: Op) -> str:
    values = {
        "dst": "r0",
        "src": "r0",
        "imm": "0",
        "imm64": "0",
        "target": "+0",
        "function": "+0",
        "helper": "1",
    }
    return ", ".join(values.get(word, "[r0+0]") for word in op.form.operands)


ACCEPTED_SILENTLY = {
    "callee sees the caller's registers": "mov r6, 1\ncall local f\nexit\nf: mov r0, r6\nexit",
    "r6 to r9 outlive calls": "mov r6, 1\ncall 0x13\nmov r0, r6\nexit",
    "void function": "call local f\nmov r0, 0\nexit\nf: exit",
    "result of a call": "call 0x13\nexit",
    "written on every path": "jeq r1, 0, x\nmov r3, 1\nja y\nx: mov r3, 2\ny: mov r0, r3\nexit",
    "entry behind a jump": "ja main\nf: mov r0, r1\nexit\nmain: mov r1, 1\ncall local f\nexit",
    "endless loop that sleeps": "x: call 0x61\nja x",
    "endless loop that sleeps in a function": "x: call local f\nja x\nf: call 0x61\nexit",
    "loop with unknown rounds": "mov r0, 0\nx: add r0, 1\njne r0, r2, x\nexit",
    "eight frames": CHAIN.replace("f0: call local f1\nexit\n", ""),
    "jump to instruction 0": "x: mov r0, 0\njeq r1, 1, x\nexit",
    "stack of the caller": "stdw [r10-8], 1\ncall local f\nexit\nf: ldxdw r0, [r10+504]\nexit",
    "frame pointer in an argument": "mov r2, r10\nadd r2, -4\nmov r1, 0\ncall 0x13\nldxw r0, [r10-4]\nexit",
    "unaligned jump over lddw": "mov r0, 0\njeq r1, 0, +2\nlddw r0, 7\nexit",
}


@pytest.mark.parametrize("text", ACCEPTED_SILENTLY.values(), ids=ACCEPTED_SILENTLY.keys())
def test_nothing_is_found(text: str) -> None:
    assert found(judge(text)) == []


def test_all_findings_are_reported_in_order() -> None:
    report = judge("mov r0, r9\n.bytes 070a010001000000\ncall 0x99\nja +40\n.bytes 1800000000000000")
    positions = [(finding.insn, finding.id) for finding in report.findings]
    assert positions == sorted(positions)
    assert positions == [
        (0, "uninit"), (1, "field"), (1, "reg-r10"), (2, "helper-unknown"),
        (3, "jump-range"), (4, "lddw-half"), (4, "no-exit"), (4, "unreachable"),
    ]  # fmt: skip


def test_second_halves_are_no_instructions() -> None:
    """What would be wrong in a slot is not found in the second half of lddw, but for what makes it one."""
    report = judge("lddw r0, 0x9500000000\nexit")
    assert found(report) == []
    assert (report.insns, report.slots) == (2, 3)


def test_a_message_and_its_json() -> None:
    report = judge(
        "mov r0, 0\nja +40\nexit", lines={0: "a.c:3", 2: "a.c:5"}, functions=(Function(0, "main"),)
    )
    assert report.findings[0].to_map() == {
        "id": "jump-range",
        "severity": "E",
        "insn": 1,
        "offset": 8,
        "message": "jump to #42 outside the program at insn #1 (offset 0x8)",
        "expected": "a target inside the text",
        "hint": "the bytes are damaged, or code was cut off",
        "source": "a.c:3",
    }
    assert "source" not in judge("ja +40").findings[0].to_map()


@pytest.mark.parametrize(
    ("lines", "functions", "source"),
    [
        ({}, (), None),
        ({2: "b.c:1"}, (), "b.c:1"),
        ({0: "a.c:1"}, (), "a.c:1"),
        ({0: "a.c:1"}, (Function(0, "a"), Function(1, "b")), None),
        ({0: "a.c:1", 1: "b.c:9"}, (Function(1, "b"), Function(0, "a")), "b.c:9"),
        ({3: "c.c:1"}, (), None),
    ],
    ids=["none", "own line", "line before", "line of another function", "unsorted", "line behind"],
)
def test_sources(lines: dict[int, str], functions: tuple[Function, ...], source: str | None) -> None:
    report = judge("mov r0, 0\nja x\nx: .bytes ff00000000000000\nexit", lines=lines, functions=functions)
    (finding,) = (finding for finding in report.findings if finding.id == "opcode")
    assert finding.source == source


def test_refusal_names_the_first_error_and_counts_the_others() -> None:
    report = judge("mov r0, r9\n.bytes ff00000000000000\ncall 0x10\nexit")
    with pytest.raises(VerifyError) as caught:
        require_accepted(report)
    error = caught.value
    assert error.detail == "unknown opcode 0xff at insn #1 (offset 0x8), +1 more"
    assert (error.code, error.where) == ("opcode", "insn #1 (offset 0x8)")
    assert error.hint.startswith("expected an opcode of RFC 9669; ")
    assert error.findings == [finding.to_map() for finding in report.findings]
    assert [finding["id"] for finding in error.findings] == ["uninit", "opcode", "helper-unknown"]


def test_a_single_error_is_not_counted() -> None:
    with pytest.raises(VerifyError) as caught:
        require_accepted(judge(b""))
    assert caught.value.detail == "no instructions at insn #0 (offset 0x0)"


def test_warnings_refuse_nothing() -> None:
    report = judge("exit")
    require_accepted(report)
    assert report.accepted
    assert (report.errors, len(report.findings)) == ((), 1)


# Profile vectors of programs.md section 7, column `ubpf`

X = "9500000000000000"
VECTORS: list[tuple[str, set[str]]] = [
    ("b7000000ffffffff" + X, set()),
    ("b700000005000000 8700000000000000" + X, set()),
    ("b700000005000000 8f00000000000000" + X, {"opcode"}),
    ("180000000000ffff 0000000000000000" + X, set()),
    ("b400000001000000" + X, set()),
    ("1600000000000000" + X, set()),
    ("dc00000010000000" + X, set()),
    ("b70a000000000000 b700000007000000" + X, {"reg-r10"}),
    ("b700000001000000 0500feff00000000" + X, set()),
    ("b700000000000000 b7010000c9000000 0700000001000000 2d01feff00000000" + X, set()),
    ("3700000000000000" + X, set()),
    ("b700000008000000 3f10000000000000" + X, set()),
    ("9500000000", {"text-len"}),
    ("b700000001000000", {"no-exit"}),
    ("8500000010000000" + X, {"helper-unknown"}),
    ("b70b000001000000" + X, {"reg-dst"}),
    ("0500010000000000" + X, {"jump-range"}),
    ("0500010000000000 1800000001000000 0000000002000000" + X, {"jump-half"}),
    ("7b0af8fd00000000" + X, set()),
    ("7b0a000000000000" + X, set()),
]


@pytest.mark.parametrize(("text", "errors"), VECTORS, ids=[text for text, _ in VECTORS])
def test_profile_vectors(text: str, errors: set[str]) -> None:
    assert {finding.id for finding in judge(bytes.fromhex(text), helpers={}).errors} == errors


@vectors(refused=False)
def test_conformance_programs_are_accepted(vector: Vector) -> None:
    assert judge(vector.program, helpers=vector.helpers).errors == ()


@vectors(refused=True)
def test_conformance_refusals_are_of_reserved_fields(vector: Vector) -> None:
    ids = {finding.id for finding in judge(vector.program, helpers={0}).errors}
    assert ids
    assert ids <= {"field", "modifier"}
