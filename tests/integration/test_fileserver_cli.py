"""The `fileserver` command as a process: readiness, signals, exit codes and messages."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from device.errors import ConfigError
from device.transport import client_context, free_port, upload
from fileserver.cli import main, printer, with_limits
from fileserver.server import Config

COMMAND = [sys.executable, "-c", "from fileserver.cli import main; main()"]
Process = subprocess.Popen[str]


@contextmanager
def running(*options: str) -> Iterator[tuple[Process, str]]:
    """A file server's process and its first line."""
    process = subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline()
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_it_says_when_it_is_ready_and_stops_when_it_is_told(tmp_path: Path, number: signal.Signals) -> None:
    with running("--root", str(tmp_path / "new"), "--port", "0", "--bind", "127.0.0.1") as (process, line):
        assert line.startswith("fileserver ready: coap://127.0.0.1:")
        assert (tmp_path / "new").is_dir()
        process.send_signal(number)
        out, err = process.communicate(timeout=5)
        assert (process.returncode, out, err) == (0, "fileserver stopped\n", "")


async def test_it_serves_on_when_nobody_reads_what_it_prints(tmp_path: Path) -> None:
    with running("--root", str(tmp_path), "--port", "0", "--bind", "127.0.0.1") as (process, line):
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stderr.close()
        url = line.split()[2]
        context = await client_context()
        for name in ("one.bin", "two.bin"):
            answer = await upload(context, f"{url}/{name}", b"content")
            assert answer.code.is_successful(), answer
        await context.shutdown()
        process.terminate()
        assert await asyncio.to_thread(process.wait, 5) == 0
        process.stdout = process.stderr = None


def test_it_is_ready_soon(tmp_path: Path) -> None:
    best = 9.0
    for _ in range(3):
        started = time.perf_counter()
        with running("--root", str(tmp_path), "--port", "0") as (_, line):
            assert "ready" in line
            best = min(best, time.perf_counter() - started)
    # 0.13 s on an idle machine; the bound leaves room for a busy one.
    assert best < 0.8


async def test_json_lines_and_a_real_upload(tmp_path: Path) -> None:
    options = ("--root", str(tmp_path), "--port", "0", "--log-format", "json", "--write-from", "127.0.0.1")
    with running(*options) as (process, line):
        ready = json.loads(line)
        assert (ready["event"], ready["root"], ready["writers"]) == ("ready", str(tmp_path), "127.0.0.1/32")
        context = await client_context()
        try:
            await upload(context, f"coap://127.0.0.1:{ready['port']}/f", b"x")
        finally:
            await context.shutdown()
        process.terminate()
        _, err = await asyncio.to_thread(process.communicate, timeout=5)
        (logged,) = (json.loads(item) for item in err.splitlines())
        assert (logged["event"], logged["text"]) == ("log", "127.0.0.1 created /f, 1 bytes")


def test_a_taken_port_is_exit_code_2(tmp_path: Path) -> None:
    with running("--root", str(tmp_path), "--port", "0", "--log-format", "json") as (_, line):
        port = str(json.loads(line)["port"])
        second = subprocess.run(
            [*COMMAND, "--root", str(tmp_path), "--port", port],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        assert second.returncode == 2
        assert f"UDP port {port} is taken" in second.stderr
        assert "--port" in second.stderr
        assert "Traceback" not in second.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--root", "{file}"], "cannot be made"),
        (["--root", "{file}/sub"], "cannot be made"),
        (["--root", "{keys}"], "is a private key"),
        (["--write-from", "nowhere"], "is no network"),
        (["--limit", "speed=9"], "no limit is named 'speed'"),
        (["--limit", "files=many"], "has no number"),
        (["--bind", "192.0.2.99"], "is no address of this machine"),
        (["--bind", "no-such-host.invalid"], "is no address to bind"),
        (["--port", "70000"], "70000"),
        (["--timing", "fast"], "fast"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_wrong_option_is_exit_code_2_and_said(tmp_path: Path, options: list[str], said: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "k.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    filled = [option.format(file=tmp_path / "file", keys=tmp_path / "keys") for option in options]
    if "--root" not in filled:
        filled += ["--root", str(tmp_path / "root")]
    if "--port" not in filled:
        filled += ["--port", "0"]
    result = CliRunner().invoke(main, filled)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_port_below_1024_is_explained_where_it_is_denied(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", 5))
        except PermissionError:
            pass
        else:
            pytest.skip("this user may use every port")
    result = CliRunner().invoke(main, ["--root", str(tmp_path), "--port", "5"])
    assert (result.exit_code, "1024" in result.output) == (2, True)


def test_limits_are_read() -> None:
    config = with_limits(Config(Path()), ("files=7", "total-bytes=8", "registrations=9"))
    assert (config.store.files, config.store.total_bytes, config.registrations) == (7, 8, 9)
    assert config.store.file_bytes == 65536
    with pytest.raises(ConfigError):
        with_limits(config, ("files",))


def test_what_a_peer_chose_is_escaped_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    printer("text")("log", "created /\x1b[2J\u202e\n")
    printer("json")("log", "created /\x1b[2J\n")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "created /\\x1b[2J\\u202e\\n"
    assert json.loads(lines[1])["text"] == "created /\x1b[2J\n"
    assert len(lines) == 2


def test_two_servers_on_two_ports(tmp_path: Path) -> None:
    with (
        running("--root", str(tmp_path / "a"), "--port", str(free_port())) as (_, first),
        running("--root", str(tmp_path / "b"), "--port", str(free_port())) as (_, second),
    ):
        assert "ready" in first
        assert "ready" in second
