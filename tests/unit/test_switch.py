"""The switch engine: control flow, calls, counting, faults. Arithmetic: property/test_switch_semantics.py."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic, sleep

import pytest

from device import engines
from device.engines import ENGINES
from device.errors import MalformedRequest
from device.vm.faults import FaultCode, GuestFault
from device.vm.isa import TABLE, Form, Op, Slot
from device.vm.memory import CONTEXT_BASE, DATA_BASE, RODATA_BASE, STACK_TOP
from device.vm.program import Control, Function, Layout, Outcome, Program, Run, build_memory
from device.vm.switch import CACHED_SLOTS, SwitchEngine

EXIT = "9500000000000000"
R0_IS_7 = "b700000007000000"


def program(text: str, **fields: object) -> Program:
    return Program(bytes.fromhex(text), Layout.TEXT, bytes(32), **fields)  # type: ignore[arg-type]  # fields of tests


def execute(text: str | Program, *, budget: int = 10_000, context: bytes = b"", **run: object) -> Outcome:
    linked = program(text) if isinstance(text, str) else text
    memory = build_memory(linked, linked.fresh_data(), bytearray(context))
    r1, r2 = (CONTEXT_BASE if context else 0), len(context)
    return SwitchEngine().run(linked, Run(memory, budget=budget, r1=r1, r2=r2, **run))  # type: ignore[arg-type]  # the same


def fault_of(outcome: Outcome) -> tuple[str, int, int]:
    assert outcome.fault is not None
    return outcome.fault.name, outcome.fault.pc, outcome.instructions


# One well-formed instruction for each row: registers 2 and 3, r2 points at the context, jumps to the next.
def sample(op: Op) -> str:
    fields = {"dst": 2, "src": 3, "off": 0, "imm": 0}
    fields.update(dict.fromkeys(op.form.zero, 0))
    if op.form.selector is not None:
        fields[op.form.selector] = op.select
    if op.form is Form.LOAD:
        fields["src"] = 2
    text = Slot(op.opcode, fields["dst"], fields["src"], fields["off"], fields["imm"]).pack()
    return (text + bytes(8) * (op.form.slots - 1)).hex()


@pytest.mark.parametrize("op", TABLE, ids=lambda op: f"{op.mnemonic} {op.form.name}")
def test_every_row_of_the_table_runs(op: Op) -> None:
    outcome = execute(
        "bf12000000000000" + sample(op) + EXIT + EXIT,
        context=bytes(8),
        call_helper=lambda *_: 0,
    )
    assert outcome.fault is None


@pytest.mark.parametrize(
    ("text", "r0", "instructions"),
    [
        pytest.param(R0_IS_7 + EXIT, 7, 2, id="exit"),
        pytest.param(EXIT, 0, 1, id="registers start at 0"),
        pytest.param("bfa0000000000000" + EXIT, STACK_TOP, 2, id="r10"),
        pytest.param("b7000000ffffffff" + EXIT, 2**64 - 1, 2, id="mov64 sign-extends"),
        pytest.param(
            "180000000000ffff0000000000000000" + EXIT, 0xFFFF0000, 2, id="lddw is one, low unsigned"
        ),
        pytest.param("180000000000ffff0000000001000000" + EXIT, 0x1FFFF0000, 2, id="lddw, upper half"),
        pytest.param("0500010000000000" + EXIT + R0_IS_7 + EXIT, 7, 3, id="ja"),
        pytest.param("0600000001000000" + EXIT + R0_IS_7 + EXIT, 7, 3, id="ja32 goes by imm"),
        pytest.param("0500020000000000" + R0_IS_7 + EXIT + "0500fdff00000000", 7, 4, id="ja backwards"),
        pytest.param("1600000000000000" + EXIT, 0, 2, id="branch to the next"),
        pytest.param(
            "b700000000000000b7010000c90000000700000001000000" + "2d01feff00000000" + EXIT,
            201,
            405,
            id="loop",
        ),
        pytest.param("b400000001000000" + EXIT, 1, 2, id="mov32"),
        pytest.param("dc00000010000000" + EXIT, 0, 2, id="be16"),
        pytest.param("3700000000000000" + EXIT, 0, 2, id="div by a constant 0"),
        pytest.param("b7000000080000003f10000000000000" + EXIT, 0, 3, id="div by a register of 0"),
        pytest.param("7b0af8ff00000000" + EXIT, 0, 2, id="store on the stack"),
    ],
)
def test_result(text: str, r0: int, instructions: int) -> None:
    assert execute(text) == Outcome(r0, None, instructions)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(R0_IS_7, ("NO_RETURN", 1, 1), id="runs past the end"),
        pytest.param("18000000000000000000000000000000", ("NO_RETURN", 2, 1), id="lddw at the end"),
        pytest.param("5500ffff00000000", ("NO_RETURN", 1, 1), id="branch not taken at the end"),
        pytest.param("0500010000000000" + EXIT, ("ILLEGAL_JUMP", 0, 1), id="jump past the end"),
        pytest.param("0500feff00000000" + EXIT, ("ILLEGAL_JUMP", 0, 1), id="jump before the start"),
        pytest.param("06000000ffffff7f" + EXIT, ("ILLEGAL_JUMP", 0, 1), id="ja32 far out"),
        pytest.param("1500ff7f00000000" + EXIT, ("ILLEGAL_JUMP", 0, 1), id="branch taken"),
        pytest.param("8510000005000000" + EXIT, ("ILLEGAL_CALL", 0, 1), id="local call out of the text"),
        pytest.param("85100000feffffff" + EXIT, ("ILLEGAL_CALL", 0, 1), id="local call before the start"),
        pytest.param("8520000000000000" + EXIT, ("ILLEGAL_INSTRUCTION", 0, 1), id="call of kind 2"),
        pytest.param("8500000010000000" + EXIT, ("ILLEGAL_CALL", 0, 1), id="helper that is not there"),
        pytest.param("0500010000000000" + "1800000001000000" + "0000000002000000" + EXIT,
                     ("ILLEGAL_INSTRUCTION", 2, 2), id="jump into lddw"),
        pytest.param("8d00000000000000" + EXIT, ("ILLEGAL_INSTRUCTION", 0, 1), id="callx"),
        pytest.param("8f00000000000000" + EXIT, ("ILLEGAL_INSTRUCTION", 0, 1), id="neg by register"),
        pytest.param("2000000000000000" + EXIT, ("ILLEGAL_INSTRUCTION", 0, 1), id="packet load"),
        pytest.param("db0a000002000000" + EXIT, ("ILLEGAL_INSTRUCTION", 0, 1), id="unknown atomic"),
        pytest.param("0700010000000000" + EXIT, ("ILLEGAL_INSTRUCTION", 0, 1), id="field of add"),
        pytest.param("3700020001000000" + EXIT, ("ILLEGAL_INSTRUCTION", 0, 1), id="unknown modifier"),
        pytest.param("d400000008000000" + EXIT, ("ILLEGAL_INSTRUCTION", 0, 1), id="swap of 8 bits"),
        pytest.param("1810000000000000" + "0000000000000000" + EXIT,
                     ("ILLEGAL_INSTRUCTION", 0, 1), id="lddw pseudo source"),
        pytest.param("1800000000000000", ("ILLEGAL_INSTRUCTION", 0, 1), id="half an lddw"),
        pytest.param("1800000000000000" + "0001000000000000" + EXIT,
                     ("ILLEGAL_INSTRUCTION", 0, 1), id="dirty second half"),
        pytest.param("b800000000000000" + "0000000001000000" + EXIT,
                     ("ILLEGAL_INSTRUCTION", 0, 1), id="upper half of lddwd"),
        pytest.param("b70a000000000000" + EXIT, ("ILLEGAL_REGISTER", 0, 1), id="write to r10"),
        pytest.param("dbaaf8ff01000000" + EXIT, ("ILLEGAL_REGISTER", 0, 1), id="fetch into r10"),
        pytest.param("b70b000001000000" + EXIT, ("ILLEGAL_REGISTER", 0, 1), id="r11"),
        pytest.param("bff0000000000000" + EXIT, ("ILLEGAL_REGISTER", 0, 1), id="from r15"),
        pytest.param("9500000001000000", ("ILLEGAL_INSTRUCTION", 0, 1), id="field of exit"),
        pytest.param("7b0af8fd00000000" + EXIT, ("ILLEGAL_MEM", 0, 1), id="below the frame"),
        pytest.param("7b0a000000000000" + EXIT, ("ILLEGAL_MEM", 0, 1), id="at r10"),
        pytest.param("7911080000000000" + EXIT, ("ILLEGAL_MEM", 0, 1), id="null and a little"),
        pytest.param("0500ffff00000000" + EXIT, ("OUT_OF_INSTRUCTIONS", 0, 10_000), id="endless loop"),
        pytest.param("", ("ILLEGAL_LEN", 0, 0), id="no text"),
        pytest.param("9500000000", ("ILLEGAL_LEN", 0, 0), id="half a slot"),
    ],
)  # fmt: skip
def test_fault(text: str, expected: tuple[str, int, int]) -> None:
    assert fault_of(execute(text)) == expected


@pytest.mark.parametrize("entry", [-1, 2, 2**40])
def test_an_entry_outside_is_a_fault(entry: int) -> None:
    assert fault_of(execute(program(R0_IS_7 + EXIT, entry=entry))) == ("ILLEGAL_JUMP", 0, 0)


def test_the_run_begins_at_the_entry() -> None:
    assert execute(program(EXIT + R0_IS_7 + EXIT, entry=1)).r0 == 7


class TestBudget:
    TEXT = "0700000001000000" * 5 + EXIT

    @pytest.mark.parametrize("budget", range(6))
    def test_exactly_the_budget_runs(self, budget: int) -> None:
        outcome = execute(self.TEXT, budget=budget)
        assert fault_of(outcome) == ("OUT_OF_INSTRUCTIONS", budget, budget)
        assert outcome.fault is not None
        assert outcome.fault.registers[0] == budget

    def test_enough_is_enough(self) -> None:
        assert execute(self.TEXT, budget=6) == Outcome(5, None, 6)

    @pytest.mark.parametrize("budget", [4095, 4096, 4097, 8191, 8192, 8193])
    def test_it_is_exact_around_the_control_interval(self, budget: int) -> None:
        assert execute("0500ffff00000000" + EXIT, budget=budget).instructions == budget

    def test_a_fault_counts_its_instruction(self) -> None:
        assert fault_of(execute(R0_IS_7 + "7b0a000000000000" + EXIT, budget=2)) == ("ILLEGAL_MEM", 1, 2)

    def test_the_end_of_the_text_is_no_instruction(self) -> None:
        assert fault_of(execute(R0_IS_7, budget=1)) == ("NO_RETURN", 1, 1)

    def test_a_negative_budget_is_none(self) -> None:
        assert fault_of(execute(EXIT, budget=-5)) == ("OUT_OF_INSTRUCTIONS", 0, 0)


class TestLocalCalls:
    def test_saved_and_shared_registers(self) -> None:
        """r6-r9 come back, r1-r5 and r0 are the callee's."""
        caller = "b706000006000000" + "b701000001000000" + "8510000004000000"
        caller += "0f10000000000000" + "2700000064000000" + "0f60000000000000" + EXIT
        callee = "b706000063000000" + "b701000005000000" + "b700000002000000" + EXIT
        assert execute(caller + callee).r0 == (2 + 5) * 100 + 6

    def test_the_callee_sees_the_callers_registers(self) -> None:
        assert execute("b709000009000000" + "8510000001000000" + EXIT + "bf90000000000000" + EXIT).r0 == 9

    def test_frames(self) -> None:
        """The callee has its own frame, reaches the caller's, and leaves it behind."""
        caller = "7a0af8ff11000000" + "8510000003000000" + "79a1f8ff00000000" + "0f10000000000000" + EXIT
        callee = "7a0af8ff22000000" + "79a0f8ff00000000" + "79a1f80100000000" + "0f10000000000000" + EXIT
        assert execute(caller + callee).r0 == 0x22 + 0x11 + 0x11

    def test_the_callees_r10(self) -> None:
        assert execute("8510000001000000" + EXIT + "bfa0000000000000" + EXIT).r0 == STACK_TOP - 512

    def test_a_frame_is_not_reachable_after_its_exit(self) -> None:
        text = "8510000002000000" + "79a0f8fd00000000" + EXIT + "7a0af8ff01000000" + EXIT
        assert fault_of(execute(text)) == ("ILLEGAL_MEM", 1, 4)

    def test_frames_are_not_cleared(self) -> None:
        text = "8510000003000000" + "8510000002000000" + EXIT + EXIT
        text += "79a0f8ff00000000" + "7a0af8ff05000000" + EXIT
        assert execute(text).r0 == 5

    def test_eight_frames_fit_and_the_ninth_faults(self) -> None:
        chain = "8510000001000000" + EXIT
        assert execute(chain * 7 + R0_IS_7 + EXIT).r0 == 7
        assert fault_of(execute(chain * 8 + R0_IS_7 + EXIT)) == ("CALL_DEPTH", 14, 8)

    def test_a_small_frame_size(self) -> None:
        linked = program("8510000001000000" + EXIT + "bfa0000000000000" + EXIT)
        run = Run(build_memory(linked, bytearray(), frame_size=32))
        assert SwitchEngine().run(linked, run).r0 == STACK_TOP - 32

    def test_a_return_past_the_end(self) -> None:
        text = "0500010000000000" + EXIT + "85100000feffffff"
        assert fault_of(execute(text)) == ("NO_RETURN", 3, 3)


class TestAtomics:
    def test_dst_and_src_alike(self) -> None:
        """xchg of a pointer's own place: the address is the old r2, memory gets it, r2 gets the old value."""
        text = "bf12000000000000" + "db220000e1000000" + "bf20000000000000" + EXIT
        outcome = execute(text, context=(0x1234).to_bytes(8, "little"))
        assert outcome.r0 == 0x1234

    @pytest.mark.parametrize("imm", ["00", "01", "e1", "f1"])
    @pytest.mark.parametrize(("opcode", "size"), [("db", 8), ("c3", 4)])
    def test_a_read_only_place_faults_as_a_store(self, opcode: str, size: int, imm: str) -> None:
        """Also a comparison that fails: r0 is not what stands there."""
        linked = program("b700000063000000" + f"{opcode}210000{imm}000000" + EXIT)
        memory = build_memory(linked, bytearray(), bytearray(8), context_writable=False)
        fault = SwitchEngine().run(linked, Run(memory, r1=CONTEXT_BASE)).fault
        assert fault is not None
        assert (fault.name, fault.access, fault.size) == ("ILLEGAL_MEM", "store", size)


class TestDataAddresses:
    TEXT = "b800000010000000" + "00000000ffffffff" + EXIT

    @pytest.mark.parametrize(
        ("fields", "r0"),
        [
            pytest.param({"data": b"abc"}, DATA_BASE + 16, id="data"),
            pytest.param({"bss_size": 1}, DATA_BASE + 16, id="bss"),
            pytest.param({}, RODATA_BASE + 16, id="neither"),
        ],
    )
    def test_lddwd(self, fields: dict[str, object], r0: int) -> None:
        assert execute(program(self.TEXT, **fields)).r0 == r0

    def test_lddwr(self) -> None:
        assert execute("d80000000800000000000000000000007900000000000000" + EXIT).fault is not None
        linked = program("d8000000080000000000000000000000" + "7100000000000000" + EXIT, rodata=b"12345678A")
        assert execute(linked).r0 == ord("A")

    def test_it_wraps_in_32_bits(self) -> None:
        assert execute("d8000000000000f00000000000000000" + EXIT).r0 == 0


class TestMemoryAddresses:
    def test_the_effective_address_is_the_low_half(self) -> None:
        """r3 = 7 << 32 above the context's address; off is added before it is cut."""
        text = "b703000007000000" + "6703000020000000" + "4f13000000000000" + "7130010000000000" + EXIT
        assert execute(text, context=b"\x01\x02").r0 == 2

    def test_it_wraps_below_zero(self) -> None:
        assert fault_of(execute("7130ffff00000000" + EXIT))[0] == "ILLEGAL_MEM"
        fault = execute("7130ffff00000000" + EXIT).fault
        assert fault is not None
        assert fault.address == 0xFFFFFFFF


class TestHelperCalls:
    def test_arguments_result_and_what_stays(self) -> None:
        seen: list[tuple[int, ...]] = []

        def helper(*arguments: int) -> int:
            seen.append(arguments)
            return 2**64 + 5

        text = "".join(f"b7{n:02x}0000{n:02x}000000" for n in range(1, 6)) + "8500000003010080"
        outcome = execute(text + "0f10000000000000" + EXIT, call_helper=helper)
        assert seen == [(0x80000103, 1, 2, 3, 4, 5)]
        assert outcome.r0 == 6

    def test_a_helpers_fault_is_the_calls(self) -> None:
        def helper(*_: int) -> int:
            raise GuestFault(FaultCode.HELPER_DENIED, "no", helper=1)

        outcome = execute(R0_IS_7 + "8500000001000000" + EXIT, call_helper=helper)
        assert fault_of(outcome) == ("HELPER_DENIED", 1, 2)
        assert outcome.fault is not None
        assert outcome.fault.helper == 1


class TestFaultRecord:
    def test_place_and_registers(self) -> None:
        linked = program(
            R0_IS_7 + EXIT + "b70300000a000000" + "7b03000000000000" + EXIT,
            entry=2,
            functions=(Function(0, "other"), Function(2, "main")),
            lines={2: "prog.c:3", 3: "prog.c:4"},
        )
        fault = execute(linked, context=bytes(4)).fault
        assert fault is not None
        assert (fault.function, fault.source) == ("main", "prog.c:4")
        assert fault.registers == (0, CONTEXT_BASE, 4, 10, 0, 0, 0, 0, 0, 0, STACK_TOP)
        distance = STACK_TOP - 512 - 10
        assert str(fault) == (
            f"ILLEGAL_MEM: store of 8 bytes at 0xa ({distance} below the stack frame)"
            " at insn #3 (offset 0x18)"
        )

    def test_the_detail_of_a_jump(self) -> None:
        outcome = execute("0500010000000000" + EXIT)
        assert str(outcome.fault) == "ILLEGAL_JUMP: jump to #2 outside the program at insn #0 (offset 0x0)"


class TestControl:
    ENDLESS = "0500ffff00000000" + EXIT
    CALLING = "8500000001000000" + "0500feff00000000" + EXIT

    def late_by(self, text: str, stop: Callable[[Control, float], None], reason: str) -> float:
        """Seconds that a run goes on after it was to stop, in 50 ms."""

        def slow(*_: int) -> int:
            sleep(0.001)
            return 0

        control, due = Control(), monotonic() + 0.05
        stop(control, due)
        fault = execute(text, budget=2**32 - 1, control=control, call_helper=slow).fault
        late = monotonic() - due
        assert fault is not None
        assert (fault.code, fault.detail) == (FaultCode.KILLED, reason)
        return late

    @pytest.mark.parametrize("text", [ENDLESS, CALLING], ids=["loop", "slow helpers"])
    @pytest.mark.parametrize("reason", ["operator", "replaced", "deadline"])
    def test_it_stops_within_100_ms(self, text: str, reason: str) -> None:
        def stop(control: Control, due: float) -> None:
            if reason == "deadline":
                control.deadline = due
            else:
                threading.Timer(due - monotonic(), control.kill, (reason,)).start()

        # A machine with other work to do may be late once, not always.
        assert any(0 <= self.late_by(text, stop, reason) < 0.1 for _ in range(3))

    def test_a_run_that_was_killed_before_it_began(self) -> None:
        control = Control()
        control.kill()
        assert fault_of(execute(EXIT, control=control)) == ("KILLED", 0, 0)


class TestSameEngineAgain:
    def test_runs_do_not_see_each_other(self) -> None:
        """The second run finds the stack zero, though the first wrote it in eight frames."""
        engine = SwitchEngine()
        first = program(("7a0af8ffffffffff" + "8510000001000000" + EXIT) * 7 + "7a0af8ffffffffff" + EXIT)
        second = program("79a0f8ff00000000" + EXIT)
        memory = build_memory(first, bytearray())
        assert engine.run(first, Run(memory)).fault is None
        assert engine.run(second, Run(memory)).r0 == 0
        assert fault_of(engine.run(program("79a0f8fd00000000" + EXIT), Run(memory)))[0] == "ILLEGAL_MEM"

    def test_more_text_than_it_keeps(self) -> None:
        """Twice over more than the cache holds, also a text that is larger than all of it."""
        engine = SwitchEngine()
        texts = [f"b7000000{n:02x}000000" + EXIT + EXIT * (CACHED_SLOTS // 3) for n in range(5)]
        texts.append(R0_IS_7 + EXIT * CACHED_SLOTS)
        for _ in range(2):
            results = [engine.run(p, Run(build_memory(p, bytearray()))).r0 for p in map(program, texts)]
            assert results == [0, 1, 2, 3, 4, 7]

    def test_threads_share_an_engine(self) -> None:
        engine = SwitchEngine()
        linked = program("b700000000000000b7010000c90000000700000001000000" + "2d01feff00000000" + EXIT)
        results: list[int | None] = []

        def work() -> None:
            results.extend(engine.run(linked, Run(build_memory(linked, bytearray()))).r0 for _ in range(20))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [201] * 80


class TestSelection:
    @pytest.mark.parametrize("name", ENGINES)
    def test_available(self, name: str) -> None:
        assert engines.select(name).name == name

    def test_without_a_wish_it_is_the_best(self) -> None:
        assert engines.select("auto").name == "interpreter"
        assert engines.select("auto", {"switch": ENGINES["switch"]}).name == "switch"

    @pytest.mark.parametrize("name", ["warp", "", "Switch"])
    def test_unavailable(self, name: str) -> None:
        with pytest.raises(MalformedRequest) as caught:
            engines.select(name)
        assert caught.value.code == "engine-unavailable"
        assert caught.value.hint == f"available: auto, {', '.join(ENGINES)}"

    def test_the_names_are_the_engines_own(self) -> None:
        assert {name: engine.name for name, engine in ENGINES.items()} == {name: name for name in ENGINES}
