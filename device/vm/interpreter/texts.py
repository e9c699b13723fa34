"""Texts: expressions over the variables of a generated function, with what is known of their values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from device.vm.decode import MASK32, MASK64

if TYPE_CHECKING:
    from device.vm.interpreter.lines import Site

MASK: Final = {32: MASK32, 64: MASK64}
"""All ones, by width."""

LOOSE_BITS: Final = 200
"""How far a text may grow beyond its width before it is cut."""

LONG_TEXT: Final = 300
"""Characters above which a text is given a name rather than put into another."""

ABOVE: Final = ">"
BELOW: Final = "<"
"""See `over` of a text."""

PLUS: Final = "+"
TIMES: Final = "*"
BY: Final = "//"
"""See `origin` of a text."""

FAR_BELOW: Final = -(1 << 400)
"""Below whatever a text can be."""


class Text(NamedTuple):
    """An expression over the variables of the generated function.

    Its value lies in [low, high] once it is cut to `loose` bits; 0 says that it is what it should be. `bits`
    bounds its magnitude before that. `reads` is the set of registers whose variables stand in it, as bits.
    `atom` says that it needs no parentheses. A text with a `site` may fault there when it is evaluated.

    Of a loose text `least` is a lower bound of what it is before it is cut. With `over` it is what it should
    be except where it is ABOVE its width, or BELOW zero. `origin` says how it was made, where that matters:
    by which operation, of what and which constant.
    """

    text: str
    low: int
    high: int
    reads: int = 0
    loose: int = 0
    bits: int = 64
    atom: bool = False
    site: Site | None = None
    least: int = FAR_BELOW
    over: str = ""
    origin: tuple[str, Text, int] | None = None

    @property
    def inner(self) -> str:
        """As part of another expression."""
        return self.text if self.atom else f"({self.text})"

    @property
    def exact(self) -> str:
        """With its value, and nothing above it."""
        return f"{self.inner} & {MASK[self.loose]}" if self.loose else self.text

    @property
    def exact_inner(self) -> str:
        """With its value, as part of another expression."""
        return f"({self.exact})" if self.loose else self.inner

    def bounded(self, low: int, high: int) -> Text:
        """With other bounds."""
        _, _, _, reads, loose, bits, atom, site, least, over, origin = self
        return Text(self.text, low, high, reads, loose, bits, atom, site, least, over, origin)

    @property
    def floor(self) -> int:
        """A lower bound of the text as it stands."""
        return self.least if self.loose else self.low

    @property
    def is_constant(self) -> bool:
        """Whether only one value is possible."""
        return self.low == self.high


def number(value: int) -> Text:
    """A constant, at least 0."""
    return Text(str(value), value, value, bits=value.bit_length(), atom=True)


def variable(name: str, low: int, high: int, reads: int = 0) -> Text:
    """A variable."""
    return Text(name, low, high, reads, bits=high.bit_length(), atom=True)


def cut(value: Text, width: int) -> Text:
    """The low `width` bits (32 or 64), with its exact text."""
    mask = MASK[width]
    if not value.loose and value.high <= mask:
        return value
    if value.loose and value.loose <= width:
        return Text(value.exact, value.low, value.high, value.reads, bits=value.loose, site=value.site)
    return Text(f"{value.inner} & {mask}", 0, mask, value.reads, bits=width, site=value.site)


def made(
    text: str,
    a: Text,
    b: Text | None,
    low: int,
    high: int,
    loose: int,
    bits: int,
    least: int = FAR_BELOW,
    over: str = "",
) -> Text:
    """A text over one or two others; one that has grown too far is cut."""
    reads, site = a.reads, a.site
    if b is not None:
        reads, site = reads | b.reads, site or b.site
    if loose and bits > LOOSE_BITS:
        return Text(f"({text}) & {MASK[loose]}", low, high, reads, 0, loose, False, site)
    return Text(text, low, high, reads, loose, bits, False, site, least, over)
