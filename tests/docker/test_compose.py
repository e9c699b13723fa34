"""The testbed of docker-compose.yml, brought up and driven for real.

Needs a Docker engine. Where none runs, but the script that sets one up lies beside the repository
(../shared/tools/docker-up.sh) and we may run it, it is started; otherwise the test is skipped, loudly.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ENGINE_SCRIPT = ROOT.parent / "shared" / "tools" / "docker-up.sh"
PROJECT = "micro-bpf-test"
EXAMPLE = "examples/objects/hello.o"
CLIENT = Path(sys.executable).with_name("client")
# Not the usual ports: a testbed of the person who runs the tests may be up.
SERVER_PORT = "15683"
IMAGE = "micro-bpf-fleet-test"
GET_CORE = b"\x40\x01\x12\x34\xbb.well-known\x04core"
"""GET /.well-known/core, confirmable, without a token: the listing is fifty times as long."""
UNAUTHORIZED = 4 << 5 | 1
SETTINGS = {
    "MICROBPF_SERVER_PORT": SERVER_PORT,
    "MICROBPF_DEVICE_PORTS": "15710-15759",
    "MICROBPF_IMAGE": IMAGE,
}

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1200)]


def _engine_runs() -> bool:
    return bool(shutil.which("docker")) and _run("docker", "info", check=False).returncode == 0


def _run(
    *command: str, check: bool = True, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **SETTINGS, **(env or {})},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(command)} → {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def compose(
    *arguments: str, check: bool = True, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return _run("docker", "compose", "-p", PROJECT, *arguments, check=check, env=env)


def client(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """The `client` service, as the README says it."""
    return compose("run", "--rm", "-T", "client", *arguments, check=check)


def results(output: str) -> list[dict[str, Any]]:
    answer = json.loads(output.strip().splitlines()[-1])
    assert answer["ok"] is True, answer
    rows: list[dict[str, Any]] = answer["results"]
    return rows


def on_host(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A client on the host, in front of the published file server."""
    server = f"coap://localhost:{SERVER_PORT}"
    return _run(str(CLIENT), *arguments, env={"MICROBPF_SERVER": server, **(env or {})})


def wait_for_devices(
    count: int, deadline_s: float = 60, ask: Callable[..., subprocess.CompletedProcess[str]] = client
) -> list[dict[str, Any]]:
    """What the directory lists, once there are so many: `up` does not wait for registrations."""
    end = time.monotonic() + deadline_s
    while True:
        rows = results(ask("devices", "-o", "json").stdout)
        if len(rows) >= count or time.monotonic() > end:
            assert len(rows) == count, rows
            return rows
        time.sleep(1)


@pytest.fixture(scope="module")
def testbed() -> Iterator[None]:
    if not _engine_runs() and ENGINE_SCRIPT.exists() and os.geteuid() == 0:
        _run("bash", str(ENGINE_SCRIPT), "up")
    if not _engine_runs():
        pytest.skip("no Docker engine: the compose testbed was NOT tested")
    compose("down", "-v", "--remove-orphans", check=False)
    _run("docker", "image", "rm", "-f", IMAGE, check=False)  # the first `up` of the README finds none either
    try:
        compose("up", "-d", "--wait", "--wait-timeout", "120")
        yield
    finally:
        sys.stdout.write(compose("logs", "--no-color", "--tail", "50", check=False).stdout)
        compose("down", "-v", "--remove-orphans", "-t", "3", check=False)


def published(index: int) -> str:
    """HOST:PORT of a device on the host."""
    return compose("port", "--protocol", "udp", "--index", str(index), "device", "5683").stdout.strip()


def _inspect(service: str) -> list[dict[str, Any]]:
    ids = compose("ps", "-q", service).stdout.split()
    found: list[dict[str, Any]] = json.loads(_run("docker", "inspect", *ids).stdout)
    return found


@pytest.mark.usefixtures("testbed")
class TestTestbed:
    """In order: each step builds on the one before."""

    def test_three_devices_register_under_readable_names(self) -> None:
        names = {row["device"] for row in wait_for_devices(3)}
        assert names == {f"{PROJECT}-device-{index}" for index in (1, 2, 3)}

    def test_the_client_finds_everything_as_it_was_started(self) -> None:
        before = compose("ps", "-q").stdout.split()
        assert before
        client("devices")
        assert compose("ps", "-q").stdout.split() == before

    def test_deploy_and_exec_on_all(self) -> None:
        rows = results(client("deploy", "--slot", "0", EXAMPLE, "-d", "all", "-o", "json").stdout)
        assert len(rows) == 3
        rows = results(client("exec", "--slot", "0", "-d", "all", "-o", "json").stdout)
        assert [row["ok"] for row in rows] == [True] * 3

    def test_a_restart_keeps_slots_and_sequence_number(self) -> None:
        device = f"{PROJECT}-device-1"
        before = results(client("show", "--slot", "0", "-d", device, "-o", "json").stdout)[0]["result"]
        _run("docker", "restart", "-t", "3", device)
        wait_for_devices(3)
        after = results(client("show", "--slot", "0", "-d", device, "-o", "json").stdout)[0]["result"]
        for field in ("digest", "sequence_number", "size"):
            assert after[field] == before[field], field

    def test_a_killed_device_comes_back(self) -> None:
        container = next(c for c in _inspect("device") if c["Name"] == f"/{PROJECT}-device-2")
        os.kill(container["State"]["Pid"], 9)
        time.sleep(2)
        row = next(c for c in _inspect("device") if c["Name"] == f"/{PROJECT}-device-2")
        assert (row["State"]["Status"], row["RestartCount"]) == ("running", 1)
        rows = results(client("exec", "--slot", "0", "-d", f"{PROJECT}-device-2", "-o", "json").stdout)
        assert rows[0]["ok"]

    def test_a_client_on_the_host_reaches_the_testbed(self) -> None:
        assert len(results(on_host("devices", "-o", "json").stdout)) == 3
        for index in (1, 2, 3):
            done = on_host("exec", "--slot", "0", "-d", published(index), "-o", "json")
            assert results(done.stdout)[0]["ok"]

    def test_published_ports_are_no_reflectors(self) -> None:
        for port in (int(SERVER_PORT), int(published(1).rpartition(":")[2])):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.settimeout(10)
                stranger.sendto(GET_CORE, ("127.0.0.1", port))
                answer = stranger.recv(2048)
            assert (answer[1], len(answer) <= 3 * len(GET_CORE)) == (UNAUTHORIZED, True), port

    def test_ten_devices(self) -> None:
        compose("up", "-d", "--wait", "--wait-timeout", "120", "--scale", "device=10", "--no-recreate")
        wait_for_devices(10)
        rows = results(client("deploy", "--slot", "1", EXAMPLE, "-d", "all", "-o", "json").stdout)
        assert len(rows) == 10
        assert all(row["ok"] for row in rows)

    def test_containers_are_confined(self) -> None:
        for container in (*_inspect("device"), *_inspect("fileserver")):
            host = container["HostConfig"]
            assert container["Config"]["User"] == "microbpf"
            assert host["ReadonlyRootfs"] is True
            assert host["CapDrop"] == ["ALL"]
            assert "no-new-privileges:true" in host["SecurityOpt"]
            assert host["Memory"] > 0
            assert host["PidsLimit"] > 0
            assert host["RestartPolicy"]["Name"] == "unless-stopped"

    def test_the_private_key_is_with_the_operator_only(self) -> None:
        for container in (*_inspect("device"), *_inspect("fileserver")):
            mounts = {mount["Destination"]: mount for mount in container["Mounts"]}
            assert "/operator" not in mounts
            if "/trusted" in mounts:
                assert mounts["/trusted"]["RW"] is False
        listing = compose("exec", "-T", "--index", "1", "device", "sh", "-c", "ls /trusted; ls /operator")
        assert listing.stdout.split() == ["operator.pem.pub"]
        image = _run(
            "docker",
            "run",
            "--rm",
            "--network",
            "none",
            "--user",
            "0",
            IMAGE,
            "find",
            "/",
            "-xdev",
            "-name",
            "*.pem*",
            "-path",
            "*oper*",
        )
        assert image.stdout == ""

    def test_state_is_one_volume_per_device(self) -> None:
        volumes = [
            mount["Name"]
            for container in _inspect("device")
            for mount in container["Mounts"]
            if mount["Destination"] == "/state"
        ]
        assert len(volumes) == len(set(volumes)) == 10


def test_host_keys_instead_of_the_generated_ones(tmp_path: Path) -> None:
    if not _engine_runs():
        pytest.skip("no Docker engine: the compose testbed was NOT tested")
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    tmp_path.chmod(0o755)
    key = tmp_path / "operator.pem"
    _run(str(CLIENT), "keygen", "--to", str(key))
    shutil.copy(f"{key}.pub", trusted)
    env = {"MICROBPF_TRUSTED": str(trusted), "MICROBPF_KEY": str(key)}
    try:
        compose("up", "-d", "--wait", "--wait-timeout", "120", env=env)
        wait_for_devices(3, ask=on_host)
        done = on_host("deploy", "--slot", "0", EXAMPLE, "-d", "all", "-o", "json", env=env)
        assert [row["ok"] for row in results(done.stdout)] == [True] * 3
    finally:
        compose("down", "-v", "-t", "3", check=False, env=env)
