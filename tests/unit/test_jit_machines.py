"""The machines of a device: how many there are, who has them, and that they go."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from threading import Event, Thread, get_ident
from time import monotonic, sleep
from weakref import ref

import pytest

from device.jit import engine as jit_engine
from device.jit.engine import JitEngine
from device.jit.errors import MachineError
from device.jit.machines import Machines
from device.jit.processor import Processor
from device.vm.asm import assemble
from device.vm.faults import FaultCode, GuestFault
from device.vm.program import Control, Layout, Outcome, Program, Run, build_memory
from device.vm.switch import SwitchEngine

SUM = "mov r0, 0\nmov r6, 100\nagain: add r0, r6\nadd r6, -1\njne r6, 0, again\nexit"
CALLS = "mov r1, 1\ncall 9\nmov r1, 2\ncall 9\nexit"
SPIN = "mov r0, 0\nagain: add r0, 1\nja again\nexit"
MIXED = "mov r6, 50\nagain: add r7, r6\nmov r1, r6\ncall 9\nadd r6, -1\njne r6, 0, again\nmov r0, r7\nexit"
NESTED = """
    mov r6, 30
    mov r0, 0
outer:
    mov r1, r6
    call local inner
    add r0, r7
    sub r6, 1
    jne r6, 0, outer
    exit
inner:
    mov r7, 40
    mov r0, r1
loop:
    add r0, r7
    stxdw [r10-8], r0
    ldxdw r0, [r10-8]
    sub r7, 1
    jne r7, 0, loop
    exit
"""


def program(source: str) -> Program:
    return Program(assemble(source), Layout.TEXT, bytes(32))


def run(engine: JitEngine | SwitchEngine, linked: Program, **fields: object) -> Outcome:
    memory = build_memory(linked, linked.fresh_data())
    return engine.run(linked, Run(memory, **fields))  # type: ignore[arg-type]  # fields of tests


def in_thread(work: Callable[[], None]) -> None:
    thread = Thread(target=work)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()


def test_none_is_made_before_it_is_needed() -> None:
    machines = Machines(Processor, 2)
    claim = machines.claim()
    assert claim is not None
    assert machines.made == 0
    claim.processor()
    assert machines.made == 1
    claim.release()
    machines.close()
    assert machines.made == 0


def test_there_are_so_many_and_no_more() -> None:
    machines = Machines(Processor, 2)
    first, second = machines.claim(), machines.claim()
    assert first is not None
    assert second is not None
    assert machines.claim() is None
    used = second.processor()
    second.release()
    second.release()
    again = machines.claim()
    assert again is not None
    assert machines.claim() is None
    assert again.processor() is used
    again.release()
    first.release()
    machines.close()


def test_who_waits_gets_one_or_is_stopped() -> None:
    machines = Machines(Processor, 1)
    claim = machines.claim()
    assert claim is not None
    stopped = Control(monotonic() + 0.05)
    with pytest.raises(GuestFault, match="deadline"):
        machines.wait(stopped.check)
    threading.Timer(0.05, claim.release).start()
    machines.wait(Control(monotonic() + 20).check).release()
    machines.close()
    with pytest.raises(MachineError, match="gone"):
        machines.wait(lambda: None)


def test_a_run_that_cannot_have_one_is_stopped_as_any_other() -> None:
    engine = JitEngine(machines=1)
    claim = engine.machines.claim()
    assert claim is not None
    outcome = run(engine, program(SUM), control=Control(monotonic() + 0.05))
    assert outcome.fault is not None
    assert (outcome.fault.code, outcome.fault.detail) == (FaultCode.KILLED, "deadline")
    claim.release()
    assert run(engine, program(SUM)).r0 == 5050


def test_many_short_threads_use_one() -> None:
    engine, linked, results = JitEngine(), program(SUM), list[int | None]()
    for _ in range(1000):
        in_thread(lambda: results.append(run(engine, linked).r0))
    assert results == [5050] * 1000
    assert engine.machines.made == 1


def test_a_run_keeps_its_machine_while_a_helper_sleeps() -> None:
    engine, inside, go = JitEngine(machines=2), Event(), Event()

    def sleep(_helper: int, r1: int, *_: int) -> int:
        if r1 == 1:
            inside.set()
            assert go.wait(30)
        return 3

    outcomes = list[Outcome]()
    sleeper = Thread(target=lambda: outcomes.append(run(engine, program(CALLS), call_helper=sleep)))
    sleeper.start()
    assert inside.wait(30)
    assert run(engine, program(SUM)).r0 == 5050
    assert engine.machines.made == 2
    go.set()
    sleeper.join(30)
    assert outcomes[0].r0 == 3
    assert run(engine, program(SUM)).r0 == 5050
    assert engine.machines.made == 2


def test_those_in_use_go_when_they_come_back() -> None:
    machines = Machines(Processor, 1)
    claim = machines.claim()
    assert claim is not None
    processor = claim.processor()
    machines.close()
    assert machines.made == 1
    claim.release()
    assert machines.made == 0
    with pytest.raises(MachineError, match="closed"):
        processor.machine.run(0)


def test_an_engine_that_nobody_has_takes_its_machines_along() -> None:
    engine = JitEngine()
    machines = engine.machines
    run(engine, program(SUM))
    assert machines.made == 1
    gone = ref(engine)
    del engine
    gc.collect()
    assert gone() is None
    assert machines.made == 0


class Nosy(Control):
    """Remembers who looks at it."""

    def __init__(self) -> None:
        super().__init__(monotonic() + 0.3)
        self.threads: set[int] = set()

    def check(self) -> None:
        self.threads.add(get_ident())
        super().check()


def test_only_its_own_thread_gives_others_their_turn() -> None:
    """A job's control waits for others when it is looked at: the watchdog must not."""
    control = Nosy()
    outcome = run(JitEngine(), program(SPIN), budget=2**32 - 1, control=control)
    assert outcome.fault is not None
    assert outcome.fault.detail == "deadline"
    assert control.threads == {get_ident()}


@pytest.mark.parametrize("share", [1, 7, 50, 333])
def test_shares_change_nothing(share: int) -> None:
    class Sharing(JitEngine):
        pass

    Sharing.share = share
    engine, linked = Sharing(), program(NESTED)
    whole = run(SwitchEngine(), linked)
    assert whole.fault is None
    for budget in [*range(1, whole.instructions + 2, 97), whole.instructions - 1, whole.instructions]:
        assert run(engine, linked, budget=budget) == run(SwitchEngine(), linked, budget=budget)


def test_a_job_looks_at_its_control_between_shares() -> None:
    class Sharing(JitEngine):
        share = 100_000

    looks = 0

    class Counting(Control):
        def check(self) -> None:
            nonlocal looks
            looks += 1
            super().check()

    outcome = run(Sharing(), program(SPIN), budget=2_000_000, control=Counting())
    assert outcome.instructions == 2_000_000
    assert looks >= 20


def test_code_that_was_not_run_for_longest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = JitEngine()
    programs = [program(f"mov r0, {number}\nadd r0, r1\nexit") for number in range(4)]
    run(engine, programs[0])
    each = engine.figures(programs[0]).size
    assert each > 0
    monkeypatch.setattr(jit_engine, "CACHED_CODE", 2 * each)
    run(engine, programs[1])
    run(engine, programs[0])
    run(engine, programs[2])
    assert [engine.figures(one).units for one in programs] == [1, 0, 1, 0]
    assert run(engine, programs[1]).r0 == 1


def test_so_many_programs_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit_engine, "CACHED_PROGRAMS", 3)
    engine = JitEngine()
    programs = [program(f"mov r0, {number}\nexit") for number in range(6)]
    assert [run(engine, one).r0 for one in programs] == list(range(6))
    assert [engine.figures(one).units for one in programs] == [0, 0, 0, 1, 1, 1]


def test_code_is_counted_while_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that are forgotten and come back are not counted twice: nothing else would have to go."""
    engine, often = JitEngine(), program("mov r0, 1\nexit")
    for _ in range(20):
        run(engine, often)
        engine.discard(often)
    run(engine, often)
    monkeypatch.setattr(jit_engine, "CACHED_CODE", 3 * engine.figures(often).size)
    run(engine, program("mov r0, 2\nexit"))
    assert engine.figures(often).units == 1


def test_forgotten_code_is_made_anew() -> None:
    engine, linked = JitEngine(), program(SUM)
    run(engine, linked)
    assert engine.figures(linked).units
    engine.discard(linked)
    assert engine.figures(linked).size == 0
    assert run(engine, linked).r0 == 5050
    assert engine.figures(linked).units


@pytest.mark.parametrize("frame_sizes", [(32, 512), (512, 32)])
def test_one_program_with_stacks_of_two_sizes(frame_sizes: tuple[int, int]) -> None:
    """Its code depends on the frame: what one may store the other may not."""
    engine, linked = JitEngine(), program("mov r0, 5\nstxdw [r10-40], r0\nldxdw r0, [r10-40]\nexit")
    for _ in range(2):
        for frame_size in frame_sizes:
            memory = build_memory(linked, bytearray(), frame_size=frame_size)
            outcome = engine.run(linked, Run(memory))
            fault = outcome.fault and outcome.fault.code
            assert (outcome.r0, fault) == ((5, None) if frame_size == 512 else (None, FaultCode.ILLEGAL_MEM))


def test_machines_go_from_thread_to_thread() -> None:
    """More threads than machines, with helper calls that let others run in between."""
    engine, linked = JitEngine(machines=2), program(MIXED)
    expected = run(SwitchEngine(), linked, call_helper=lambda *_: 1)
    found = list[Outcome]()

    def helper(_helper: int, r1: int, *_: int) -> int:
        if r1 % 20 == 0:
            sleep(0.0005)
        return 1

    def work() -> None:
        found.extend(run(engine, linked, call_helper=helper) for _ in range(10))

    for _ in range(5):
        threads = [Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert found == [expected] * 300
    assert engine.machines.made == 2
