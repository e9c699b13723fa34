"""The `device` command (network.md, "Who is where")."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click

from device.errors import ConfigError, MicroBpfError

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

EPILOG: Final = """\b
Examples:
  device
      one device on port 5710: not in any directory, and without keys it refuses every update
  device --server coap://localhost --keys ./trusted
      one that clients find, and can deploy to with a key that is trusted
  device --count 10 --server coap://localhost --keys ./trusted --state ./state
      ten, on ports 5710 to 5719, that remember their programs
  device --port 5683 --timing rfc7252 --limit max_block=64 --limit allowed_hosts=192.0.2.7

\b
SIGHUP reads the keys again. SIGINT and SIGTERM withdraw from the directory and stop.
Every option can be given as an environment variable: MICROBPF_SERVER, MICROBPF_PORT, MICROBPF_LIMIT, …
"""


def default_keys() -> Path | None:
    """`$XDG_DATA_HOME/micro-bpf/trusted`, whether it is there or not; None for a user without a home."""
    data = os.environ.get("XDG_DATA_HOME")
    try:
        return Path(data or Path.home() / ".local" / "share") / "micro-bpf" / "trusted"
    except RuntimeError:
        return None


@click.command(
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
        "auto_envvar_prefix": "MICROBPF",
    },
    epilog=EPILOG,
)
@click.option("--name", help="Name in the directory  [default: kept, found out by DNS, or two words]")
@click.option("--board", default="native", show_default=True, help="Board to be; updates are signed for one")
@click.option("--bind", metavar="ADDRESS", help="Address to serve on  [default: all]")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=5710, show_default=True,
    help="UDP port, of the first device; 0: any",
)  # fmt: skip
@click.option(
    "--count", type=click.IntRange(1, 1000), default=1, show_default=True, help="Devices in this process"
)
@click.option("--server", metavar="URL", help="File server with the directory  [default: none]")
@click.option("--advertise", metavar="URL", help="URL to register under  [default: own address and port]")
@click.option(
    "--keys", type=click.Path(path_type=Path), metavar="DIR",
    help="Public keys whose updates are taken  [default: in the user's data]",
)  # fmt: skip
@click.option(
    "--state", type=click.Path(path_type=Path), metavar="DIR",
    help="Where programs and sequence number are kept  [default: nowhere]",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(0, 64), default=4, show_default=True, help="Long-running jobs at a time"
)
@click.option(
    "--slots", type=click.IntRange(1, 256), default=5, show_default=True, help="Programs that fit in"
)
@click.option(
    "--limit", "limits", metavar="NAME=VALUE", multiple=True, help="A limit; `--limit help` lists them"
)
@click.option(
    "--helpers", metavar="IDS",
    help="Helpers of programs whose update names none, such as 0x01,0x13  [default: all]",
)  # fmt: skip
@click.option(
    "--signal", "signals", metavar="INPUT=SIGNAL", multiple=True,
    help="What the board senses, such as saul:1=sine:234,20,3600; `--signal help` lists inputs and signals",
)  # fmt: skip
@click.option(
    "--timing", type=click.Choice(["lan", "rfc7252"]), default="lan", show_default=True,
    help="Patience of retransmissions",
)  # fmt: skip
@click.option(
    "--verify-sources", is_flag=True,
    help="Ask unknown addresses for an Echo before a long answer (for ports that are open to the world)",
)  # fmt: skip
@click.option(
    "--erase-first", is_flag=True,
    help="Empty a slot before its update is fetched, as RIOT does: a failed one then costs the program",
)  # fmt: skip
@click.option(
    "--profile", type=click.Choice(["ubpf", "femto", "sming", "riot2020"]), default="ubpf", show_default=True,
    help="Virtual machine whose rules programs run under",
)  # fmt: skip
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def main(
    name: str | None,
    board: str,
    bind: str | None,
    port: int,
    count: int,
    server: str | None,
    advertise: str | None,
    keys: Path | None,
    state: Path | None,
    workers: int,
    slots: int,
    limits: tuple[str, ...],
    helpers: str | None,
    signals: tuple[str, ...],
    timing: str,
    verify_sources: bool,
    erase_first: bool,
    profile: str,
    log_format: str,
) -> None:
    """Run simulated devices that take signed eBPF programs over CoAP, until interrupted."""
    # Imported here: `device --help` has no use for CoAP and cryptography.
    import asyncio

    from device.node import LIMIT_HELP, NodeConfig, Output, helpers_of, limits_of, serve
    from device.peripherals import SIGNAL_HELP, signals_of
    from device.transport import TIMINGS

    if "help" in limits:
        print(LIMIT_HELP)
        return
    if "help" in signals:
        print(SIGNAL_HELP)
        return
    try:
        if count > 1 and advertise is not None:
            raise ConfigError("one URL cannot lead to several devices", where="--advertise")
        if port and port + count - 1 > 65535:
            raise ConfigError(f"there are no {count} ports from {port} on", where="--port")
        config = NodeConfig(
            name=name,
            board=board,
            bind=bind,
            port=port,
            server=server,
            advertise=advertise,
            keys=keys or default_keys(),
            state=state,
            workers=workers,
            slots=slots,
            limits=limits_of(limits),
            helpers=None if helpers is None else helpers_of(helpers),
            signals=signals_of(signals),
            timing=TIMINGS[timing],
            verify_sources=verify_sources,
            erase_first=erase_first,
            profile=profile,
        )
        configs = [config.of(index, count) for index in range(count)]
        output = Output(sys.stdout, sys.stderr, as_json=log_format == "json")
        asyncio.run(serve(configs, output))
    except MicroBpfError as error:
        where = f"{error.where}: " if error.where.startswith("--") else ""
        hint = f" ({error.hint})" if error.hint else ""
        print(f"device: {where}{error.detail}{hint}", file=sys.stderr)
        sys.exit(EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED)
