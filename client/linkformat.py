"""RFC 6690 link format, as much of it as a directory's answer needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_LINK: Final = re.compile(r"\s*<([^>]*)>")
_ATTRIBUTE: Final = re.compile(
    r'\s*;\s*([A-Za-z0-9!#$&+.^_`|~*-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;,"\s]*)))?'
)


@dataclass(frozen=True, slots=True)
class Link:
    """A link and its attributes; the first value of each name counts, one without value is empty."""

    target: str
    attributes: dict[str, str]


def parse_links(text: str) -> list[Link]:
    """All links of a document. Stops at the first thing that is none: the rest cannot be told apart."""
    return list(_links(text))


def _links(text: str) -> Iterator[Link]:
    position = 0
    while match := _LINK.match(text, position):
        position = match.end()
        attributes: dict[str, str] = {}
        while attribute := _ATTRIBUTE.match(text, position):
            position = attribute.end()
            quoted, token = attribute.group(2), attribute.group(3)
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else token or ""
            attributes.setdefault(attribute.group(1), value)
        yield Link(match.group(1), attributes)
        separator = re.compile(r"\s*,").match(text, position)
        if separator is None:
            return
        position = separator.end()
