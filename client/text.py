"""Shapes of text for people: tables, blocks, sizes, times, errors. Pure; nothing here prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from client.escape import display_width, escape
from device.errors import MicroBpfError, RemoteError

_GAP: Final = "  "
_INDENT: Final = "  "
_ROW: Final = 16

MOST_FINDINGS: Final = 20
"""Findings that people get to see: a file that is no program at all has thousands."""


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Left-aligned columns as wide as their widest cell; numbers to the right. Cells are escaped."""
    listed = [list(row) for row in rows]
    cells = [[_cell(value) for value in row] for row in listed]
    widths = [
        max([len(title), *(display_width(row[index]) for row in cells)]) for index, title in enumerate(header)
    ]
    numeric = [
        bool(listed) and all(isinstance(row[index], int) or row[index] is None for row in listed)
        for index in range(len(header))
    ]
    columns = list(zip(widths, numeric, strict=True))
    return [_row(row, columns) for row in (list(header), *cells)]


def _row(cells: Sequence[str], columns: Sequence[tuple[int, bool]]) -> str:
    padded = (_pad(cell, width, right) for cell, (width, right) in zip(cells, columns, strict=True))
    return _GAP.join(padded).rstrip()


def _cell(value: Any) -> str:
    return "-" if value is None else escape(value)


def _pad(text: str, width: int, right: bool) -> str:
    fill = " " * (width - display_width(text))
    return fill + text if right else text + fill


def block(pairs: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> list[str]:
    """Names and values below each other, escaped; what has the value None is left out."""
    items = list(pairs.items() if isinstance(pairs, Mapping) else pairs)
    shown = [(escape(name), escape(value)) for name, value in items if value is not None]
    width = max((display_width(name) for name, _ in shown), default=0)
    return [f"{name:<{width}}{_GAP}{value}".rstrip() for name, value in shown]


def quoted(text: str, bar: str = "| ") -> list[str]:
    """Text of a program, line by line behind a bar, so that it cannot pass for ours."""
    lines = escape(text, lines=True).split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return [bar + line for line in lines]


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count} B" if count < 10_000 else f"{count / 1024:.1f} KiB"


def duration(seconds: float) -> str:
    """A time for people, with three digits at most."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 100 else f"{seconds:.0f} s"


def microseconds(count: int | None) -> str | None:
    """The same for a number of microseconds."""
    if count is None:
        return None
    return f"{count} µs" if count < 1000 else duration(count / 1_000_000)


def uptime(milliseconds: int) -> str:
    """How long a device has been up: the two largest units."""
    seconds = milliseconds // 1000
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    parts: list[str] = []
    for length, name in units:
        if seconds >= length or (name == "s" and not parts):
            parts.append(f"{seconds // length} {name}")
        seconds %= length
    return " ".join(parts[:2])


def hex_ids(ids: Iterable[int]) -> str:
    """Helper ids as people write them."""
    return " ".join(f"0x{value:02x}" for value in ids)


def hexdump(content: bytes, base: int) -> Iterator[str]:
    """Address, 16 bytes a row, and what of them is printable ASCII."""
    for offset in range(0, len(content), _ROW):
        row = content[offset : offset + _ROW]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{base + offset:08x}  {row.hex(' '):<47}  |{text}|"


def error_lines(error: MicroBpfError, device: str | None = None) -> list[str]:
    """An error as a sentence, then where it is, what was found and what to try."""
    code = "" if error.code in error.detail else f" [{escape(error.code)}]"
    title = (error.remote_title if isinstance(error, RemoteError) else "") or error.title
    head = f"{escape(device)}: " if device else ""
    detail = escape(error.detail, lines=True).strip().split("\n")
    lines = [f"{head}{escape(title)}: {detail[0]}{code}"]
    lines += [_INDENT + line for line in detail[1:]]
    if error.where and error.where not in error.detail:
        lines.append(f"{_INDENT}where: {escape(error.where)}")
    findings = error.extra.get("findings")
    if isinstance(findings, list | tuple) and findings:
        lines += [_INDENT + line for line in finding_lines(findings)]
    if error.hint:
        lines.append(f"{_INDENT}hint: {escape(error.hint)}")
    return lines


def finding_lines(findings: Sequence[Any]) -> list[str]:
    """The verifier's findings: severity, id, message, source; on a line below what to have there instead.

    Of more than MOST_FINDINGS the first of them, errors before warnings, and how many there are besides.
    """
    further = len(findings) - MOST_FINDINGS
    if further <= 0:
        return [line for finding in findings for line in _finding(finding)]
    gravest = sorted(findings, key=_is_warning)[:MOST_FINDINGS]
    shown = [line for finding in gravest for line in _finding(finding)]
    return [*shown, f"and {further} more; -o json shows all"]


def _finding(finding: Any) -> list[str]:
    if not isinstance(finding, Mapping):
        return [escape(finding)]
    severity = "warning" if _is_warning(finding) else "error"
    source = f"  ({escape(finding['source'])})" if finding.get("source") else ""
    line = f"{severity} {escape(finding.get('id', ''))}: {escape(finding.get('message', ''))}{source}"
    expected, tried = finding.get("expected"), finding.get("hint")
    advice = [f"expected {escape(expected)}"] if expected else []
    advice += [escape(tried)] if tried else []
    return [line, f"{_INDENT}{'; '.join(advice)}"] if advice else [line]


def _is_warning(finding: Any) -> bool:
    return isinstance(finding, Mapping) and finding.get("severity") in ("W", "warning")
