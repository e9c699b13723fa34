"""The `fileserver` command."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from device.errors import ConfigError, MicroBpfError
from device.transport import COAP_PORT, TIMINGS, Authority, report_loop_errors
from fileserver.access import parse_networks
from fileserver.server import Config, FileServer
from fileserver.store import StoreLimits

EXIT_USAGE: Final = 2
LIMITS: Final = ("file_bytes", "total_bytes", "files", "registrations")

Say = Callable[..., None]


def default_root() -> Path:
    """`$XDG_DATA_HOME/micro-bpf/served`."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "micro-bpf" / "served"


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Example: fileserver --root ./served --write-from 192.168.1.0/24",
)
@click.option(
    "--root", type=click.Path(path_type=Path), help="Folder to serve  [default: in the user's data]"
)
@click.option("--bind", metavar="ADDRESS", help="Address to serve on  [default: all]")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=COAP_PORT, show_default=True, help="UDP port; 0: any"
)
@click.option(
    "--write-from", metavar="NET", multiple=True,
    help="Network whose hosts may PUT and DELETE; repeatable, or `any`"
    "  [default: this machine and the private networks it is in]",
)  # fmt: skip
@click.option("--limit", "limits", metavar="NAME=VALUE", multiple=True, help=f"One of: {', '.join(LIMITS)}")
@click.option(
    "--timing", type=click.Choice(sorted(TIMINGS)), default="lan", show_default=True, help="Retransmission"
)
@click.option(
    "--verify-sources", is_flag=True,
    help="Ask unknown addresses for an Echo before a long answer (for ports that are open to the world)",
)  # fmt: skip
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def main(
    root: Path | None,
    bind: str | None,
    port: int,
    write_from: tuple[str, ...],
    limits: tuple[str, ...],
    timing: str,
    verify_sources: bool,
    log_format: str,
) -> None:
    """Serve files and the device directory over CoAP, until interrupted."""
    try:
        config = Config(
            root or default_root(), bind, port, timing=TIMINGS[timing], verify_sources=verify_sources
        )
        if write_from:
            config = replace(config, writers=parse_networks(write_from))
        asyncio.run(serve(with_limits(config, limits), printer(log_format)))
    except MicroBpfError as error:
        hint = f"\n  {error.hint}" if error.hint else ""
        print(f"fileserver: {error.detail}{hint}", file=sys.stderr)
        sys.exit(EXIT_USAGE if isinstance(error, ConfigError) else 1)


def with_limits(config: Config, texts: tuple[str, ...]) -> Config:
    """The config with `NAME=VALUE` limits in place. Raises ConfigError."""
    for text in texts:
        name, _, value = text.partition("=")
        name = name.replace("-", "_")
        if name not in LIMITS:
            raise ConfigError(
                f"no limit is named {name!r}", where="--limit", hint=f"there are {', '.join(LIMITS)}"
            )
        if not (value.isascii() and value.isdigit() and len(value) <= 12):
            raise ConfigError(f"{text!r} has no number", where="--limit", hint="such as files=1000")
        if name == "registrations":
            config = replace(config, registrations=int(value))
        else:
            store: StoreLimits = replace(config.store, **{name: int(value)})
            config = replace(config, store=store)
    return config


async def serve(config: Config, say: Say) -> None:
    """Run until SIGINT or SIGTERM. `say(event, text, **fields)` prints a line."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    server = FileServer(config, lambda text: say("log", text))
    report_loop_errors(loop, lambda text: say("error", text))
    await server.start()
    try:
        url = Authority(config.bind or "::", server.port).url
        say(
            "ready",
            f"fileserver ready: {url} serves {config.root}, writes from {config.writers}",
            url=url,
            port=server.port,
            root=str(config.root),
            writers=str(config.writers),
        )
        await stopped.wait()
    finally:
        await server.stop()
    say("stopped", "fileserver stopped")


def printer(log_format: str) -> Say:
    """Prints log lines: what a peer chose (names, addresses) with its control characters escaped."""

    def say(event: str, text: str, **fields: Any) -> None:
        stream = sys.stdout if event in ("ready", "stopped") else sys.stderr
        if log_format == "json":
            line = json.dumps({"time": round(time.time(), 3), "event": event, "text": text, **fields})
        else:
            line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        try:
            print(line, file=stream, flush=True)
        except OSError:  # nobody reads any more: that is no reason to stop serving
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

    return say
