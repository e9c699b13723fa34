"""Numbers as text: bpf_fmt_s16_dfp and bpf_fmt_u32_dec (helpers.md section 6)."""

from __future__ import annotations

from typing import Final

from device.vm.helpers.call import Call
from device.vm.helpers.contract import CheckedByHelper, CType, Helper, Parameter

MAX_FP_DIGITS: Final = 10


def fixed_point(value: int, fp_digits: int) -> bytes:
    """`value` times ten to the power of `fp_digits`; empty when that is not from -10 to 10."""
    if abs(fp_digits) > MAX_FP_DIGITS:
        return b""
    if fp_digits >= 0:
        return b"%d" % value + b"0" * fp_digits
    whole, fraction = divmod(abs(value), 10**-fp_digits)
    sign = b"-" if value < 0 else b""
    return sign + b"%d.%0*d" % (whole, -fp_digits, fraction)


def _put(call: Call, out: int, text: bytes) -> int:
    """Write the text, which checks all of it first; a null pointer only counts."""
    if out != 0:
        call.write(1, out, text)
    return len(text)


def _fmt_s16_dfp(call: Call, out: int, value: int, fp_digits: int) -> int:
    return _put(call, out, fixed_point(value, fp_digits))


def _fmt_u32_dec(call: Call, out: int, value: int) -> int:
    return _put(call, out, b"%d" % value)


_OUT: Final = Parameter("out", CType.POINTER, CheckedByHelper("W length, or 0"))

TEXT: Final = (
    Helper(
        id=0x50,
        prototype="size_t bpf_fmt_s16_dfp(char *out, int16_t val, int fp_digits)",
        summary="writes val * 10^fp_digits in decimal, without NUL; characters, also for out = 0",
        parameters=(_OUT, Parameter("val", CType.I16), Parameter("fp_digits", CType.INT)),
        result=CType.SIZE,
        function=_fmt_s16_dfp,
    ),
    Helper(
        id=0x51,
        prototype="size_t bpf_fmt_u32_dec(char *out, uint32_t val)",
        summary="writes val in decimal, without NUL; characters, also for out = 0",
        parameters=(_OUT, Parameter("val", CType.U32)),
        result=CType.SIZE,
        function=_fmt_u32_dec,
    ),
)
