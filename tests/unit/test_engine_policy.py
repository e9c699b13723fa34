"""The table that `auto` goes by, rule by rule, and what a runner tells it."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic, sleep

import pytest

from device.engines import AUTO, ENGINES, CompilingEngine, engines_of_device, policy
from device.engines.policy import FIRST_RUNS, HELPER_BOUND, HOT, LARGEST, SHORT, Facts, choose
from device.engines.ran import Ran
from device.engines.runner import Runner
from device.engines.wish import Wish
from device.errors import Conflict, MalformedRequest, Unprocessable
from device.jit.errors import EncodingError
from device.jit.translation import NativeTranslation
from device.vm.asm import assemble
from device.vm.memory import CONTEXT_BASE
from device.vm.program import Layout, Program, Rules, Run, build_memory
from device.vm.switch import SwitchEngine

HOT_FACTS = Facts(slots=100, runs=20, instructions=20 * HOT, calls=10, watched=HOT)

CASES = {
    "hot": (HOT_FACTS, "hot"),
    "just hot": (replace(HOT_FACTS, runs=FIRST_RUNS, instructions=HOT), "hot"),
    "no run yet": (Facts(slots=100), "first runs"),
    "one run fewer": (replace(HOT_FACTS, runs=FIRST_RUNS - 1), "first runs"),
    "one instruction fewer": (replace(HOT_FACTS, instructions=HOT - 1), "not hot"),
    "runs that are long enough": (replace(HOT_FACTS, runs=1000, instructions=1000 * SHORT), "hot"),
    "runs that are not": (replace(HOT_FACTS, runs=1000, instructions=1000 * SHORT - 1), "short runs"),
    "few calls": (replace(HOT_FACTS, calls=1000, watched=1000 * HELPER_BOUND), "hot"),
    "one call more": (replace(HOT_FACTS, calls=1001, watched=1000 * HELPER_BOUND), "helper-bound"),
    "no calls": (replace(HOT_FACTS, calls=0, watched=0), "hot"),
    "large": (replace(HOT_FACTS, slots=LARGEST), "hot"),
    "too large": (replace(HOT_FACTS, slots=LARGEST + 1), "too large"),
    "asked for": (replace(HOT_FACTS, slots=LARGEST + 1, wanted=True, runs=0), "asked for"),
    "quarantined": (replace(HOT_FACTS, quarantined=True, wanted=True), "quarantined"),
    "not allowed": (replace(HOT_FACTS, may_compile=False, wanted=True), "may not be compiled"),
}


@pytest.mark.parametrize(("facts", "reason"), CASES.values(), ids=CASES)
def test_which_rule_decides(facts: Facts, reason: str) -> None:
    rule = choose(facts)
    assert rule.reason == reason
    assert rule.engine == ("jit" if reason in ("hot", "asked for") else "interpreter")


def test_every_rule_is_in_the_cases() -> None:
    assert {rule.reason for rule in policy.RULES} == {reason for _, reason in CASES.values()}


# What a runner does


WORK = "mov r0, 0\nmov r6, 40000\nagain: add r0, r6\nadd r6, -1\njne r6, 0, again\nexit"
SUM = "ldxb r0, [r1]\nldxb r3, [r1+1]\nadd r0, r3\nexit"


def program(source: str) -> Program:
    return Program(assemble(source), Layout.TEXT, bytes(32))


class Bench:
    """A runner with engines of its own."""

    def __init__(self, source: str, *, machines: int = 2, may_compile: bool = True) -> None:
        self.compiler = CompilingEngine(machines)
        self.program = program(source)
        self.runner = Runner(self.program, {**ENGINES, "jit": self.compiler}, may_compile=may_compile)
        self.began = list[str]()

    def run(self, engine: str = AUTO, context: bytes = b"", **fields: object) -> Ran:
        wishes = {name: bool(fields.pop(name, False)) for name in ("recompile", "shadow", "cycles")}
        memory = build_memory(self.program, self.program.fresh_data(), bytearray(context))
        run = Run(memory, r1=CONTEXT_BASE if context else 0, r2=len(context), **fields)  # type: ignore[arg-type]  # of tests
        return self.runner.once(run, Wish(engine, **wishes), None, self.began.append)

    def until_compiled(self) -> Ran:
        end = monotonic() + 30
        while (ran := self.run()).engine != "jit":
            assert monotonic() < end
            sleep(0.005)
        return ran


def test_what_is_hot_is_compiled_beside_its_runs() -> None:
    bench = Bench(WORK)
    ran = bench.until_compiled()
    assert ran.outcome.r0 == 40_000 * 40_001 // 2
    assert (ran.compile_us, bench.runner.code.compiles) == (0, 1), "not in the run that was hot"
    assert bench.runner.code.compile_us > 0
    assert bench.began[-1] == "jit"
    assert set(bench.began[:-1]) == {"interpreter"}
    assert bench.runner.runs_by["interpreter"] == len(bench.began) - 1 >= FIRST_RUNS


@pytest.mark.parametrize(
    "fields",
    [{"rules": Rules(branch_limit=10**9)}, {"may_compile": False}],
    ids=["rules of a profile", "an update that does not allow it"],
)
def test_what_may_not_be_compiled_is_not(fields: dict[str, object]) -> None:
    bench = Bench(WORK, may_compile=bool(fields.pop("may_compile", True)))
    for _ in range(6):
        assert bench.run(AUTO, b"", **fields).engine == "interpreter"
    assert bench.runner.figures() is None


def test_memory_of_another_shape_is_compiled_before_it_runs_compiled() -> None:
    bench = Bench("mov r0, 0\nmov r6, 40000\nagain: add r0, r2\nadd r6, -1\njne r6, 0, again\nexit")
    bench.until_compiled()
    ran = bench.run(context=b"abc")
    assert (ran.engine, ran.outcome.r0) == ("interpreter", 120_000)
    end = monotonic() + 30
    while bench.run(context=b"abc").engine != "jit":
        assert monotonic() < end
        sleep(0.005)


def test_what_cannot_be_compiled_is_said_to_who_insists(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_long(*_: object) -> None:
        raise EncodingError("the branch is too long")

    monkeypatch.setattr(NativeTranslation, "make", too_long)
    bench = Bench(WORK)
    with pytest.raises(Unprocessable, match="too long") as caught:
        bench.run("jit")
    assert caught.value.code == "not-compiled"
    for _ in range(8):
        assert bench.run().engine == "interpreter"
    assert bench.compiler.native.machines.claim() is not None, "nothing is kept of what failed"


def test_one_program_in_two_slots_with_stacks_of_two_sizes() -> None:
    compiler = CompilingEngine(2)
    linked = program("mov r0, 5\nstxdw [r10-40], r0\nldxdw r0, [r10-40]\nexit")
    runners = {size: Runner(linked, {**ENGINES, "jit": compiler}) for size in (32, 512)}
    for _ in range(2):
        for size, runner in runners.items():
            run = Run(build_memory(linked, bytearray(), frame_size=size))
            outcome = runner.once(run, Wish("jit")).outcome
            assert outcome == SwitchEngine().run(
                linked, Run(build_memory(linked, bytearray(), frame_size=size))
            )
            assert (outcome.fault is None) == (size == 512)
    assert compiler.native.figures(linked).units == 2


def test_it_is_compiled_for_memory_that_is_given_when_it_never_ran() -> None:
    bench = Bench("mov r0, 1\nexit")
    bench.runner.compile(build_memory(bench.program, bytearray(), frame_size=64))
    assert bench.run("jit").compile_us > 0, "its frames are larger"
    bench.runner.compile(build_memory(bench.program, bytearray(), frame_size=64))
    assert bench.run("jit").compile_us == 0, "compiled for the run that was last"


@pytest.mark.parametrize("wish", ["recompile", "shadow", "cycles"])
def test_interpreters_have_no_code(wish: str) -> None:
    for engine in ("switch", "interpreter"):
        with pytest.raises(MalformedRequest):
            Wish(engine, **{wish: True}).require_sense()
    for engine in ("auto", "jit"):
        Wish(engine, **{wish: True}).require_sense()


def test_a_quarantine_is_for_who_asks_for_code_and_ends_with_it() -> None:
    bench = Bench(SUM)
    bench.run("jit", b"\1\2")
    bench.runner.code.quarantine("r0 was wrong")
    figures = bench.runner.figures()
    assert figures is not None
    assert (figures["quarantined"], figures["size"]) == (True, 0)
    for engine, wish in (
        ("jit", {}),
        (AUTO, {"shadow": True}),
        (AUTO, {"recompile": True}),
        ("jit", {"cycles": True}),
    ):
        with pytest.raises(Conflict, match="r0 was wrong"):
            bench.run(engine, b"\1\2", **wish)
    assert bench.run(context=b"\1\2").engine == "interpreter"
    bench.runner.code.drop()
    assert bench.run("jit", b"\1\2").outcome.r0 == 3


def test_a_device_has_one_machine_more_than_workers() -> None:
    engines = [engines_of_device(3), engines_of_device(3)]
    compilers = [found["jit"] for found in engines]
    assert compilers[0] is not compilers[1]
    for compiler in compilers:
        assert isinstance(compiler, CompilingEngine)
        assert compiler.native.machines.limit == 4
    assert engines[0]["interpreter"] is engines[1]["interpreter"]
