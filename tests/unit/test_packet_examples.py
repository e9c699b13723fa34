"""The examples that answer packets, each with a packet, on every engine (programs.md section 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from client.examples import load
from device.engines import ENGINES
from device.errors import MicroBpfError
from device.storage.stores import MemoryStore
from device.vm import loader, writer
from device.vm.helpers import HELPERS, Services
from device.vm.memory import CONTEXT_BASE
from device.vm.packet import Packet, PacketReply, PacketRequest
from device.vm.profiles import FEMTO, UBPF, Profile
from device.vm.program import Engine
from device.vm.setup import set_up
from tests.unit.helper_bench import Bench

EXAMPLES = load()
ASKED = PacketRequest(True, 0x1234, b"tt", 0x01, ((11, b"app"), (11, b"weather")))
TEXT, AS_JSON = (12, b""), (12, b"\x32")

CASES = [
    pytest.param("gcoap_response_format", {}, TEXT, b'{"temperature": -12.3}\0', id="fixed"),
    pytest.param(
        "gcoap_temperature", dict.fromkeys(range(10), 239), AS_JSON, b'{"temperature": 23.9}\0', id="mean"
    ),
    pytest.param(
        "gcoap_temperature_humidity",
        {0: 234, 1: 456},
        AS_JSON,
        b'{"temperature": 23.4, "humidity": 45.6}\0',
        id="two",
    ),
    pytest.param(
        "gcoap_sound_light",
        {4: 53, 5: 49},
        AS_JSON,
        b'{"light_intensity": 53, "sound_volume": 49}\0',
        id="whole numbers",
    ),
    pytest.param("gcoap_hello", {}, None, b"hello", id="bytes written directly"),
]


def answer(
    name: str, engine: Engine, profile: Profile, stored: Mapping[int, int], local: MemoryStore
) -> tuple[int, PacketReply]:
    """r0 and the reply of a program to ASKED."""
    program = loader.load(writer.strip_object(EXAMPLES[name].object.read_bytes()))
    packet, shared = Packet(ASKED, token_first=profile.token_first), MemoryStore()
    shared.update(dict(stored))
    services: Services = replace(Bench().services, local=local, shared=shared, packet=packet)
    run = set_up(program, program.fresh_data(), services, HELPERS)
    assert (run.r1, run.r2) == (CONTEXT_BASE, 24)
    outcome = engine.run(program, run)
    assert outcome.fault is None, outcome.fault
    assert outcome.r0 is not None
    return outcome.r0, packet.reply(outcome.r0)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize(("name", "stored", "option", "payload"), CASES)
def test_reply(
    name: str, stored: dict[int, int], option: tuple[int, bytes] | None, payload: bytes, engine: Engine
) -> None:
    r0, reply = answer(name, engine, UBPF, stored, MemoryStore())
    options = () if option is None else (option,)
    assert reply == PacketReply(0x45, options, payload)
    assert r0 == 4 + 2 + sum(1 + len(value) for _, value in options) + 1 + len(payload)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_the_local_store_counts(engine: Engine) -> None:
    local = MemoryStore()
    for _ in range(3):
        answer("gcoap_hello", engine, UBPF, {}, local)
    assert local.entries() == {1: 3}


def test_a_program_for_another_order_of_the_view_answers_rubbish() -> None:
    """What is compiled for µBPF's view takes the token's address for the payload's under Femto-Containers."""
    with pytest.raises(MicroBpfError, match="makes no reply"):
        answer("gcoap_hello", ENGINES["switch"], FEMTO, {}, MemoryStore())
