"""The example programs: each compiled for every CPU level gives what `expected.toml` says, on every engine.

The committed objects are run as they are, so this needs no compiler; where one is at hand the objects are
rebuilt and compared, and the other levels are built and run as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection

from client.build import CPU_LEVELS, compile_source, compilers, producer
from client.examples import Case, Example, ExpectedRun, folder, load
from device.engines import ENGINES
from device.errors import LoadError
from device.peripherals import make_board
from device.storage.stores import MemoryStore
from device.vm import debuginfo, helpers, loader, verifier, writer
from device.vm.isa import Form, Instruction, Sem, walk
from device.vm.memory import CONTEXT_BASE
from device.vm.profiles import UBPF
from device.vm.program import BUDGET_DEFAULT, Engine, Layout, Outcome, Program, Run, build_memory

EXAMPLES: Final = load()
AVAILABLE: Final = helpers.profile_helpers(UBPF)
COMMITTED_LEVEL: Final = "v3"

needs_compiler = pytest.mark.skipif(
    not compilers(), reason="no clang and no ziglang: the examples were NOT rebuilt, other levels NOT tested"
)
each_example = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
each_engine = pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)


@dataclass
class Output:
    content: bytes = b""

    def write(self, text: bytes) -> None:
        self.content += text


@dataclass
class Clock:
    """A clock that every look at it moves on."""

    now: int = 12_345_678

    def now_us(self) -> int:
        self.now += 250
        return self.now

    def pass_by(self, us: int) -> None:
        self.now += us


@dataclass
class Slot:
    """What a slot keeps from run to run."""

    program: Program
    local: MemoryStore = field(default_factory=MemoryStore)
    shared: MemoryStore = field(default_factory=MemoryStore)
    clock: Clock = field(default_factory=Clock)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.data = self.program.fresh_data()
        self.board = make_board("native", lambda: self.clock.now)

    def run(self, expected: ExpectedRun, engine: Engine) -> tuple[Outcome, str, bytes]:
        """Run once; how it ended, what it printed, and the context afterwards."""
        context = bytearray(expected.context or b"")
        extra = [(bytearray(expected.region), False)] if expected.region else []
        memory = build_memory(self.program, self.data, context, extra=extra)
        output = Output()
        services = helpers.Services(
            local=self.local,
            shared=self.shared,
            clock=self.clock,
            console=output,
            warn=self.warnings.append,
            board=self.board,
            pause=self.clock.pass_by,
        )
        run = Run(
            memory=memory,
            call_helper=helpers.gate(memory, services, AVAILABLE, None),
            budget=expected.budget or BUDGET_DEFAULT,
            r1=CONTEXT_BASE if context else 0,
            r2=len(context),
        )
        outcome = engine.run(self.program, run)
        return outcome, output.content.decode(), bytes(context)


def check_case(program: Program, case: Case, engine: Engine) -> list[Outcome]:
    slot = Slot(program)
    slot.shared.update(dict(case.global_store))
    slot.local.update(dict(case.local_store))
    outcomes = []
    for expected in case.runs:
        outcome, output, context = slot.run(expected, engine)
        fault = outcome.fault.name if outcome.fault else None
        assert (outcome.r0_signed, fault) == (expected.r0, expected.fault), outcome.fault
        if expected.output is not None:
            assert output == expected.output
        if expected.context_after is not None:
            assert context == expected.context_after
        if expected.global_after is not None:
            assert slot.shared.entries() == expected.global_after
        if expected.local_after is not None:
            assert slot.local.entries() == expected.local_after
        outcomes.append(outcome)
    assert slot.warnings == []
    return outcomes


def check(example: Example, image: bytes, engine: Engine) -> None:
    program = loader.load(image)
    report = verifier.verify(program, helpers=AVAILABLE)
    assert report.errors == (), example.name
    for case in example.cases:
        check_case(program, case, engine)


def instructions(image: bytes) -> Iterator[Instruction]:
    for _, instruction in walk(loader.load(image).text):
        assert instruction is not None
        yield instruction


class TestCommitted:
    """The objects in the repository, which the demo and the containers run."""

    @each_engine
    @each_example
    def test_gives_what_is_expected(self, example: Example, engine: Engine) -> None:
        check(example, writer.strip_object(example.object.read_bytes()), engine)

    @each_engine
    @pytest.mark.parametrize("example", [e for e in EXAMPLES.values() if e.text], ids=lambda e: e.name)
    def test_the_same_as_text_only(self, example: Example, engine: Engine) -> None:
        image = writer.write_text(example.object.read_bytes())
        assert loader.detect_layout(image) is Layout.TEXT
        check(example, image, engine)

    @pytest.mark.parametrize("example", [e for e in EXAMPLES.values() if not e.text], ids=lambda e: e.name)
    def test_what_has_sections_is_no_text(self, example: Example) -> None:
        with pytest.raises(LoadError) as caught:
            writer.write_text(example.object.read_bytes())
        assert caught.value.code == "load-reloc"

    @each_example
    def test_calls_the_helpers_that_it_says(self, example: Example) -> None:
        called = {i.imm for i in instructions(example.object.read_bytes()) if i.op.sem is Sem.CALL}
        assert called == example.helpers

    @each_example
    def test_fits_a_slot(self, example: Example) -> None:
        assert len(writer.strip_object(example.object.read_bytes())) <= 4096

    def test_all_helpers_of_the_profile_are_shown(self) -> None:
        assert frozenset().union(*(example.helpers for example in EXAMPLES.values())) == set(
            helpers.profile_helpers(UBPF)
        )

    def test_all_by_the_same_compiler(self) -> None:
        assert len({producer(example.object.read_bytes()) for example in EXAMPLES.values()}) == 1

    @each_example
    def test_no_path_of_any_machine_is_inside(self, example: Example) -> None:
        content = example.object.read_bytes()
        for path in (str(folder()), "site-packages", "/home/", "/tmp/", "/usr/", "/root/"):
            assert path.encode() not in content


class TestBooks:
    """Sources, objects and expectations say the same."""

    def test_nothing_is_missing_and_nothing_is_left_over(self) -> None:
        home = folder()
        sources = {path.stem: path for path in home.glob("*/*.c")}
        assert sources == {example.name: example.source for example in EXAMPLES.values()}
        assert {path.stem for path in (home / "objects").iterdir()} == set(EXAMPLES)

    @each_example
    def test_line_1_of_the_source_says_the_result(self, example: Example) -> None:
        runs = [run for case in example.cases for run in case.runs]
        said = ", ".join(run.fault or str(run.r0) for run in runs)
        assert example.source.read_text(encoding="utf-8").splitlines()[0] == f"// expected: {said}"

    @each_example
    def test_every_run_has_an_end(self, example: Example) -> None:
        for case in example.cases:
            assert case.runs
            for run in case.runs:
                assert (run.r0 is None) != (run.fault is None)


@needs_compiler
class TestRebuilt:
    @each_example
    def test_is_what_is_committed(self, example: Example) -> None:
        built = compile_source(example.source)
        committed = example.object.read_bytes()
        assert built.warnings == ""
        if producer(built.object) == producer(committed):
            assert built.object == committed, "build the objects again: examples/README.md"
            return
        check(example, writer.strip_object(built.object), ENGINES["switch"])
        pytest.skip(
            f"{producer(committed)} built the objects, here is {built.compiler}: bytes were NOT compared"
        )

    @each_engine
    @pytest.mark.parametrize("cpu", [level for level in CPU_LEVELS if level != COMMITTED_LEVEL])
    @each_example
    def test_every_level_gives_the_same(self, example: Example, cpu: str, engine: Engine) -> None:
        built = compile_source(example.source, cpu=cpu)
        assert built.warnings == ""
        check(example, writer.strip_object(built.object), engine)


# What a program is about must be in its object, not computed away by the compiler.

EQUAL = {Sem.JEQ, Sem.JNE}
ORDERED = {Sem.JGT, Sem.JGE, Sem.JLT, Sem.JLE}
SIGNED = {Sem.JSGT, Sem.JSGE, Sem.JSLT, Sem.JSLE}
IMM, REG = Form.ALU_IMM, Form.ALU_REG
JUMP_IMM, JUMP_REG = Form.BRANCH_IMM, Form.BRANCH_REG

OPERATIONS: Final[dict[str, tuple[set[Sem], Form, int]]] = {
    "add": ({Sem.ADD}, IMM, 1),
    "add_three": ({Sem.ADD}, REG, 2),
    "subtract": ({Sem.ADD, Sem.SUB}, IMM, 1),  # - 21 is + -21
    "subtract_three": ({Sem.ADD, Sem.SUB}, REG, 2),
    "multiply_two": ({Sem.MUL}, IMM, 1),
    "multiply_three": ({Sem.MUL}, REG, 2),
    "divide_imm": ({Sem.DIV}, IMM, 1),
    "divide_reg": ({Sem.DIV}, REG, 1),
    "modulo_imm": ({Sem.MOD}, IMM, 1),
    "modulo_reg": ({Sem.MOD}, REG, 1),
    "and": ({Sem.AND}, IMM, 1),
    "and_three": ({Sem.AND}, REG, 2),
    "or": ({Sem.OR}, IMM, 1),
    "or_reg": ({Sem.OR}, REG, 1),
    "xor": ({Sem.XOR}, IMM, 1),
    "xor_reg": ({Sem.XOR}, REG, 1),
    "shift_left_2": ({Sem.LSH}, IMM, 1),
    "shift_left_3": ({Sem.LSH}, REG, 1),
    "shift_right_2": ({Sem.RSH}, IMM, 1),
    "shift_right_3": ({Sem.RSH}, REG, 1),
    "arithmetic_shift_s8": ({Sem.ARSH}, IMM, 1),
    "arithmetic_shift_s16": ({Sem.ARSH}, IMM, 1),
    "jump_equal": (EQUAL, JUMP_IMM, 1),
    "jump_equal_reg": (EQUAL, JUMP_REG, 1),
    "jump_not_equal": (EQUAL, JUMP_IMM, 1),
    "jump_not_equal_reg": (EQUAL, JUMP_REG, 1),
    "jump_greater_equal": (ORDERED, JUMP_IMM, 1),
    "jump_less": (ORDERED, JUMP_IMM, 1),
    "jump_greater_not_taken": (ORDERED, JUMP_IMM, 1),
    "jump_less_not_taken": (ORDERED, JUMP_IMM, 1),
    "jump_signed_greater_equal": (SIGNED, JUMP_IMM, 1),
    "jump_signed_less_equal": (SIGNED, JUMP_IMM, 1),
    "jump_signed_less": (SIGNED, JUMP_IMM, 1),
    "jump_signed_greater": (SIGNED, JUMP_IMM, 1),
}
WIDTHS: Final = {"load_store_u8": 8, "load_store_u16": 16, "load_store_u32": 32}
LOOPS: Final = {
    "looping": 100_000,
    "data_relocations_looping": 100_000,
    "looping_data_accesses": 100_000,
    "while_loop": 100,
    "if_forward_jump": 1000,
    "for_loop": 11,
    "for_loop_2": 11,
    "for_loop_3": 3,
    "sensor_processing_from_storage": 12,
    "fletcher16_2560": 2560,
    "fletcher32": 160,
    "fletcher32_constant_length": 160,
    "fletcher32_ctx": 60,
}


def relocations(path: Path) -> list[tuple[str, int]]:
    """(section, type) of every relocation of what is loaded."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        found = []
        for section in elf.iter_sections():
            if isinstance(section, RelocationSection):
                place = elf.get_section(section["sh_info"])
                if place["sh_flags"] & 2:  # SHF_ALLOC
                    found += [(place.name, entry["r_info_type"]) for entry in section.iter_relocations()]
    return found


def text_sections(path: Path) -> list[str]:
    elf: Any = ELFFile(BytesIO(path.read_bytes()))
    return [section.name for section in elf.iter_sections() if section["sh_flags"] & 4 and section["sh_size"]]


class TestPoint:
    @pytest.mark.parametrize("name", OPERATIONS)
    def test_the_operation_is_there(self, name: str) -> None:
        sems, form, count = OPERATIONS[name]
        listed = list(instructions(EXAMPLES[name].object.read_bytes()))
        assert sum(i.op.sem in sems and i.op.form is form for i in listed) >= count

    @pytest.mark.parametrize("name", WIDTHS)
    def test_the_value_goes_through_memory(self, name: str) -> None:
        accesses = [
            (i.op.sem, i.op.width)
            for i in instructions(EXAMPLES[name].object.read_bytes())
            if i.op.sem in (Sem.LOAD, Sem.STORE)
        ]
        assert accesses == [(Sem.STORE, WIDTHS[name]), (Sem.LOAD, WIDTHS[name])]

    @pytest.mark.parametrize("name", LOOPS)
    def test_loops_loop(self, name: str) -> None:
        image = EXAMPLES[name].object.read_bytes()
        assert any(i.target is not None and i.target <= i.pc for i in instructions(image) if i.op.form.jumps)
        first = EXAMPLES[name].cases[0]
        outcomes = check_case(loader.load(image), first, ENGINES["switch"])
        assert outcomes[0].instructions >= 3 * LOOPS[name]

    def test_inlined_calls_are_no_calls(self) -> None:
        sems = [i.op.sem for i in instructions(EXAMPLES["inlined_calls"].object.read_bytes())]
        assert sems.count(Sem.CALL_LOCAL) == 0
        assert sems.count(Sem.MUL) == 4

    def test_static_functions_are_called_without_relocation(self) -> None:
        path = EXAMPLES["pc_relative_calls"].object
        sems = [i.op.sem for i in instructions(path.read_bytes())]
        assert sems.count(Sem.CALL_LOCAL) == 5
        assert relocations(path) == []

    def test_global_functions_are_called_through_relocations(self) -> None:
        path = EXAMPLES["global_calls"].object
        called = [section for section, kind in relocations(path) if kind == 10]
        assert called.count(".text") == 3
        assert called.count("other_functions") == 2
        assert text_sections(path) == [".text", "other_functions"]

    @pytest.mark.parametrize(
        ("name", "pointers"), [("data_relocations", 1), ("looping", 1), ("data_relocations_looping", 2)]
    )
    def test_pointers_in_data_are_relocated(self, name: str, pointers: int) -> None:
        assert relocations(EXAMPLES[name].object).count((".data", 2)) == pointers

    def test_strings_lie_in_data_and_in_rodata(self) -> None:
        program = loader.load(EXAMPLES["jit_rodata"].object.read_bytes())
        assert b"hello\0" in program.data
        assert b"%s\n\0" in program.rodata

    def test_the_counter_lies_in_bss(self) -> None:
        program = loader.load(EXAMPLES["counter"].object.read_bytes())
        assert (program.data, program.bss_size) == (b"", 4)

    def test_the_fault_names_function_and_line(self) -> None:
        example = EXAMPLES["wild_pointer"]
        content = example.object.read_bytes()
        program = replace(loader.load(content), lines=debuginfo.line_table(content))
        (outcome,) = check_case(program, example.cases[0], ENGINES["switch"])
        fault = outcome.fault
        assert fault is not None
        assert (fault.function, fault.address, fault.access) == ("wild_pointer", 4, "load")
        line = example.source.read_text(encoding="utf-8").splitlines().index("    return latest->value;") + 1
        assert fault.source is not None
        assert fault.source.endswith(f"wild_pointer.c:{line}")
