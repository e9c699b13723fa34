"""Edit to running: how long `client deploy prog.c` takes against a device on this machine.

    .venv/bin/python benchmarks/deploy_latency.py [--rounds 10]

Starts a file server and a device of its own, changes a constant in a C file before every round, deploys it
with the real command, and prints the median of the whole process and of a process that only starts the
interpreter. The difference is what the goal (below 300 ms after the interpreter has started) is about.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from device.transport import free_port

BIN = Path(sys.executable).parent
SOURCE = "long round_{0}(void) {{ return {0}; }}\n"


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """Milliseconds of a whole process, and what it said on stderr."""
    begin = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return (time.perf_counter() - begin) * 1000, done.stderr


def wait_until(command: list[str], environment: dict[str, str]) -> None:
    """Repeat a command until it succeeds, for ten seconds at most."""
    end = time.monotonic() + 10
    while subprocess.run(command, env=environment, capture_output=True, check=False).returncode:
        if time.monotonic() > end:
            raise SystemExit(f"never succeeded: {' '.join(command)}")
        time.sleep(0.1)


def measure(folder: Path, rounds: int) -> None:
    """Run the rounds on a testbed in `folder` and print the medians and the steps of the last round."""
    server, device = free_port(), free_port()
    key = folder / "operator.pem"
    environment = {
        **os.environ,
        "MICROBPF_SERVER": f"coap://127.0.0.1:{server}",
        "MICROBPF_KEY": str(key),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    client = str(BIN / "client")
    timed([client, "keygen", "--to", str(key)], environment)
    (folder / "trusted").mkdir()
    (folder / "operator.pem.pub").rename(folder / "trusted" / "operator.pem.pub")
    (folder / "served").mkdir()
    servers = [
        [str(BIN / "fileserver"), "--root", str(folder / "served"), "--port", str(server)],
        [str(BIN / "device"), "--port", str(device), "--keys", str(folder / "trusted"), "--name", "bench"],
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = [subprocess.Popen(command, env=environment, **quiet) for command in servers]
    try:
        wait_until([client, "show", "-d", "bench"], environment)
        whole, bare, steps = [], [], ""
        for number in range(rounds + 1):
            source = folder / "prog.c"
            source.write_text(SOURCE.format(number), encoding="utf-8")
            took, steps = timed([client, "deploy", str(source), "-d", "bench"], environment)
            empty, _ = timed([sys.executable, "-c", "pass"], environment)
            if number:  # the first round fills caches
                whole.append(took)
                bare.append(empty)
            time.sleep(1.1)  # a device takes one update a second from one address
        print(f"client deploy prog.c   {statistics.median(whole):6.1f} ms  (median of {rounds})")
        print(f"interpreter alone      {statistics.median(bare):6.1f} ms")
        print(
            f"edit to running        {statistics.median(whole) - statistics.median(bare):6.1f} ms\n\n{steps}"
        )
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(timeout=10)


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), rounds)


if __name__ == "__main__":
    main()
