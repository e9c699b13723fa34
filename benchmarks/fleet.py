"""A fleet in one process: how long 100 devices take to start, and to be deployed to and run with one command.

    .venv/bin/python benchmarks/fleet.py [--devices 100] [--rounds 3] [-o json]

Starts a file server and one process with all devices, waits until all of them are in the directory, and then
runs `client deploy -d all` and `client exec -d all` as somebody at a terminal does. `cpu` is processor time
in user and kernel mode of everything that took part, which other work on the machine stretches less than
the seconds on the wall. The goals, on two cores: ready below 2 s, deploy and run together below 10 s.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from device.transport import free_port

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PROGRAM = ROOT / "examples" / "objects" / "hello.o"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
START_GOAL_S, COMMANDS_GOAL_S = 2.0, 10.0


@dataclass(frozen=True, slots=True)
class Phase:
    """What one phase took, in seconds."""

    wall: float
    cpu: float


class Clock:
    """Times phases: the wall, and the processor time of the servers and of commands that have ended."""

    def __init__(self) -> None:
        self.servers: list[subprocess.Popen[str]] = []
        self._wall, self._cpu = time.perf_counter(), self._spent()

    def lap(self) -> Phase:
        """Since the last one."""
        wall, cpu = time.perf_counter(), self._spent()
        phase = Phase(wall - self._wall, cpu - self._cpu)
        self._wall, self._cpu = wall, cpu
        return phase

    def _spent(self) -> float:
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return ended.ru_utime + ended.ru_stime + sum(map(cpu_s, self.servers))


def cpu_s(process: subprocess.Popen[str]) -> float:
    """Processor time of a running process."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


@contextmanager
def started(clock: Clock, lines: int, *command: str) -> Iterator[None]:
    """A server that says so many lines when it is ready."""
    process = subprocess.Popen(
        [str(BIN / command[0]), *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    clock.servers.append(process)
    assert process.stdout is not None
    try:
        for _ in range(lines):
            if not process.stdout.readline():
                raise SystemExit(f"did not start: {command[0]}")
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


def client(environment: dict[str, str], *arguments: str) -> list[dict[str, object]]:
    """Run a verb on all devices; its entries."""
    command = [str(BIN / "client"), *arguments, "-o", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"client {arguments[0]} failed: {done.stderr}{done.stdout[:500]}")
    entries: list[dict[str, object]] = json.loads(done.stdout)["results"]
    return entries


def measure(folder: Path, devices: int) -> dict[str, Phase]:
    """All phases once."""
    port = free_port()
    url = f"coap://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "MICROBPF_SERVER": url,
        "MICROBPF_KEY": str(folder / "operator.pem"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    subprocess.run(
        [str(BIN / "client"), "keygen", "-q", "--to", environment["MICROBPF_KEY"]],
        env=environment,
        check=True,
        capture_output=True,
    )
    (folder / "trusted").mkdir()
    (folder / "operator.pem.pub").rename(folder / "trusted" / "operator.pem.pub")
    served = ("fileserver", "--root", str(folder / "served"), "--bind", "127.0.0.1", "--port", str(port))
    fleet = ("device", "--bind", "127.0.0.1", "--port", "0", "--count", str(devices), "--name", "fleet")
    clock, found = Clock(), {}
    with started(clock, 1, *served):
        clock.lap()
        with started(clock, devices, *fleet, "--server", url, "--keys", str(folder / "trusted")):
            found["start"] = clock.lap()
            while len(client(environment, "devices")) < devices:
                time.sleep(0.1)
            found["registered"] = clock.lap()
            for verb, arguments in (("deploy", [str(PROGRAM)]), ("exec", [])):
                entries = client(environment, verb, "--slot", "0", "-d", "all", *arguments)
                if len(entries) != devices or not all(entry["ok"] for entry in entries):
                    raise SystemExit(f"client {verb}: not all of the {devices} devices")
                found[verb] = clock.lap()
    return found


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-o", dest="output", choices=["table", "json"], default="table")
    given = parser.parse_args()
    rounds = []
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as folder:
            rounds.append(measure(Path(folder), given.devices))
    found = {
        name: Phase(
            statistics.median(round_[name].wall for round_ in rounds),
            statistics.median(round_[name].cpu for round_ in rounds),
        )
        for name in rounds[0]
    }
    load = os.getloadavg()[0]
    if given.output == "json":
        print(json.dumps({"load": load, **{name: asdict(phase) for name, phase in found.items()}}))
        return
    print(f"{given.devices} devices, median of {given.rounds}, load {load:.1f}")
    print(f"{'':<12} {'wall s':>8} {'cpu s':>8}")
    for name, phase in found.items():
        print(f"{name:<12} {phase.wall:>8.2f} {phase.cpu:>8.2f}")
    together = found["deploy"].wall + found["exec"].wall
    print(f"ready below {START_GOAL_S:g} s: {'yes' if found['start'].wall < START_GOAL_S else 'no'}")
    print(f"deploy and exec below {COMMANDS_GOAL_S:g} s: {'yes' if together < COMMANDS_GOAL_S else 'no'}")


if __name__ == "__main__":
    main()
