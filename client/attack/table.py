"""All attacks, by chapters, and the page of the documentation that lists them (docs/security.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from client.attack.drafts import DRAFTS
from client.attack.images import EXCHANGED, PROGRAMS
from client.attack.insiders import COMMANDS, COMPONENTS, LIMITS, STATE
from client.attack.outsiders import ENCODINGS, REQUESTS, SIGNATURES
from client.attack.workshop import Attack

CHAPTERS: Final[dict[str, tuple[Attack, ...]]] = {
    "Signatures, without the key": SIGNATURES,
    "Encodings, without the key": ENCODINGS,
    "Requests, by anybody": REQUESTS,
    "Files that are not what was signed": EXCHANGED,
    "Signed: for another time or device": STATE,
    "Signed: for slots that are none": COMPONENTS,
    "Signed: commands": COMMANDS,
    "Signed: beyond the limits": LIMITS,
    "Signed: programs that may not run": PROGRAMS,
    "In the current draft's format": DRAFTS,
}

_HEAD: Final = "| attack | what it tries | must be refused as |"

ATTACKS: Final = tuple(attack for chapter in CHAPTERS.values() for attack in chapter)


def selection(names: tuple[str, ...] = (), *, brief: bool = False) -> tuple[Attack, ...]:
    """The attacks of these names, without any all of them, or the brief ones."""
    if names:
        return tuple(attack for attack in ATTACKS if attack.name in names)
    return tuple(attack for attack in ATTACKS if attack.brief or not brief)


def page_tables() -> Iterator[str]:
    """The chapters as Markdown, a line at a time."""
    for title, attacks in CHAPTERS.items():
        yield from (
            "",
            f"### {title}",
            "",
            "| attack | what it tries | must be refused as |",
            "|---|---|---|",
        )
        for attack in attacks:
            yield f"| {attack.name} | {attack.threat} | {attack.expected} |"
