"""Reading link-format (RFC 6690 section 2), in one pass.

aiocoap's reader is made of regular expressions that a hostile payload of some kilobytes keeps busy for
minutes; this one looks at every character once.
"""

from __future__ import annotations

from typing import Final

from aiocoap.util.linkformat import Link

from device.errors import MalformedRequest

_TOKEN: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~/:@?=()[]{}"
)
_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&+-.^_`|~*")


def parse_links(text: str, *, most: int) -> list[Link]:
    """The links of a link-format document, at most `most`. Raises MalformedRequest with the position."""
    reader = _Reader(text)
    links: list[Link] = []
    reader.skip_space()
    while not reader.at_end:
        if links:
            reader.expect(",")
            reader.skip_space()
        if len(links) == most:
            raise MalformedRequest(f"more than {most} links")
        links.append(reader.link())
        reader.skip_space()
    return links


class _Reader:
    """A position in a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._text)

    def skip_space(self) -> None:
        while self._peek() in (" ", "\t", "\r", "\n"):
            self._at += 1

    def expect(self, character: str) -> None:
        if self._peek() != character:
            raise MalformedRequest(f"{character!r} is missing at {self._at} of the links", where="payload")
        self._at += 1

    def link(self) -> Link:
        """`<target>` and its attributes."""
        self.expect("<")
        end = self._text.find(">", self._at)
        if end < 0:
            raise MalformedRequest("a link does not end", where="payload")
        href, self._at = self._text[self._at : end], end + 1
        if any(character <= " " or character in '<"\\' for character in href):
            raise MalformedRequest("a link's target has white space or quotes in it", where="payload")
        pairs: list[tuple[str, str | None]] = []
        self.skip_space()
        while self._peek() == ";":
            self._at += 1
            self.skip_space()
            name = self._run(_NAME)
            if not name:
                raise MalformedRequest(f"an attribute has no name at {self._at}", where="payload")
            pairs.append((name, self._value()))
            self.skip_space()
        return Link(href, pairs)

    def _value(self) -> str | None:
        if self._peek() != "=":
            return None
        self._at += 1
        if self._peek() != '"':
            return self._run(_TOKEN)
        self._at += 1
        characters = []
        while self._peek() != '"':
            if self._peek() == "\\":
                self._at += 1
            if self.at_end:
                raise MalformedRequest("a quoted value does not end", where="payload")
            characters.append(self._peek())
            self._at += 1
        self._at += 1
        return "".join(characters)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _run(self, allowed: frozenset[str]) -> str:
        start = self._at
        while self._peek() and self._peek() in allowed:
            self._at += 1
        return self._text[start : self._at]
