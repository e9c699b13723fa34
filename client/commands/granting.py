"""What a release is signed under, as options: format, capabilities, and what is beside the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from client.terms import Terms
    from device.suit.capabilities import Capabilities

_NUMBERS = ("budget", "stack", "store")
_GRANTS = ("helpers", *_NUMBERS, "profile", "jit")


@dataclass(frozen=True, slots=True)
class TermsGiven:
    """What the command line says of format and capabilities, as text."""

    suit: str
    grants: dict[str, str]
    single: tuple[str, ...]
    fix_layout: bool
    sever: bool
    integrate: bool

    def read(self) -> Terms:
        """The terms. Raises ConfigError for what is none."""
        from client.terms import Terms

        return Terms(
            self.suit,
            _capabilities(self.grants, None),
            _of_slots(self.single),
            self.fix_layout,
            self.sever,
            self.integrate,
        )


def _of_slots(texts: Sequence[str]) -> tuple[tuple[int, Capabilities], ...]:
    """`--grant SLOT:NAME=VALUE`, those of one slot together."""
    from client.arguments import number
    from device.errors import ConfigError

    found: dict[int, dict[str, str]] = {}
    for text in texts:
        slot, colon, grant = text.partition(":")
        name, equals, value = grant.partition("=")
        if not colon or not equals or name not in _GRANTS:
            raise ConfigError(
                f"{text!r} grants nothing",
                code="argument",
                where="--grant",
                hint=f"SLOT:NAME=VALUE, such as 1:budget=500; {', '.join(_GRANTS)}",
            )
        found.setdefault(number(slot, "--grant"), {})[name] = value
    return tuple((slot, _capabilities(grants, "--grant")) for slot, grants in sorted(found.items()))


def _capabilities(grants: dict[str, str], where: str | None) -> Capabilities:
    """Read them; `where` is the option that they come from, None when each has its own."""
    from client.arguments import helper_ids, number
    from client.terms import capabilities_of
    from device.errors import ConfigError

    jit = grants.get("jit")
    if jit not in (None, "yes", "no"):
        raise ConfigError(f"{jit!r} is neither yes nor no", code="argument", where=where or "--no-jit")
    numbers = {
        name: number(grants[name], where or f"--{name}") if name in grants else None for name in _NUMBERS
    }
    try:
        return capabilities_of(
            helpers=helper_ids(grants.get("helpers")),
            profile=grants.get("profile"),
            jit=None if jit is None else jit == "yes",
            **numbers,
        )
    except ConfigError as error:
        error.where = where or error.where
        raise


_OPTIONS = (
    click.option(
        "--integrate", is_flag=True, help="Put the images into the envelope instead of beside it; ietf only."
    ),
    click.option(
        "--sever",
        is_flag=True,
        help="Sign only the digest of the install section; ietf only.",
    ),
    click.option("--fix-layout", is_flag=True, help="Grant: only the layout that the image has."),
    click.option(
        "--grant",
        metavar="SLOT:NAME=VALUE",
        multiple=True,
        help="Grant to the program of one slot, such as 1:budget=500: "
        "helpers, budget, stack, store, profile, jit=no.",
    ),
    click.option("--no-jit", is_flag=True, help="Grant: never compile the program."),
    click.option("--profile", metavar="NAME", help="Grant: run it as ubpf, femto, sming or riot2020 do."),
    click.option("--store", metavar="N", help="Grant: so many entries in the slot's store."),
    click.option("--stack", metavar="BYTES", help="Grant: a stack frame of this size."),
    click.option("--budget", metavar="N", help="Grant: so many instructions a run."),
    click.option("--helpers", metavar="IDS", help="Grant: only these helpers, such as 0x01,0x13."),
    click.option(
        "--suit",
        type=click.Choice(["riot", "ietf"]),
        default="riot",
        show_default=True,
        help="Format of the manifest: RIOT's, or the current draft's.",
    ),
)


def terms_options(command: Any) -> Any:
    """All of these, as one `terms`."""

    @wraps(command)
    def packed(
        *,
        suit: str,
        no_jit: bool,
        grant: tuple[str, ...],
        fix_layout: bool,
        sever: bool,
        integrate: bool,
        **options: Any,
    ) -> Any:
        texts = {name: options.pop(name) for name in ("helpers", *_NUMBERS, "profile")}
        grants = {name: text for name, text in texts.items() if text is not None}
        if no_jit:
            grants["jit"] = "no"
        terms = TermsGiven(suit, grants, grant, fix_layout, sever, integrate)
        return command(terms=terms, **options)

    made: Any = packed
    for option in _OPTIONS:
        made = option(made)
    return made
