"""What a device costs beside a plain aiocoap server: requests per second, start, memory.

    .venv/bin/python benchmarks/coap_throughput.py [--rounds 5] [--requests 4000] [--devices 100] [-o json]

Starts a device and an aiocoap server whose only resource answers the same bytes, and asks both for
GET /device in turn, with the same confirmable datagrams from a plain socket, so that the client costs next to
nothing. `cpu` is what the server's process spent per request; the goal is at most 1.25 of aiocoap's. Then it
starts processes until they say that they are ready, and reads how much memory they have by then.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiocoap import Code, Message
from aiocoap.numbers.types import Type

from device.transport import free_port

BIN = Path(sys.executable).parent
WINDOW = 32
PATIENCE_S = 5.0
UPTIME_GROWS = 8
"""Bytes by which two answers of a device may differ."""

PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
TICK_S = 1 / os.sysconf("SC_CLK_TCK")

PLAIN = """
import asyncio, sys
from aiocoap import Context, Message
from aiocoap.resource import Resource, Site

class Device(Resource):
    async def render_get(self, request):
        return Message(payload=bytes.fromhex(sys.argv[2]), content_format=60)

async def main():
    site = Site()
    site.add_resource(["device"], Device())
    context = await Context.create_server_context(site, ("::", int(sys.argv[1])), transports=["udp6"])
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def environment() -> dict[str, str]:
    """Ours without what would configure a device."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MICROBPF_")}


@contextmanager
def started(command: list[str], lines: int = 1) -> Iterator[tuple[int, float]]:
    """A process from its start to its end: its id, and the seconds until it had said `lines` lines."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment())
    assert process.stdout is not None
    try:
        for _ in range(lines):
            if not process.stdout.readline():
                raise SystemExit(f"did not start: {' '.join(command[:3])}")
        yield process.pid, time.perf_counter() - begin
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


def device(*options: str) -> list[str]:
    """The command line of a device without anything to remember or register with."""
    return [str(BIN / "device"), *options]


def plain(port: int, payload: bytes) -> list[str]:
    """The command line of the aiocoap server."""
    return [sys.executable, "-c", PLAIN, str(port), payload.hex()]


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has had, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KB / 1024


def datagram(number: int) -> bytes:
    """GET /device, confirmable, with `number` as message id and token."""
    message = Message(
        code=Code.GET, uri_path=["device"], _mtype=Type.CON, _mid=number, _token=number.to_bytes(2, "big")
    )
    message.direction = type(message.direction).OUTGOING
    encoded: bytes = message.encode()
    return encoded


def ask(port: int, requests: list[bytes]) -> tuple[float, bytes]:
    """Send them all, WINDOW in flight; the seconds that took, and the last answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        sending.connect(("127.0.0.1", port))
        sending.settimeout(PATIENCE_S)
        begin = time.perf_counter()
        for request in requests[:WINDOW]:
            sending.send(request)
        answer = b""
        for index in range(len(requests)):
            answer = sending.recv(2048)
            if index + WINDOW < len(requests):
                sending.send(requests[index + WINDOW])
        return time.perf_counter() - begin, answer


def payload_of(answer: bytes) -> bytes:
    """The content of an answer. Ends the program when it is no 2.05."""
    message = Message.decode(answer)
    if message.code != Code.CONTENT:
        raise SystemExit(f"GET /device answered {message.code}")
    return bytes(message.payload)


def throughput(rounds: int, count: int) -> dict[str, dict[str, float]]:
    """Requests per second and processor time per request, device and aiocoap in turn."""
    requests = [datagram(number) for number in range(1, count + 1)]
    ports = {"aiocoap": free_port(), "device": free_port()}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ports}
    with started(device("--port", str(ports["device"]))) as (own, _):
        payload = payload_of(ask(ports["device"], requests[:1])[1])
        with started(plain(ports["aiocoap"], payload)) as (other, _):
            pids = {"aiocoap": other, "device": own}
            for turn in range(rounds + 1):
                for name, port in ports.items():
                    before = cpu_s(pids[name])
                    seconds, answer = ask(port, requests)
                    if abs(len(payload_of(answer)) - len(payload)) > UPTIME_GROWS:
                        raise SystemExit("the two servers do not answer the same")
                    if turn:  # the first warms up
                        spent = (cpu_s(pids[name]) - before) / count
                        found[name].append((count / seconds, spent * 1e6))
    return {
        name: {
            "requests_per_s": statistics.median(rate for rate, _ in times),
            "cpu_us": statistics.median(cpu for _, cpu in times),
        }
        for name, times in found.items()
    }


def starts(rounds: int, devices: int) -> dict[str, dict[str, float]]:
    """Seconds until ready and resident memory: an interpreter, aiocoap, one device, many devices."""
    commands: dict[str, Callable[[], tuple[list[str], int]]] = {
        "python": lambda: ([sys.executable, "-c", "print(flush=True); input()"], 1),
        "aiocoap": lambda: (plain(free_port(), b""), 1),
        "device": lambda: (device("--port", "0"), 1),
        f"device --count {devices}": lambda: (device("--port", "0", "--count", str(devices)), devices),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            with started(*command()) as (pid, seconds):
                found[name].append((seconds, resident_mb(pid)))
    return {
        name: {
            "ready_s": statistics.median(seconds for seconds, _ in runs),
            "resident_mb": statistics.median(megabytes for _, megabytes in runs),
        }
        for name, runs in found.items()
    }


def show(result: dict[str, Any]) -> None:
    """The tables."""
    print(f"{'GET /device':<20} {'requests/s':>10} {'cpu µs':>8}")
    for name, row in result["throughput"].items():
        print(f"{name:<20} {row['requests_per_s']:>10.0f} {row['cpu_us']:>8.0f}")
    print(f"{'ratio':<20} {result['requests_ratio']:>10.2f} {result['cpu_ratio']:>8.2f}\n")
    print(f"{'start':<20} {'ready ms':>10} {'MB':>8}")
    for name, row in result["start"].items():
        print(f"{name:<20} {row['ready_s'] * 1000:>10.0f} {row['resident_mb']:>8.1f}")


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=4000, help="in a round, at most 60000")
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("-o", dest="output", choices=["table", "json"], default="table")
    asked = parser.parse_args()
    served = throughput(asked.rounds, min(asked.requests, 60_000))
    result = {
        "throughput": served,
        "requests_ratio": served["device"]["requests_per_s"] / served["aiocoap"]["requests_per_s"],
        "cpu_ratio": served["device"]["cpu_us"] / served["aiocoap"]["cpu_us"],
        "start": starts(asked.rounds, asked.devices),
    }
    if asked.output == "json":
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main()
