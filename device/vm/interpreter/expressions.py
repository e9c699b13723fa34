"""What an instruction computes, as the text of a Python expression.

The numbers of Python have no width, so that every result would have to be masked. Most masks are avoided: the
intervals show that a result fits, or the next operation does not look at the bits above ("loose" texts).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from device.vm.interpreter import quotients
from device.vm.interpreter.texts import (
    ABOVE,
    BELOW,
    FAR_BELOW,
    LOOSE_BITS,
    MASK,
    PLUS,
    Text,
    cut,
    made,
    number,
)
from device.vm.isa import Sem

_SIGN: Final = {32: 1 << 31, 64: 1 << 63}


def _tolerated(value: Text, width: int) -> Text:
    """An operand for an operation whose low `width` bits depend on the operand's low `width` bits alone."""
    return value if not value.loose or value.loose >= width else cut(value, value.loose)


def operate(sem: Sem, width: int, a: Text, b: Text) -> Text:
    """The result of an ALU instruction, of `width` 32 or 64; divisors have to be atoms."""
    if sem in _RING:
        return _RING[sem](_tolerated(a, width), _tolerated(b, width), width)
    if sem in _EXTENDING:
        return _extend(b, _EXTENDING[sem], width)
    if sem is Sem.MOV:
        return _narrowed(b, width)
    return _EXACT[sem](cut(a, width), b if sem in _SHIFTS else cut(b, width), width)


def _narrowed(value: Text, width: int) -> Text:
    """The low `width` bits, as loose as can be."""
    if value.loose:
        if value.loose <= width:
            return value
        return value._replace(loose=width, low=0, high=MASK[width], over="", origin=None)
    mask = MASK[width]
    if value.high <= mask:
        return value
    return Text(value.text, 0, mask, value.reads, width, value.bits, value.atom, value.site, value.low)


def _fits(a: Text, b: Text, width: int) -> bool:
    """Whether both operands are what they should be, at this width."""
    mask = MASK[width]
    return not a.loose and not b.loose and a.high <= mask and b.high <= mask


def _add(a: Text, b: Text, width: int) -> Text:
    mask = MASK[width]
    if b.is_constant and not b.loose and b.low & mask == 0:
        return _narrowed(a, width)
    if b.is_constant and not b.loose and b.low & mask > mask >> 1:
        return _less(a, mask + 1 - (b.low & mask), width)
    if a.is_constant and not a.loose and a.low & mask == 0:
        return _narrowed(b, width)
    text = f"{a.inner} + {b.inner}"
    fits = _fits(a, b, width)
    if fits and a.high + b.high <= mask:
        found = made(text, a, b, a.low + b.low, a.high + b.high, 0, (a.high + b.high).bit_length())
    else:
        least, over = a.floor + b.floor, ABOVE if fits else ""
        found = made(text, a, b, 0, mask, width, max(a.bits, b.bits) + 1, least, over)
    if found.text is not text:  # cut
        return found
    if b.is_constant and not b.loose:
        return found._replace(origin=(PLUS, a, b.low))
    return found._replace(origin=(PLUS, b, a.low)) if a.is_constant and not a.loose else found


def _less(a: Text, amount: int, width: int) -> Text:
    """Minus a constant: shorter than adding its complement."""
    text = f"{a.inner} - {amount}"
    mask = MASK[width]
    fits = not a.loose and a.high <= mask
    if fits and amount <= a.low:
        return made(text, a, None, a.low - amount, a.high - amount, 0, a.bits)
    over = BELOW if fits else ""
    return made(text, a, None, 0, mask, width, max(a.bits, width) + 1, a.floor - amount, over)


def _subtract(a: Text, b: Text, width: int) -> Text:
    mask = MASK[width]
    if b.is_constant and not b.loose and b.low & mask <= mask >> 1:
        return _less(a, b.low & mask, width) if b.low & mask else _narrowed(a, width)
    if b.is_constant and not b.loose:
        return _add(a, number(mask + 1 - (b.low & mask)), width)
    rest = quotients.remainder(a, b, width)
    if rest is not None:
        return rest
    text = f"{a.inner} - {b.inner}"
    fits = _fits(a, b, width)
    if fits and a.low >= b.high:
        return made(text, a, b, a.low - b.high, a.high - b.low, 0, a.bits)
    least = a.floor - b.high if fits else FAR_BELOW
    return made(text, a, b, 0, mask, width, max(a.bits, b.bits) + 1, least, BELOW if fits else "")


def _multiply(a: Text, b: Text, width: int) -> Text:
    if a.bits + b.bits > LOOSE_BITS:
        a, b = cut(a, width), cut(b, width)
    mask = MASK[width]
    text = f"{a.inner} * {b.inner}"
    if _fits(a, b, width) and a.high * b.high <= mask:
        product = made(text, a, b, a.low * b.low, a.high * b.high, 0, a.bits + b.bits)
        return quotients.noted_product(product, a, b)
    least = a.floor * b.floor if a.floor >= 0 and b.floor >= 0 else FAR_BELOW
    return made(text, a, b, 0, mask, width, a.bits + b.bits, least)


def _and(a: Text, b: Text, width: int) -> Text:
    mask = MASK[width]
    for one, other in ((a, b), (b, a)):
        if not one.is_constant or one.loose:
            continue
        kept = one.low & mask
        if kept & (kept + 1) == 0 and not other.loose and other.high <= kept:
            return other
        whole = cut(other, other.loose) if other.loose and kept > MASK[other.loose] else other
        return made(f"{whole.inner} & {kept}", whole, None, 0, kept, 0, kept.bit_length())
    if _fits(a, b, width):
        high = min(a.high, b.high)
        return made(f"{a.inner} & {b.inner}", a, b, 0, high, 0, high.bit_length())
    return made(f"{a.inner} & {b.inner}", a, b, 0, mask, width, max(a.bits, b.bits))


def _or(a: Text, b: Text, width: int) -> Text:
    return _bitwise("|", a, b, width)


def _xor(a: Text, b: Text, width: int) -> Text:
    return _bitwise("^", a, b, width)


def _bitwise(sign: str, a: Text, b: Text, width: int) -> Text:
    if b.is_constant and b.low == 0:
        return _narrowed(a, width)
    text = f"{a.inner} {sign} {b.inner}"
    bits = max(a.bits, b.bits)
    if _fits(a, b, width):
        return made(text, a, b, 0, (1 << bits) - 1, 0, bits)
    return made(text, a, b, 0, MASK[width], width, bits)


def _left(a: Text, b: Text, width: int) -> Text:
    mask = MASK[width]
    count = _count(b, width)
    if b.is_constant and not b.loose:
        amount = b.low & (width - 1)
        if amount == 0:
            return _narrowed(a, width)
        text, bits = f"{a.inner} << {amount}", a.bits + amount
        if not a.loose and a.high << amount <= mask:
            return made(text, a, None, a.low << amount, a.high << amount, 0, bits)
        least = a.floor << amount if a.floor >= 0 else FAR_BELOW
        return made(text, a, None, 0, mask, width, bits, least)
    return made(f"{a.inner} << {count}", a, b, 0, mask, width, a.bits + width)


def _negate(a: Text, _b: Text, width: int) -> Text:
    return made(f"-{a.inner}", a, None, 0, MASK[width], width, max(a.bits, width) + 1)


def _count(b: Text, width: int) -> str:
    """A shift's count, as part of an expression."""
    if not b.loose and b.high < width:
        return b.inner
    return f"({b.inner} & {width - 1})"


def _right(a: Text, b: Text, width: int) -> Text:
    if b.is_constant and not b.loose:
        amount = b.low & (width - 1)
        if amount == 0:
            return a
        quotient = quotients.quotient(a, amount)
        if quotient is not None:
            return quotient
        return made(f"{a.inner} >> {amount}", a, None, a.low >> amount, a.high >> amount, 0, a.bits)
    return made(f"{a.inner} >> {_count(b, width)}", a, b, 0, a.high, 0, a.bits)


def _arithmetic_right(a: Text, b: Text, width: int) -> Text:
    sign = _SIGN[width]
    if a.high < sign:
        return _right(a, b, width)
    text = f"({a.inner} ^ {sign}) - {sign} >> {_count(b, width)}"
    return made(text, a, b, 0, MASK[width], width, width)


def _extend(b: Text, bits: int, width: int) -> Text:
    sign, mask = 1 << (bits - 1), (1 << bits) - 1
    if not b.loose and b.high < sign:
        return b
    inner = b.inner if not b.loose and b.high <= mask else f"({b.inner} & {mask})"
    return made(f"({inner} ^ {sign}) - {sign}", b, None, 0, MASK[width], width, width)


def _divide(a: Text, b: Text, width: int) -> Text:
    if b.is_constant and b.low == 0:
        return number(0)
    text = f"{a.inner} // {b.inner}"
    if b.low > 0:
        return made(text, a, b, a.low // b.high, a.high // b.low, 0, a.bits)
    return made(f"{text} if {b.inner} else 0", a, b, 0, a.high, 0, width)


def _remainder(a: Text, b: Text, width: int) -> Text:
    if b.is_constant and b.low == 0:
        return a
    text = f"{a.inner} % {b.inner}"
    if b.low > 0:
        return made(text, a, b, 0, min(a.high, b.high - 1), 0, a.bits)
    return made(f"{text} if {b.inner} else {a.inner}", a, b, 0, a.high, 0, width)


def _divide_signed(a: Text, b: Text, width: int) -> Text:
    return made(f"sdiv({a.text}, {b.text}, {width})", a, b, 0, MASK[width], width, width + 1)


def _remainder_signed(a: Text, b: Text, width: int) -> Text:
    return made(f"smod({a.text}, {b.text}, {width})", a, b, 0, MASK[width], width, width + 1)


_RING: Final[dict[Sem, Callable[[Text, Text, int], Text]]] = {
    Sem.ADD: _add,
    Sem.SUB: _subtract,
    Sem.MUL: _multiply,
    Sem.AND: _and,
    Sem.OR: _or,
    Sem.XOR: _xor,
    Sem.LSH: _left,
    Sem.NEG: _negate,
}
"""Operations whose low bits depend on the low bits of the operands alone."""

_EXACT: Final[dict[Sem, Callable[[Text, Text, int], Text]]] = {
    Sem.RSH: _right,
    Sem.ARSH: _arithmetic_right,
    Sem.DIV: _divide,
    Sem.MOD: _remainder,
    Sem.SDIV: _divide_signed,
    Sem.SMOD: _remainder_signed,
}
_SHIFTS: Final = frozenset({Sem.RSH, Sem.ARSH})
_EXTENDING: Final = {Sem.MOVSX8: 8, Sem.MOVSX16: 16, Sem.MOVSX32: 32}
EXTENSIONS: Final = {bits: sem for sem, bits in _EXTENDING.items()}
"""The operation that extends the sign of a loaded number, by its width."""

ONE_OPERAND: Final = frozenset({Sem.MOV, *_EXTENDING})
"""Operations that read their second operand only."""

DIVISIONS: Final = frozenset({Sem.DIV, Sem.MOD})
_SWAPS: Final = {
    **dict.fromkeys((Sem.BE16, Sem.BSWAP16), 16),
    **dict.fromkeys((Sem.BE32, Sem.BSWAP32), 32),
    **dict.fromkeys((Sem.BE64, Sem.BSWAP64), 64),
}
_CUTS: Final = {Sem.LE16: 16, Sem.LE32: 32, Sem.LE64: 64}
BYTE_ORDERS: Final = frozenset({*_SWAPS, *_CUTS})


def reorder(sem: Sem, a: Text) -> Text:
    """The result of a byte order instruction."""
    width = _CUTS.get(sem) or _SWAPS[sem]
    mask = (1 << width) - 1
    if a.loose and a.loose < width:
        a = cut(a, a.loose)
    kept = a
    if a.loose or a.high > mask:
        kept = made(f"{a.inner} & {mask}", a, None, 0, mask, 0, width)
    if sem in _CUTS:
        return kept
    return made(f"swap({kept.text}, 0, {width})", kept, None, 0, mask, 0, width)


_SIGNS: Final = {
    Sem.JEQ: "==",
    Sem.JNE: "!=",
    Sem.JGT: ">",
    Sem.JGE: ">=",
    Sem.JLT: "<",
    Sem.JLE: "<=",
    Sem.JSGT: ">",
    Sem.JSGE: ">=",
    Sem.JSLT: "<",
    Sem.JSLE: "<=",
}
_INVERSE: Final = {"==": "!=", "!=": "==", ">": "<=", ">=": "<", "<": ">=", "<=": ">"}
_SIGNED: Final = frozenset({Sem.JSGT, Sem.JSGE, Sem.JSLT, Sem.JSLE})


def condition(sem: Sem, width: int, a: Text, b: Text, *, taken: bool) -> str:
    """The test of a conditional jump; with `taken` False, its opposite."""
    a, b = cut(a, width), cut(b, width)
    if sem is Sem.JSET:
        return f"{a.inner} & {b.inner}" if taken else f"not {a.inner} & {b.inner}"
    sign = _SIGNS[sem] if taken else _INVERSE[_SIGNS[sem]]
    half = _SIGN[width]
    if sem in _SIGNED and (a.high >= half or b.high >= half):
        return f"{_biased(a, half)} {sign} {_biased(b, half)}"
    return f"{a.inner} {sign} {b.inner}"


def _biased(value: Text, half: int) -> str:
    """A signed number in the order of the unsigned ones."""
    return str(value.low ^ half) if value.is_constant else f"({value.inner} ^ {half})"


def narrow(value: Text, width: int) -> str:
    """The text of the low `width` bits (8 to 64), for a store."""
    if value.loose and value.loose < width:
        return value.exact
    mask = (1 << width) - 1
    if not value.loose and value.high <= mask:
        return value.text
    return f"{value.inner} & {mask}"
