"""A device as command-line clients of others use it: aiocoap's, and libcoap's where it is installed."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import product
from pathlib import Path

import pytest
from aiocoap import Code

from device.vm.layouts.convert import Wish, convert
from device.vm.program import Layout
from tests.device_bench import OBJECTS, Bench, device, eventually, example

AIOCOAP = str(Path(sys.executable).with_name("aiocoap-client"))
LIBCOAP = shutil.which("coap-client-notls") or shutil.which("coap-client")

Command = Callable[[str, str, str | None], Sequence[str]]
"""The command for a method, a URL and a payload."""


def aiocoap(method: str, url: str, payload: str | None) -> Sequence[str]:
    sent = [] if payload is None else ["--payload", payload]
    return [AIOCOAP, "-q", "-m", method, *sent, url]


def libcoap(method: str, url: str, payload: str | None) -> Sequence[str]:
    sent = [] if payload is None else ["-e", payload]
    return [LIBCOAP or "", "-m", method.lower(), "-B", "5", *sent, url]


CLIENTS = [
    pytest.param(aiocoap, id="aiocoap"),
    pytest.param(libcoap, id="libcoap", marks=pytest.mark.skipif(LIBCOAP is None, reason="no coap-client")),
]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with device(slots=4) as bench:
        await bench.install(
            0, convert((OBJECTS / "bpf_fmt_s16_dfp.o").read_bytes(), Wish(Layout.FEMTO)).image
        )
        await bench.install(1, example("gcoap_response_format"))
        yield bench


async def run(command: Sequence[str]) -> str:
    """What it says."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await asyncio.wait_for(process.communicate(), 30)
    return (said + complained).decode(errors="replace")


ASKED = [
    pytest.param("GET", "/.well-known/core", None, "</slots/1/packet>", id="discover"),
    pytest.param("GET", "/riot/board", None, "native", id="read"),
    pytest.param("POST", "/short-execution", "00210150", '{"result": 5}', id="run-fc"),
    pytest.param("POST", "/short-execution", "04200150", '{"result": 5}', id="run-jit"),
    pytest.param(
        "POST", "/with_coap_pkt", "01e2" + "0102404142" + "50", '{"temperature": -12.3}', id="packet"
    ),
    pytest.param("POST", "/long-running", "00210150", "VM Execution request sent successfully!", id="job"),
    pytest.param("GET", "/running_vm", None, "[false, false, false, false]", id="workers"),
    pytest.param("POST", "/console/write", "hello", "Success", id="console"),
    pytest.param("GET", "/slots/1/packet", None, '{"temperature": -12.3}', id="our-packet"),
    pytest.param("POST", "/short-execution", "f0210150", "bits 12 to 15 must be 0", id="malformed"),
]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("method", "path", "payload", "said"), ASKED)
async def test_answers(
    bench: Bench, client: Command, method: str, path: str, payload: str | None, said: str
) -> None:
    assert said in await run(client(method, bench.url + path, payload))


@pytest.mark.skipif(LIBCOAP is None, reason="no coap-client")
async def test_observers_see_a_run_and_a_change_of_the_board(bench: Bench) -> None:
    """With libcoap's client: aiocoap's ends its own observation with the first answer (0.4.17)."""
    for path, change, seen in (
        ("/slots/0", bench.execute(), b'"runs":1'),
        ("/board", bench.ask(Code.PUT, "/board", {"pins": {"C13": 1}}), b'"name":"C13"'),
    ):
        process = await asyncio.create_subprocess_exec(
            *(LIBCOAP or "", "-s", "60", "-A", "50", bench.url + path),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await eventually(lambda: bench.node._context.serversite.transfers.observers, 20)
            await change
            assert process.stdout is not None
            said = b""
            async with asyncio.timeout(20):
                while seen not in said and (more := await process.stdout.read(4096)):
                    said += more
        finally:
            process.kill()
            await process.wait()
        assert seen in said, said


@pytest.mark.skipif(LIBCOAP is None, reason="no coap-client")
async def test_everything_that_is_listed_can_be_read(bench: Bench) -> None:
    """Whoever has only discovered a path gets its content, or is told that it is for another method."""
    links = re.findall(r"<(/[^>]*)>", await run(libcoap("GET", f"{bench.url}/.well-known/core", None)))
    assert {"/device", "/slots/3", "/saul/7", "/board", "/bpf/exec/0", "/suit/status"} <= set(links)
    for path in links:
        said = await run(libcoap("GET", bench.url + path, None))
        assert said.strip(), path
        assert "5.0" not in said or path.endswith("/packet"), (path, said)


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_trigger_is_answered(bench: Bench, client: Command) -> None:
    said = await run(client("POST", f"{bench.url}/suit/trigger", "coap://127.0.0.1:9/manifest"))
    assert "URI_FORBIDDEN" in said


# What µBPF's tool says of a request: options in the order of its word, then two digits for each helper.
LAYOUTS = ("OnlyTextSection", "FemtoContainersHeader", "ExtendedHeader", "RawObjectFile")
TARGETS = ("rBPF", "FemtoContainer")
POINTS = ("AheadOfTime", "LoadTime", "PreFlight", "Runtime")
SOURCES = ("ExecuteRequest", "BinaryMetadata")
ENGINES = ((0, 0), (1, 0), (1, 1))
MODELS = {
    "ShortLived": "/short-execution",
    "WithAccessToCoapPacket": "/with_coap_pkt",
    "LongRunning": "/long-running",
    "benchmark ShortLived": "/benchmark/short-execution",
    "benchmark WithAccessToCoapPacket": "/benchmark/with_coap_pkt",
}
NAMED = (0x01, 0x50)


def payload_of(slot: int, layout: int, target: int, point: int, source: int, jit: tuple[int, int]) -> str:
    word = target | slot << 1 | layout << 5 | point << 7 | source << 9 | jit[0] << 10 | jit[1] << 11
    return f"{word:04x}" + "".join(f"{helper:02x}" for helper in NAMED)


EVERY = list(product(range(4), range(2), range(4), range(2), ENGINES, MODELS))
"""960 requests."""


@pytest.fixture
async def layouts() -> AsyncIterator[Bench]:
    """The same program in the four layouts, in slots 0 to 3."""
    async with device(slots=4) as bench:
        source = (OBJECTS / "bpf_fmt_s16_dfp.o").read_bytes()
        for slot, layout in enumerate((Layout.TEXT, Layout.FEMTO, Layout.EXTENDED, Layout.ELF)):
            await bench.install(slot, convert(source, Wish(layout)).image)
        yield bench


async def tool(
    bench: Bench, layout: int, target: int, point: int, source: int, jit: object, model: str
) -> None:
    """One request as the tool makes it: it takes what is on stdout, and any word on stderr for a failure."""
    assert isinstance(jit, tuple)
    payload = payload_of(layout, layout, target, point, source, jit)
    url = f"{bench.url}{MODELS[model]}"
    process = await asyncio.create_subprocess_exec(
        *(AIOCOAP, "-m", "POST", url, "--payload", payload),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, failed = (part.decode() for part in await asyncio.wait_for(process.communicate(), 30))
    what = (payload, model, said, failed)
    if source and LAYOUTS[layout] != "ExtendedHeader":
        assert failed.endswith("malformed: helper list in the image needs layout ExtendedHeader"), what
    elif target and not jit[0] and LAYOUTS[layout] != "FemtoContainersHeader":
        assert failed.endswith("malformed: the Femto-Container VM needs its own layout"), what
    elif "Packet" in model:
        assert "bad-reply: " in failed, what  # it answers no packets, and says so
    elif model == "LongRunning":
        assert (said, failed) == ("VM Execution request sent successfully!", ""), what
        while "true" in (await bench.get("/running_vm")).value:  # noqa: ASYNC110  # as whoever polls it
            await asyncio.sleep(0.01)
    else:
        assert failed == "", what
        assert re.search(r'"result": 5\}$', said), what


async def test_what_the_original_tool_sends(layouts: Bench) -> None:
    """A sample, as each takes a process; `-m nightly` sends them all."""
    for case in EVERY[3::53]:
        await tool(layouts, *case)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
async def test_all_that_the_original_tool_sends(layouts: Bench) -> None:
    for case in EVERY:
        await tool(layouts, *case)
