"""The options of a run, and the request they make: for `exec` on a device and `run` on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from device.api import ExecRequest

F = TypeVar("F", bound=Callable[..., Any])

BEST: Final = "auto"
"""Whoever runs the program chooses."""

COMPILER: Final = "jit"


class EngineType(click.ParamType):  # type: ignore[type-arg]  # takes none in click 8.2
    """The name of an engine, or `auto`. The engines are imported only when one of them is asked for."""

    name = "engine"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name, if there is an engine of it."""
        return value if value == BEST else _engines().convert(value, param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """All names, for the help."""
        return _engines().get_metavar(param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin so."""
        return _engines().shell_complete(ctx, param, incomplete)


def _engines() -> click.Choice[str]:
    from device.engines import ENGINES

    return click.Choice([BEST, *ENGINES])


def exec_options(command: F) -> F:
    """What runs it and how, what it is given, and its limits."""
    options = (
        click.option(
            "--engine",
            type=EngineType(),
            default=BEST,
            show_default=True,
            help="What runs it.",
        ),
        click.option("--jit", is_flag=True, help="Run it compiled: --engine jit."),
        click.option("--recompile", is_flag=True, help="Compile it anew."),
        click.option(
            "--shadow", is_flag=True, help="Interpret it, run it compiled on a copy, and compare everything."
        ),
        click.option(
            "--cycles", is_flag=True, help="Estimate what the compiled code takes on a Cortex-M4 (slow)."
        ),
        click.option("--context", metavar="HEX", help="Bytes that r1 points to."),
        click.option(
            "--region",
            "regions",
            metavar="HEX[:ro]",
            multiple=True,
            help="An extra region, writable unless :ro; repeatable.",
        ),
        click.option("--helpers", metavar="IDS", help="Helpers it may call, such as 0x01,0x13."),
        click.option(
            "--budget", type=click.IntRange(1, 2**32 - 1), metavar="N", help="Instructions it may execute."
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(0.001, 60),
            default=10.0,
            show_default=True,
            metavar="SECONDS",
            help="How long it may take, with all repeats.",
        ),
        click.option(
            "--repeat",
            type=click.IntRange(1, 10_000),
            default=1,
            show_default=True,
            metavar="N",
            help="Run it N times; the time is the median.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def request_of(
    *,
    engine: Any,
    jit: bool,
    recompile: bool,
    shadow: bool,
    cycles: bool,
    context: str | None,
    regions: tuple[str, ...],
    helpers: str | None,
    budget: int | None,
    timeout: float,
    repeat: int,
) -> ExecRequest:
    """The request. Raises ConfigError for arguments that are none or contradict each other."""
    from client.arguments import helper_ids, hex_bytes, region
    from device.api import ExecRequest
    from device.errors import ConfigError, MalformedRequest

    if jit and engine not in (BEST, COMPILER):
        raise ConfigError(
            f"--jit and --engine {engine} contradict each other", code="argument", where="--engine"
        )
    try:
        return ExecRequest(
            engine=COMPILER if jit else engine,
            context=None if context is None else hex_bytes(context, "--context"),
            regions=tuple(region(text) for text in regions),
            helpers=helper_ids(helpers),
            budget=budget,
            timeout_ms=max(1, round(timeout * 1000)),
            repeat=repeat,
            recompile=recompile,
            shadow=shadow,
            cycles=cycles,
        )
    except MalformedRequest as error:
        raise ConfigError(error.detail, code="argument", where=error.where, hint=error.hint) from error
