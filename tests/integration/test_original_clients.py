"""A device as command-line clients of others use it: aiocoap's, and libcoap's where it is installed."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from device.vm.layouts.convert import Wish, convert
from device.vm.program import Layout
from tests.device_bench import OBJECTS, Bench, device, example

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
    return (said + complained).decode()


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
