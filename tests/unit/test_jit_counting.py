"""Counted runs, and the table of cycles."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from device.jit.assembler import Assembler
from device.jit.counting import CountingMachine
from device.jit.cycles import TAKEN, costs
from device.jit.encoder import (
    NOP,
    Access,
    Alu,
    Cond,
    Flags,
    Long,
    R,
    access,
    access_register,
    alu,
    alu_imm,
    bx,
    from_single,
    load_constant,
    load_literal,
    load_many,
    long_mul,
    mla,
    mls,
    mov,
    mul,
    pop,
    push,
    sdiv,
    store_many,
    svc,
    udiv,
)
from device.jit.layout import CODE_BASE, REQUEST
from device.jit.stop import Reason
from device.jit.watchdog import Watchdog
from tests.unit.jit_listing import to_bytes


@pytest.fixture
def machine() -> Iterator[CountingMachine]:
    watchdog = Watchdog()
    machine = CountingMachine(watchdog)
    yield machine
    machine.close()
    watchdog.close()


COSTS = [
    pytest.param(NOP, 1, id="nop"),
    pytest.param(mov(R.R0, R.R1), 1, id="mov"),
    pytest.param(alu(Alu.ADD, R.R0, R.R1, R.R2, Flags.SET), 1, id="adds"),
    pytest.param(alu(Alu.EOR, R.R10, R.R1, R.R2), 1, id="eor, wide"),
    pytest.param(alu_imm(Alu.ADD, R.R9, R.R9, 200), 1, id="add of a constant, wide"),
    pytest.param(mul(R.R9, R.R1, R.R2), 1, id="mul"),
    pytest.param(mla(R.R0, R.R1, R.R2, R.R3), 2, id="mla"),
    pytest.param(mls(R.R0, R.R1, R.R2, R.R3), 2, id="mls"),
    pytest.param(long_mul(Long.UMULL, R.R0, R.R1, R.R2, R.R3), 1, id="umull"),
    pytest.param(udiv(R.R0, R.R1, R.R2), 7, id="udiv"),
    pytest.param(sdiv(R.R0, R.R1, R.R2), 7, id="sdiv"),
    pytest.param(access(Access.LDR, R.R0, R.R1, 4), 2, id="ldr"),
    pytest.param(access(Access.LDRB, R.R0, R.R1, 4), 2, id="ldrb"),
    pytest.param(access(Access.LDRH, R.R0, R.R1, 4), 2, id="ldrh"),
    pytest.param(access(Access.LDR, R.R0, R.SP, 4), 2, id="ldr from the stack"),
    pytest.param(access(Access.LDR, R.R0, R.R1, 400), 2, id="ldr, wide"),
    pytest.param(access(Access.LDRSB, R.R0, R.R1, 400), 2, id="ldrsb, wide"),
    pytest.param(access_register(Access.LDRSH, R.R0, R.R1, R.R2), 2, id="ldrsh by register"),
    pytest.param(access_register(Access.LDRSB, R.R0, R.R1, R.R2), 2, id="ldrsb by register"),
    pytest.param(access_register(Access.LDR, R.R0, R.R1, R.R2, 2), 2, id="ldr by register, wide"),
    pytest.param(load_literal(Access.LDR, R.R0, 8, narrow=True), 2, id="ldr of a literal"),
    pytest.param(access(Access.STR, R.R0, R.R1, 4), 1, id="str"),
    pytest.param(access(Access.STRB, R.R0, R.R1, 4), 1, id="strb"),
    pytest.param(access(Access.STRH, R.R0, R.R1, 4), 1, id="strh"),
    pytest.param(access(Access.STR, R.R0, R.SP, 4), 1, id="str to the stack"),
    pytest.param(access(Access.STRH, R.R0, R.R1, 400), 1, id="strh, wide"),
    pytest.param(access_register(Access.STRB, R.R0, R.R1, R.R2), 1, id="strb by register"),
    pytest.param(push([R.R4, R.R5, R.LR]), 4, id="push"),
    pytest.param(push([R.R4, R.R8, R.LR]), 4, id="push, wide"),
    pytest.param(pop([R.R4, R.R5, R.PC]), 4, id="pop"),
    pytest.param(load_many(R.R0, [R.R1, R.R2]), 3, id="ldm"),
    pytest.param(store_many(R.R9, [R.R1, R.R2, R.R3]), 4, id="stm, wide"),
    pytest.param(from_single(R.R0, 3), 1, id="vmov"),
    pytest.param(svc(0), 1, id="svc"),
    pytest.param(0xE8DFF003, 2, id="tbb"),
    pytest.param(0xE9D10102, 3, id="ldrd"),
    pytest.param(0xE9C10102, 3, id="strd"),
]


@pytest.mark.parametrize(("encoding", "cycles"), COSTS)
def test_cycles_of_an_instruction(encoding: int, cycles: int) -> None:
    assert list(costs(to_bytes(encoding))) == [cycles]


def test_a_loop_is_counted(machine: CountingMachine) -> None:
    asm = Assembler()
    asm.emit(*load_constant(R.R0, 10))
    loop = asm.here()
    asm.emit(udiv(R.R1, R.R0, R.R0), alu_imm(Alu.SUB, R.R0, R.R0, 1, Flags.SET))
    asm.jump_if(Cond.NE, loop)
    asm.emit(bx(R.LR))
    installed = machine.install(asm.finish().text, CODE_BASE)
    machine.run(installed.entry)
    executed = machine.executed()
    assert executed.instructions == 1 + 10 * 3 + 1
    assert executed.taken == 9 + 1, "and the call that led there"
    assert executed.cycles == 1 + 10 * (7 + 1 + 1) + 1 + 10 * TAKEN
    machine.run(installed.entry)
    assert machine.executed().instructions == 2 * executed.instructions
    machine.forget()
    machine.run(installed.entry)
    assert machine.executed() == executed


def test_what_follows_a_request_is_no_taken_branch(machine: CountingMachine) -> None:
    asm = Assembler()
    asm.emit(*load_constant(R.R0, 5), access(Access.STR, R.R0, R.SP, 4 * REQUEST), svc(0), bx(R.LR))
    installed = machine.install(asm.finish().text, CODE_BASE)
    asked: list[int] = []
    assert machine.run(installed.entry, service=asked.append).reason is Reason.RETURNED
    assert asked == [5]
    executed = machine.executed()
    assert (executed.instructions, executed.taken, len(executed.blocks)) == (4, 1, 2)
