"""Every kind of fault, from the engine to what people read: record, advice, log line, client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from client.cli import cli
from client.faults import fault_lines, program_fault
from device.api import ExecRequest, JobRequest
from device.engines import ENGINES
from device.vm.advice import ADVICE, advice, describe, hint
from device.vm.asm import assemble
from device.vm.faults import Fault, FaultCode
from device.vm.helpers import gate, profile_helpers
from device.vm.memory import CONTEXT_BASE
from device.vm.profiles import FEMTO, UBPF, Profile
from device.vm.program import Control, Function, Layout, Program, Run, build_memory
from device.vm.writer import strip_object
from tests.device_bench import eventually
from tests.unit.execution_bench import host
from tests.unit.helper_bench import Bench

OBJECTS = Path(__file__).parents[2] / "examples" / "objects"
EXIT = "\nmov r0, 0\nexit"


@dataclass(frozen=True)
class Case:
    """A program that ends with a fault; where, and what its detail says."""

    code: FaultCode
    text: str | bytes
    pc: int
    detail: str
    profile: Profile = UBPF
    allowed: tuple[int, ...] | None = None
    budget: int = 10_000
    killed: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def program(self) -> Program:
        text = assemble(self.text) if isinstance(self.text, str) else self.text
        return Program(text, **{"layout": Layout.TEXT, "digest": b"", **self.fields})


RECURSION = "f: call local f\nexit"
CASES: dict[str, Case] = {
    "unknown opcode": Case(FaultCode.ILLEGAL_INSTRUCTION, "mov r0, 0\n.bytes ff00000000000000", 1, "0xff"),
    "null pointer": Case(
        FaultCode.ILLEGAL_MEM, "mov r1, 4\nldxw r0, [r1]\nexit", 1, "load of 4 bytes at 0x4"
    ),
    "below the frame": Case(
        FaultCode.ILLEGAL_MEM, "stxdw [r10-520], r1" + EXIT, 0, "8 below the stack frame"
    ),
    "jump outside": Case(FaultCode.ILLEGAL_JUMP, "mov r0, 0\nja +9\nexit", 1, "jump to #11"),
    "unknown helper": Case(FaultCode.ILLEGAL_CALL, "call 0x77" + EXIT, 0, "helper 0x77 does not exist"),
    "call outside": Case(FaultCode.ILLEGAL_CALL, "call local +9" + EXIT, 0, "local call to #10"),
    "half a slot": Case(FaultCode.ILLEGAL_LEN, bytes(9), 0, "text length 9"),
    "no text": Case(FaultCode.ILLEGAL_LEN, b"", 0, "no instructions"),
    "register 11": Case(FaultCode.ILLEGAL_REGISTER, ".bytes b70b000000000000" + EXIT, 0, "r11"),
    "write to r10": Case(FaultCode.ILLEGAL_REGISTER, "mov r10, 0" + EXIT, 0, "write to read-only r10"),
    "past the end": Case(FaultCode.NO_RETURN, "mov r0, 0", 1, "runs past its end"),
    "branches": Case(
        FaultCode.OUT_OF_BRANCHES, "mov r0, 0\nx: add r0, 1\nja x", 1, "branch budget", profile=FEMTO
    ),
    "division": Case(FaultCode.ILLEGAL_DIV, "mov r0, 7\nmod r0, r3\nexit", 1, "by zero", profile=FEMTO),
    "budget": Case(FaultCode.OUT_OF_INSTRUCTIONS, "x: add r0, 1\nja x", 0, "budget of 10000 instructions"),
    "ninth frame": Case(FaultCode.CALL_DEPTH, RECURSION, 0, "frame 9, limit 8"),
    "denied": Case(FaultCode.HELPER_DENIED, "call 0x20" + EXIT, 0, "bpf_now_ms is not in", allowed=(1,)),
    "operator": Case(FaultCode.KILLED, "x: add r0, 1\nja x", 0, "operator", killed="operator"),
    "deadline": Case(FaultCode.KILLED, "x: add r0, 1\nja x", 0, "deadline", killed="deadline"),
}


def fault_of(case: Case, engine: str) -> Fault:
    bench, program = Bench(), case.program
    memory = build_memory(program, program.fresh_data())
    control = Control()
    if case.killed:
        control.kill(case.killed)
    run = Run(
        memory,
        gate(memory, bench.services, profile_helpers(case.profile), case.allowed),
        budget=case.budget,
        control=control,
        rules=case.profile.rules,
    )
    outcome = ENGINES[engine].run(program, run)
    assert outcome.fault is not None
    assert outcome.r0 is None
    return outcome.fault


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_fault_is_named_and_placed(case: Case, engine: str) -> None:
    fault = fault_of(case, engine)
    assert (fault.code, fault.pc) == (case.code, case.pc)
    assert case.detail in fault.detail
    assert str(fault) == f"{case.code.name}: {fault.detail} at insn #{case.pc} (offset 0x{8 * case.pc:x})"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_function_and_line_are_filled_in(case: Case, engine: str) -> None:
    places = {"functions": (Function(0, "main"),), "lines": {0: "a.c:7"}}
    fault = fault_of(Case(**{**vars(case), "fields": places}), engine)
    assert (fault.function, fault.source) == ("main", "a.c:7")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_client_shows_what_it_means_and_what_to_try(case: Case) -> None:
    fault = fault_of(case, "switch").to_map()
    shown = dict(fault_lines(fault))
    assert shown["fault"] == f"{case.code.name} ({int(case.code)})"
    assert shown["meaning"] == ADVICE[case.code].meaning
    assert shown["try"] == hint(fault) != ""
    error = program_fault(fault, {"r0": None})
    assert (error.code, error.hint) == (case.code.name, hint(fault))
    assert f"insn #{case.pc}" in error.where


def test_every_code_has_advice() -> None:
    assert set(ADVICE) == set(FaultCode)
    assert all(row.meaning and row.hint for row in ADVICE.values())


def test_kinds_without_a_case_are_those_no_run_ends_with() -> None:
    """.data and .bss are checked when an image is loaded, and refused as `load-ram`."""
    assert set(FaultCode) - {case.code for case in CASES.values()} == {FaultCode.OK, FaultCode.NO_MEMORY}


MEM = {"code": "ILLEGAL_MEM", "access": "store", "size": 8}
READ_ONLY = {"detail": "store of 8 bytes (.rodata is read-only)"}
HINTS: list[tuple[str, dict[str, Any], str]] = [
    ("null", {**MEM, "address": 8, "region": ".rodata", "distance": -9}, "null pointer"),
    ("handle", {**MEM, "address": 0x40000010, "region": "the context", "distance": 5}, "handle"),
    ("code", {**MEM, "address": 0x08000000, "region": ".rodata", "distance": -5}, "code cannot be read"),
    ("literal", {**MEM, "address": 0x10000000, "region": ".rodata", **READ_ONLY}, "copy them"),
    ("read-only", {**MEM, "address": CONTEXT_BASE, "region": "the context", **READ_ONLY}, "to a copy"),
    ("stack", {**MEM, "address": 0x20100DF8, "region": "the stack frame", "distance": -8}, "512 bytes"),
    ("at r10", {**MEM, "address": 0x20101000, "region": "the stack frame", "distance": 0}, "past the frame"),
    ("context", {**MEM, "address": 0x20200008, "region": "the context", "distance": 0}, "give more bytes"),
    ("data", {**MEM, "address": 0x20000008, "region": ".data", "detail": "1 beyond the end"}, "an index"),
    ("no NUL", {**MEM, "address": 0x20000008, "region": ".data", "detail": "no NUL in these"}, "with a NUL"),
    ("far", {**MEM, "address": 0x30000000, "region": ".data", "distance": 0x999999}, "check the pointer"),
    ("deadline", {"code": "KILLED", "detail": "KILLED: deadline"}, "--timeout"),
    ("replaced", {"code": "KILLED", "detail": "KILLED: replaced"}, "a deploy replaced"),
    ("operator", {"code": "KILLED", "detail": "KILLED: operator"}, "somebody stopped it"),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "part"), [row[1:] for row in HINTS], ids=[row[0] for row in HINTS])
def test_hints_fit_the_case(fault: dict[str, Any], part: str) -> None:
    assert part in hint(fault)


@pytest.mark.parametrize(
    "fault", [{}, {"code": "WARPED"}, {"code": 5}, {**MEM, "address": "x", "distance": "y", "region": 7}]
)
def test_a_newer_or_broken_device_does_no_harm(fault: Mapping[str, Any]) -> None:
    assert isinstance(hint(fault), str)
    assert isinstance(describe(fault), str)
    assert advice({"code": "WARPED"}) is None
    fault_lines(fault)


@pytest.mark.parametrize(
    ("distance", "shown"),
    [
        (-8, "8 bytes below .data"), (0, "just past the end of .data"),
        (3, "3 bytes past the end of .data"), (None, ".data"),
    ],
)  # fmt: skip
def test_the_nearest_region_and_the_distance(distance: int | None, shown: str) -> None:
    assert dict(fault_lines({**MEM, "region": ".data", "distance": distance}))["region"] == shown


# End to end: on a device, and on this machine.

WILD = assemble("lddw r1, 0x1000\nldxdw r0, [r1]\nexit")
LOOPS = assemble("x: mov r0, 0\nja x")


async def test_the_devices_log_says_what_where_and_what_to_try() -> None:
    async with host() as h:
        await h.install(0, WILD)
        await h.run()
        (line,) = h.lines()
        assert line == (
            "ILLEGAL_MEM: load of 8 bytes at 0x1000 (537918976 below the stack frame) at insn #2"
            " (offset 0x10); try: this is a null pointer: no context was given (--context), or a value"
            " was not set"
        )


async def test_an_image_that_kept_its_lines_has_them_in_faults_and_in_the_log() -> None:
    built = (OBJECTS / "wild_pointer.o").read_bytes()
    async with host(slot_size=8192) as h:
        await h.install(0, built)
        await h.install(1, strip_object(built))
        kept, stripped = await h.run(0), await h.run(1)
        assert kept.fault is not None
        assert stripped.fault is not None
        assert (kept.fault["function"], kept.fault["source"]) == ("wild_pointer", "wild_pointer.c:16")
        assert "source" not in stripped.fault
        assert any("(in wild_pointer(), at wild_pointer.c:16)" in line for line in h.lines())


async def test_repeated_faults_of_one_request_are_one_line() -> None:
    async with host() as h:
        await h.install(0, LOOPS)
        await h.executor.execute(0, ExecRequest(repeat=50, budget=10), "me")
        assert len([line for line in h.lines() if "OUT_OF_INSTRUCTIONS" in line]) == 1


def test_run_on_this_machine_shows_function_line_address_region_and_hint() -> None:
    result = CliRunner().invoke(cli, ["run", str(OBJECTS / "wild_pointer.o")])
    assert result.exit_code == 1
    for shown in (
        "fault     ILLEGAL_MEM (-2)", "function  wild_pointer", "source    wild_pointer.c:16",
        "access    load of 4 bytes at 0x00000004", "region    268435452 bytes below .rodata",
        "try       this is a null pointer",
    ):  # fmt: skip
        assert shown in result.stdout, shown


# What a verified program can still come to: text, options of `client run`, fields of a run request.
ENDINGS: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "ILLEGAL_MEM": ("ldxw r0, [r3]\nexit", (), {}),
    "OUT_OF_BRANCHES": ("x: mov r0, 0\nja x", ("--profile", "femto"), {}),
    "ILLEGAL_DIV": ("mov r0, 1\ndiv r0, r3\nexit", ("--profile", "sming"), {}),
    "OUT_OF_INSTRUCTIONS": ("x: mov r0, 0\nja x", ("--budget", "100"), {"budget": 100}),
    "CALL_DEPTH": ("f: mov r0, 0\ncall local f\nexit", (), {}),
    "HELPER_DENIED": ("call 0x20\nexit", ("--helpers", "0x01"), {}),
    "KILLED": ("x: mov r0, 0\nja x", ("--timeout", "0.05", "--budget", "4294967295"), {}),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("code", "row"), ENDINGS.items(), ids=list(ENDINGS))
def test_client_run_to_the_end(code: str, row: Any, engine: str, tmp_path: Path) -> None:
    text, options, _ = row
    path = tmp_path / "prog.s"
    path.write_text(text)
    result = CliRunner().invoke(cli, ["run", str(path), "--engine", engine, *options])
    assert (result.exit_code, "Traceback" in result.output) == (1, False)
    for shown in (f"fault     {code} (", "meaning   ", "at insn #", "function  prog", "try       "):
        assert shown in result.stdout, shown


@pytest.mark.parametrize("code", ["ILLEGAL_MEM", "OUT_OF_INSTRUCTIONS", "CALL_DEPTH"])
async def test_a_device_to_the_end(code: str) -> None:
    text, _, fields = ENDINGS[code]
    async with host() as h:
        await h.install(0, assemble(text))
        answer = await h.run(**fields)
        assert answer.fault is not None
        assert (answer.fault["code"], answer.fault["number"]) == (code, int(FaultCode[code]))
        assert h.executor.slot_info(0).last_fault == answer.fault
        (line,) = h.lines()
        assert line == describe(answer.fault)
        assert hint(answer.fault) in line


async def test_a_job_says_in_the_log_how_it_faulted() -> None:
    async with host() as h:
        await h.install(0, WILD)
        number = (await h.executor.start_job(JobRequest(0, ExecRequest()), "me")).number
        await eventually(lambda: h.lines(f"job{number}"))
        (line,) = h.lines(f"job{number}")
        assert line.startswith("ILLEGAL_MEM: load of 8 bytes at 0x1000")
        assert "; try: this is a null pointer" in line
