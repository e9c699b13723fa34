"""Divisions by constants, which compilers write as a multiplication and a shift: written as divisions again.

For Python a division of small numbers is one cheap operation; the multiplication makes a number of two or
three digits, and the shift and the subtraction of a remainder come on top.
"""

from __future__ import annotations

from device.vm.interpreter.texts import BY, MASK, TIMES, Text


def noted_product(product: Text, a: Text, b: Text) -> Text:
    """A product that fits, with what it is made of when one factor is a constant."""
    if b.is_constant:
        return product._replace(origin=(TIMES, a, b.low))
    return product._replace(origin=(TIMES, b, a.low)) if a.is_constant else product


def quotient(product: Text, amount: int) -> Text | None:
    """A product shifted to the right by `amount`, where that is a division; both are exact.

    With m = ceil(2**s / d) and e = m * d - 2**s, x * m >> s is x // d as long as x * e < 2**s: x * m / 2**s
    is x / d + x * e / (d * 2**s), and the fraction of x / d is at most (d - 1) / d.
    """
    if product.loose or product.origin is None or product.origin[0] != TIMES:
        return None
    _, x, factor = product.origin
    power = 1 << amount
    if not 0 < factor < power:
        return None
    divisor = -(-power // factor)
    if x.high * (factor * divisor - power) >= power:
        return None
    text = f"{x.inner} // {divisor}"
    low, high = x.low // divisor, x.high // divisor
    return Text(text, low, high, x.reads, 0, high.bit_length(), site=x.site, origin=(BY, x, divisor))


def remainder(a: Text, b: Text, width: int) -> Text | None:
    """`a` less `b`, where that is the remainder of a division of `a`."""
    if a.loose or a.high > MASK[width] or b.loose or b.origin is None or b.origin[0] != TIMES:
        return None
    _, quotient, divisor = b.origin
    if quotient.origin is None or quotient.origin[0] != BY or quotient.origin[2] != divisor:
        return None
    x = quotient.origin[1]
    if x.text != a.text or a.site is not None:
        return None
    high = min(a.high, divisor - 1)
    return Text(f"{a.inner} % {divisor}", 0, high, a.reads, 0, high.bit_length())
