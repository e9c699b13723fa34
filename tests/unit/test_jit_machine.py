"""The Unicorn machine, with hand-assembled code: calls, requests, faults, stops, threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from threading import Barrier, Thread

import pytest

from device.jit.assembler import Assembler
from device.jit.buffers import SharedBuffer
from device.jit.encoder import (
    NOP,
    Access,
    Alu,
    Compare,
    Cond,
    Flags,
    R,
    access,
    alu,
    alu_imm,
    bx,
    compare,
    compare_imm,
    copy_single,
    from_single,
    load_constant,
    mla,
    mov,
    pop,
    push,
    svc,
    to_single,
    udf,
    udiv,
)
from device.jit.errors import MachineError
from device.jit.layout import (
    ARGUMENTS,
    CODE_BASE,
    CODE_SIZE,
    DISPATCHER,
    FREE,
    MAILBOX,
    PAGE,
    REQUEST,
    STACK_BASE,
)
from device.jit.machine import Machine
from device.jit.stop import Reason
from device.jit.watchdog import Watchdog
from device.vm.faults import FaultCode, GuestFault
from device.vm.memory import DATA_BASE, RODATA_BASE

RETURN = bx(R.LR)
WORD = 0xFFFFFFFF


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    dog = Watchdog()
    yield dog
    dog.close()


@pytest.fixture
def machine(watchdog: Watchdog) -> Iterator[Machine]:
    made = Machine(watchdog)
    yield made
    made.close()


def code(*encodings: int) -> bytes:
    asm = Assembler()
    asm.emit(*encodings)
    return asm.finish().text


def constant(value: int) -> bytes:
    return code(*load_constant(0, value), *load_constant(1, 0), RETURN)


def request(number: int) -> tuple[int, ...]:
    """Ask the service, from code that has pushed nothing."""
    return (*load_constant(3, number), access(Access.STR, 3, R.SP, 4 * REQUEST), svc(number))


def spinning() -> bytes:
    asm = Assembler()
    loop = asm.here()
    asm.emit(alu_imm(Alu.ADD, 0, 0, 1))
    asm.jump(loop)
    return asm.finish().text


def counting(rounds: int) -> bytes:
    """A loop of three instructions, `rounds` times; returns the rounds."""
    asm = Assembler()
    asm.emit(*load_constant(1, rounds), *load_constant(0, 0))
    loop = asm.here()
    asm.emit(alu_imm(Alu.ADD, 0, 0, 1), alu_imm(Alu.SUB, 1, 1, 1, Flags.SET))
    asm.jump_if(Cond.NE, loop)
    asm.emit(RETURN)
    return asm.finish().text


ARITHMETIC: dict[str, tuple[bytes, tuple[int, ...], tuple[int, int, int]]] = {
    "arguments": (code(alu(Alu.ADD, 0, 0, 1), alu(Alu.ADD, 1, 2, 3), RETURN), (1, 2, 30, 4), (3, 34, 30)),
    "64 bits": (
        code(alu(Alu.ADD, 0, 0, 2, Flags.SET), alu(Alu.ADC, 1, 1, 3), RETURN),
        (WORD, 1, 2, 3),
        (1, 5, 2),
    ),
    "multiply and add": (code(mla(0, 0, 1, 2), RETURN), (7, 6, 5), (47, 6, 5)),
    "division by zero": (code(udiv(0, 0, 1), RETURN), (7, 0, 0), (0, 0, 0)),
    "spilled to VFP": (
        code(to_single(31, 0), mov(0, 1), copy_single(4, 31), from_single(1, 4), RETURN),
        (11, 12, 0),
        (12, 11, 0),
    ),
    "stacked": (code(push([0]), push([8, 14]), pop([8, 14]), pop([1]), RETURN), (5, 6, 0), (5, 5, 0)),
    "one high register stacked": (
        code(mov(8, 0), push([8]), *load_constant(8, 0), pop([8]), mov(1, 8), RETURN),
        (5, 6, 0),
        (5, 5, 0),
    ),
}


@pytest.mark.parametrize(("text", "arguments", "results"), ARITHMETIC.values(), ids=ARITHMETIC)
def test_calls(
    machine: Machine, text: bytes, arguments: tuple[int, ...], results: tuple[int, int, int]
) -> None:
    installed = machine.install(text, CODE_BASE)
    for _ in range(3):
        assert machine.run(installed.entry, *arguments).reason is Reason.RETURNED
        assert machine.results == results


def test_words_that_are_not_given_are_zero(machine: Machine) -> None:
    """Whatever the run before was given, or has asked for another round with."""
    installed = machine.install(code(RETURN), CODE_BASE)

    def again() -> bool:
        machine.mailbox[ARGUMENTS] += 1
        return machine.mailbox[ARGUMENTS] < 9

    for words, results in (((1, 2, 3, 4), (1, 2, 3)), ((), (0, 0, 0)), ((7,), (7, 0, 0)), ((), (0, 0, 0))):
        machine.run(installed.entry, *words)
        assert machine.results == results
        machine.run(installed.entry, again=again)
        assert machine.results == (8, 0, 0)
        machine.run(installed.entry)
        assert machine.results == (0, 0, 0)


def test_flags_inside_an_it_block(machine: Machine) -> None:
    """Of two subtractions under IT the first keeps the flags, the second sets them: both are executed."""
    asm = Assembler()
    asm.emit(compare(Compare.CMP, 0, 1))
    asm.if_then(Cond.HI, [alu_imm(Alu.SUB, 0, 0, 1), alu_imm(Alu.SUB, 0, 0, 1, Flags.SET_IN_IT)])
    asm.if_then(Cond.EQ, [alu_imm(Alu.ADD, 2, 2, 1)])
    asm.emit(RETURN)
    installed = machine.install(asm.finish().text, CODE_BASE)
    machine.run(installed.entry, 2, 1, 0)
    assert machine.results == (0, 1, 1)
    machine.run(installed.entry, 1, 2, 0)
    assert machine.results == (1, 2, 0)


def test_a_request_and_its_answer(machine: Machine) -> None:
    seen: list[tuple[int, int]] = []
    mailbox = machine.mailbox

    def double(number: int) -> None:
        seen.append((number, mailbox[FREE]))
        mailbox[FREE] = 2 * mailbox[FREE]

    place = 4 * FREE
    text = code(access(Access.STR, 0, R.SP, place), *request(9), access(Access.LDR, 0, R.SP, place), RETURN)
    installed = machine.install(text, CODE_BASE)
    assert machine.run(installed.entry, 21, 5, 6, service=double).reason is Reason.RETURNED
    assert (seen, machine.results) == ([(9, 21)], (42, 5, 6))


def marking() -> bytes:
    """Stores 1, asks, and stores 2: the second only when the run goes on behind the request."""
    place = 4 * FREE
    first = (*load_constant(2, 1), access(Access.STR, 2, R.SP, place), *request(4))
    return code(*first, *load_constant(2, 2), access(Access.STR, 2, R.SP, place), RETURN)


def test_a_fault_of_the_service(machine: Machine) -> None:
    fault = GuestFault(FaultCode.ILLEGAL_MEM, "no")

    def refuse(_: int) -> None:
        raise fault

    installed = machine.install(marking(), CODE_BASE)
    stop = machine.run(installed.entry, 0x11, 0x22, service=refuse)
    offset = code(*load_constant(2, 1), access(Access.STR, 2, R.SP, 48), *request(4)).rindex(code(svc(4)))
    assert (stop.reason, stop.fault, stop.pc) == (Reason.FAULTED, fault, CODE_BASE + offset)
    assert stop.registers[:4] == (0x11, 0x22, 1, 4)
    assert machine.mailbox[FREE] == 1
    assert machine.run(installed.entry, service=lambda _: None).reason is Reason.RETURNED
    assert machine.mailbox[FREE] == 2


def test_any_other_error_of_the_service_is_raised_after_the_run(machine: Machine) -> None:
    installed = machine.install(marking(), CODE_BASE)

    def fail(_: int) -> None:
        raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError, match="ours"):
        machine.run(installed.entry, service=fail)
    assert machine.mailbox[FREE] == 1
    with pytest.raises(MachineError, match="request 4"):
        machine.run(installed.entry)
    assert machine.run(installed.entry, service=lambda _: None).reason is Reason.RETURNED


def test_a_service_cannot_run_the_machine_again(machine: Machine) -> None:
    installed = machine.install(marking(), CODE_BASE)

    def nest(_: int) -> None:
        machine.run(installed.entry)

    with pytest.raises(MachineError, match="running"):
        machine.run(installed.entry, service=nest)


def test_new_code_at_the_same_address_is_what_runs(machine: Machine) -> None:
    for value in (1, 2, 0xFFFF):
        installed = machine.install(constant(value), CODE_BASE + 64)
        for _ in range(3):
            machine.run(installed.entry)
            assert machine.results[0] == value
        machine.remove(installed)
        stop = machine.run(installed.entry)
        assert (stop.reason, stop.pc) == (Reason.TRAPPED, CODE_BASE + 64)


def test_code_that_called_the_old_code_calls_the_new(machine: Machine) -> None:
    """A translation that was linked to one that is gone must not jump there."""
    called = CODE_BASE + 0x1000
    calling = code(push([4, 14]), *load_constant(4, called | 1), 0x4780 | 4 << 3, pop([4, 15]))
    caller = machine.install(calling, CODE_BASE)
    for value in range(1, 20):
        installed = machine.install(constant(value), called)
        for _ in range(5):
            machine.run(caller.entry)
            assert machine.results[0] == value
        machine.remove(installed)


LOAD, STORE = access(Access.LDR, 0, 1, 0), access(Access.STR, 0, 1, 0)
RODATA_END, DATA_END = RODATA_BASE + PAGE, DATA_BASE + PAGE
OUTSIDE: dict[str, tuple[int, int, str]] = {
    "load at zero": (LOAD, 0, "load"),
    "store at zero": (STORE, 0, "store"),
    "below the data": (STORE, DATA_BASE - 4, "store"),
    "behind the data": (LOAD, DATA_END, "load"),
    "store to read-only data": (STORE, RODATA_BASE, "store"),
    "store to code": (STORE, CODE_BASE, "store"),
    "store to the dispatcher": (STORE, DISPATCHER, "store"),
    "below the native stack": (STORE, STACK_BASE - 4, "store"),
    "behind the mailbox": (LOAD, MAILBOX + PAGE, "load"),
    "below the code": (LOAD, CODE_BASE - 4, "load"),
    "behind the code": (LOAD, CODE_BASE + CODE_SIZE, "load"),
    "behind the dispatcher": (LOAD, DISPATCHER + PAGE, "load"),
    "a system register": (LOAD, 0xE000ED00, "load"),
    "the top": (LOAD, 0xFFFFFFFC, "load"),
}


def give_memory(machine: Machine) -> tuple[SharedBuffer, SharedBuffer]:
    rodata, data = SharedBuffer(16), SharedBuffer(16)
    machine.map(RODATA_BASE, rodata, writable=False)
    machine.map(DATA_BASE, data, writable=True)
    return rodata, data


@pytest.mark.parametrize(("instruction", "address", "kind"), OUTSIDE.values(), ids=OUTSIDE)
def test_guard_pages(machine: Machine, instruction: int, address: int, kind: str) -> None:
    give_memory(machine)
    installed = machine.install(code(NOP, instruction, RETURN), CODE_BASE)
    stop = machine.run(installed.entry, 0xAB, address)
    assert (stop.reason, stop.pc, stop.address) == (Reason.MEMORY, CODE_BASE + 2, address)
    assert (stop.size, stop.access, stop.registers[:2]) == (4, kind, (0xAB, address))


def test_guest_memory_is_shared(machine: Machine) -> None:
    rodata, data = give_memory(machine)
    rodata.data[:4] = b"\x2a\0\0\0"
    copy = code(access(Access.LDR, 2, 0, 0), access(Access.STR, 2, 1, 0), RETURN)
    installed = machine.install(copy, CODE_BASE)
    assert machine.run(installed.entry, RODATA_BASE, DATA_BASE + 4).reason is Reason.RETURNED
    assert bytes(data.data[:8]) == b"\0\0\0\0\x2a\0\0\0"
    machine.unmap(DATA_BASE)
    assert machine.run(installed.entry, RODATA_BASE, DATA_BASE + 4).address == DATA_BASE + 4
    other = SharedBuffer(8)
    machine.map(DATA_BASE, other, writable=True)
    machine.run(installed.entry, RODATA_BASE, DATA_BASE)
    assert (bytes(other.data), bytes(data.data[:4])) == (b"\x2a\0\0\0\0\0\0\0", b"\0\0\0\0")


JUMPS = {
    "zero": 0,
    "unmapped": 0x30000000,
    "data": DATA_BASE,
    "the mailbox": MAILBOX,
    "peripherals": 0x40000000,
}


@pytest.mark.parametrize("address", JUMPS.values(), ids=JUMPS)
def test_jumps_to_where_no_code_is(machine: Machine, address: int) -> None:
    _, data = give_memory(machine)
    data.data[:2] = code(RETURN)
    installed = machine.install(code(bx(0)), CODE_BASE)
    stop = machine.run(installed.entry, address | 1)
    assert (stop.reason, stop.access, stop.pc) == (Reason.MEMORY, "fetch", address)


TRAPS: dict[str, tuple[int, ...]] = {
    "udf": (udf(7),),
    "bkpt": (0xBE00,),
    "undefined": (0xFFFFFFFF,),
    "wfi": (0xBF30,),
}


@pytest.mark.parametrize("instructions", TRAPS.values(), ids=TRAPS)
def test_traps(machine: Machine, instructions: tuple[int, ...]) -> None:
    installed = machine.install(code(NOP, *instructions, RETURN), CODE_BASE)
    stop = machine.run(installed.entry)
    assert stop.reason is Reason.TRAPPED
    assert stop.pc - CODE_BASE in (2, 4)
    good = machine.install(constant(3), CODE_BASE + 0x100)
    assert machine.run(good.entry).reason is Reason.RETURNED


def test_a_fault_inside_an_it_block_leaves_nothing_behind(machine: Machine) -> None:
    asm = Assembler()
    asm.emit(*load_constant(0, 0), compare_imm(Compare.CMP, 0, 0))
    asm.if_then(Cond.EQ, [LOAD], [NOP, NOP, NOP])
    bad = machine.install(asm.finish().text, CODE_BASE)
    good = machine.install(code(RETURN), CODE_BASE + 0x100)
    for number in range(3):
        assert machine.run(bad.entry, 0, 0).reason is Reason.MEMORY
        assert machine.run(good.entry, 77, 78, number).reason is Reason.RETURNED
        assert machine.results == (77, 78, number)


def test_the_calling_convention_can_be_checked(machine: Machine) -> None:
    values = {register: 0xC0DE0000 + register for register in range(4, 12)}
    machine.set_registers(values)
    polite = code(
        push([*range(4, 12), 14]), *load_constant(4, 1), *load_constant(11, 1), pop([*range(4, 12), 15])
    )
    rude = code(alu_imm(Alu.ADD, 5, 5, 1), alu_imm(Alu.SUB, R.SP, R.SP, 8), RETURN)
    assert machine.run(machine.install(polite, CODE_BASE).entry).reason is Reason.RETURNED
    after = machine.registers()
    assert ({n: after[n] for n in values}, after[R.SP]) == (values, MAILBOX)
    assert machine.run(machine.install(rude, CODE_BASE + 0x100).entry).reason is Reason.RETURNED
    after = machine.registers()
    assert (after[5], after[R.SP]) == (0xC0DE0006, MAILBOX - 8)


def test_many_rounds_in_one_run(machine: Machine) -> None:
    installed = machine.install(code(alu_imm(Alu.ADD, 0, 0, 1), RETURN), CODE_BASE)
    results: list[int] = []

    def again() -> bool:
        results.append(machine.results[0])
        machine.mailbox[4] = 10 * machine.results[0]
        return len(results) < 4

    assert machine.run(installed.entry, 1, again=again).reason is Reason.RETURNED
    assert results == [2, 21, 211, 2111]


def test_more_code_than_the_translation_buffer_holds(machine: Machine) -> None:
    blocks = 60_000
    asm = Assembler()
    for _ in range(blocks):
        over = asm.label()
        asm.emit(alu_imm(Alu.ADD, 0, 0, 1))
        asm.jump_if(Cond.NE, over)
        asm.emit(udf(0))
        asm.bind(over)
    asm.emit(RETURN)
    installed = machine.install(asm.finish().text, CODE_BASE)
    for _ in range(2):
        assert machine.run(installed.entry, 0).reason is Reason.RETURNED
        assert machine.results[0] == blocks


def test_killed_while_it_spins(machine: Machine) -> None:
    killed = threading.Event()
    installed = machine.install(spinning(), CODE_BASE)
    times: list[float] = []

    def kill() -> None:
        time.sleep(0.05)
        times.append(time.monotonic())
        killed.set()

    thread = Thread(target=kill)
    thread.start()
    stop = machine.run(installed.entry, should_stop=killed.is_set)
    ended = time.monotonic()
    thread.join()
    assert stop.reason is Reason.KILLED
    assert CODE_BASE <= stop.pc < CODE_BASE + installed.size
    assert ended - times[0] < 1  # 0.1 s on an idle machine, benchmarks/jit_machine.py
    good = machine.install(constant(5), CODE_BASE + 0x100)
    assert machine.run(good.entry).reason is Reason.RETURNED


def test_killed_before_it_starts(machine: Machine) -> None:
    installed = machine.install(marking(), CODE_BASE)
    machine.mailbox[FREE] = 0
    assert machine.run(installed.entry, should_stop=lambda: True).reason is Reason.KILLED
    assert machine.mailbox[FREE] == 0


def test_killed_between_the_question_and_the_start(machine: Machine) -> None:
    """The first answer is no; from then on it is yes, and no single stop may be lost."""
    installed = machine.install(spinning(), CODE_BASE)
    for _ in range(20):
        stop = machine.run(installed.entry, should_stop=partial(next, iter([False]), True))
        assert stop.reason is Reason.KILLED


def test_an_error_in_the_question_is_raised(machine: Machine) -> None:
    installed = machine.install(spinning(), CODE_BASE)
    answers = iter([False])

    def ask() -> bool:
        for answer in answers:
            return answer
        raise ArithmeticError("asked")

    with pytest.raises(ArithmeticError, match="asked"):
        machine.run(installed.entry, should_stop=ask)


def test_stops_that_come_late_harm_nothing() -> None:
    """A watchdog that stops all the time: each run ends as told or returned, and never otherwise."""
    dog = Watchdog(poll_s=0.0)
    machine = Machine(dog)
    installed = machine.install(counting(20_000), CODE_BASE)
    reasons = set()
    for index in range(300):
        due = iter([False] * (index % 9))
        stop = machine.run(installed.entry, should_stop=partial(next, due, True))
        reasons.add(stop.reason)
        calm = machine.run(installed.entry)
        assert (calm.reason, machine.results[0]) == (Reason.RETURNED, 20_000)
    assert reasons <= {Reason.KILLED, Reason.RETURNED}
    assert Reason.KILLED in reasons
    machine.close()
    dog.close()


def test_a_stop_never_meets_the_next_run(machine: Machine) -> None:
    """The question is still being answered when its run returns; the answer must not end another one."""
    short = machine.install(counting(10_000_000), CODE_BASE)
    long = machine.install(counting(60_000_000), CODE_BASE + 0x100)
    asked = iter([False])

    def slow() -> bool:
        if next(asked, True):
            time.sleep(0.15)
            return True
        return False

    assert machine.run(short.entry, should_stop=slow).reason in (Reason.RETURNED, Reason.KILLED)
    assert machine.run(long.entry).reason is Reason.RETURNED


def in_threads(count: int, work: Callable[[int], None]) -> None:
    errors: list[BaseException] = []

    def run(index: int) -> None:
        try:
            work(index)
        except BaseException as error:  # noqa: BLE001 - asserted below
            errors.append(error)

    threads = [Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_two_machines_run_at_the_same_time(watchdog: Watchdog) -> None:
    """Each waits, in a busy loop of its own guest code, for what the other one writes."""
    shared = SharedBuffer(8)
    ready = Barrier(2)

    def work(index: int) -> None:
        own, other = 4 * index, 4 - 4 * index
        machine = Machine(watchdog)
        machine.map(DATA_BASE, shared, writable=True)
        asm = Assembler()
        asm.emit(*load_constant(0, DATA_BASE), *load_constant(1, 1), access(Access.STR, 1, 0, own))
        loop = asm.here()
        asm.emit(access(Access.LDR, 2, 0, other))
        asm.jump_if_zero(2, loop)
        asm.emit(RETURN)
        installed = machine.install(asm.finish().text, CODE_BASE)
        ready.wait(10)
        end = time.monotonic() + 20
        stop = machine.run(installed.entry, should_stop=lambda: time.monotonic() > end)
        assert stop.reason is Reason.RETURNED
        machine.close()

    in_threads(2, work)


def test_python_goes_on_while_code_runs(machine: Machine) -> None:
    """The interpreter lock is released: another thread counts while this one is inside the machine."""
    installed = machine.install(spinning(), CODE_BASE)
    counted: list[int] = []
    answers = iter(range(15))

    def count() -> None:
        for n in range(20):
            counted.append(n)
            time.sleep(0.001)

    thread = Thread(target=count)
    thread.start()
    assert (
        machine.run(installed.entry, should_stop=lambda: next(answers, None) is None).reason is Reason.KILLED
    )
    assert len(counted) > 5
    thread.join()


def use_from_another_thread(machine: Machine) -> None:
    errors: list[MachineError] = []

    def run() -> None:
        try:
            machine.run(CODE_BASE)
        except MachineError as error:
            errors.append(error)

    thread = Thread(target=run)
    thread.start()
    thread.join()
    raise errors[0]


def remove_twice(machine: Machine) -> None:
    installed = machine.install(bytes(4), CODE_BASE)
    machine.remove(installed)
    machine.remove(installed)


MISUSES: dict[str, Callable[[Machine], object]] = {
    "no code": lambda machine: machine.install(b"", CODE_BASE),
    "unaligned code": lambda machine: machine.install(code(RETURN), CODE_BASE + 2),
    "code below": lambda machine: machine.install(code(RETURN), CODE_BASE - 4),
    "code beyond": lambda machine: machine.install(bytes(8), CODE_BASE + CODE_SIZE - 4),
    "code over code": lambda machine: [machine.install(bytes(8), CODE_BASE + 4 * n) for n in range(2)],
    "memory over memory": lambda machine: [give_memory(machine) for _ in range(2)],
    "memory over the mailbox": lambda machine: machine.map(MAILBOX, SharedBuffer(4), writable=True),
    "memory up to the code": lambda machine: machine.map(
        CODE_BASE - PAGE, SharedBuffer(PAGE + 1), writable=True
    ),
    "memory at half a page": lambda machine: machine.map(DATA_BASE + 512, SharedBuffer(4), writable=True),
    "memory of nothing": lambda _: SharedBuffer(0),
    "unmapping what is not there": lambda machine: machine.unmap(DATA_BASE),
    "unmapping the code": lambda machine: machine.unmap(CODE_BASE),
    "removing twice": remove_twice,
    "another thread": use_from_another_thread,
}


@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES)
def test_misuse(machine: Machine, misuse: Callable[[Machine], object]) -> None:
    with pytest.raises(MachineError):
        misuse(machine)


def test_a_closed_machine(watchdog: Watchdog) -> None:
    machine = Machine(watchdog)
    machine.close()
    with pytest.raises(MachineError, match="closed"):
        machine.run(CODE_BASE)
