"""What reaches a terminal: escaping, tables, errors, exit codes, JSON."""

from __future__ import annotations

import json

import pytest

from client.escape import display_width, escape
from client.exits import Exit, exit_code
from client.results import Outcome, dump_json, envelope, worst
from client.text import block, duration, error_lines, finding_lines, microseconds, quoted, size, table, uptime
from device.errors import (
    BuildError,
    ConfigError,
    LoadError,
    MicroBpfError,
    NotFound,
    RemoteError,
    SuitError,
    TransportError,
    VerifyError,
)

ESCAPES = [
    ("plain", "calm-otter 1", "calm-otter 1"),
    ("umlaut", "Türgerät", "Türgerät"),
    ("wide", "温度", "温度"),
    ("newline", "a\nb", "a\\nb"),
    ("tab", "a\tb", "a\\tb"),
    ("return", "a\rb", "a\\rb"),
    ("escape sequence", "\x1b[31mred", "\\x1b[31mred"),
    ("delete", "a\x7f", "a\\x7f"),
    ("nul", "\0", "\\x00"),
    ("C1 control sequence introducer", "\x9b31m", "\\x9b31m"),
    ("C1 next line", "\x85", "\\x85"),
    ("right-to-left override", "abc\u202etxt", "abc\\u202etxt"),
    ("isolate", "\u2066x\u2069", "\\u2066x\\u2069"),
    ("arabic letter mark", "\u061c", "\\u061c"),
    ("line separator", "\u2028", "\\u2028"),
    ("zero width joiner", "a\u200db", "a\\u200db"),
    ("soft tag character", "\U000e0041", "\\U000e0041"),
    ("lone surrogate", "\ud800", "\\ud800"),
]


@pytest.mark.parametrize(("text", "shown"), [row[1:] for row in ESCAPES], ids=[row[0] for row in ESCAPES])
def test_text_of_devices_is_harmless(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_newlines_stay_only_where_they_are_wanted() -> None:
    assert escape("a\nb\x1b", lines=True) == "a\nb\\x1b"


def test_every_control_character_is_escaped() -> None:
    controls = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]
    assert not [character for character in controls if escape(character) == character]


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("温度", 4), ("é", 1), ("e\u0301", 1)])
def test_display_width(text: str, width: int) -> None:
    assert display_width(text) == width


def test_a_table_aligns_text_left_and_numbers_right() -> None:
    assert table(("NAME", "SLOTS"), [("a", 5), ("温度", None), ("\x1b", 12)]) == [
        "NAME  SLOTS",
        "a         5",
        "温度      -",
        "\\x1b     12",
    ]


def test_a_block_leaves_out_what_is_not_known() -> None:
    assert block({"name": "x", "board": None, "up": 3}) == ["name  x", "up    3"]


def test_output_of_a_program_stays_behind_its_bar() -> None:
    assert quoted("a\n\x1b[2Jb\n") == ["| a", "| \\x1b[2Jb"]
    assert quoted("") == []


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.00012, "0.1 ms"), (0.0123, "12.3 ms"), (0.25, "250 ms"), (1.5, "1.50 s"), (123.4, "123 s")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(("count", "shown"), [(0, "0 B"), (4096, "4096 B"), (65536, "64.0 KiB")])
def test_sizes(count: int, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(("count", "shown"), [(None, None), (12, "12 µs"), (1500, "1.5 ms")])
def test_microseconds(count: int | None, shown: str | None) -> None:
    assert microseconds(count) == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"), [(999, "0 s"), (61_000, "1 min 1 s"), (90_061_000, "1 d 1 h")]
)
def test_uptimes(milliseconds: int, shown: str) -> None:
    assert uptime(milliseconds) == shown


EXITS = [
    (ConfigError("no"), Exit.USAGE),
    (TransportError("no"), Exit.UNREACHABLE),
    (TransportError("no", code="timeout"), Exit.UNREACHABLE),
    (RemoteError("no", status="4.04"), Exit.REFUSED),
    (RemoteError("no", status="5.00"), Exit.REFUSED),
    (RemoteError("no", status="4.03"), Exit.SECURITY),
    (RemoteError("no", status="4.01"), Exit.SECURITY),
    (RemoteError("no", status="4.12", code="ROLLBACK"), Exit.SECURITY),
    (RemoteError("no", status="4.12", code="CLASS_MISMATCH"), Exit.REFUSED),
    (SuitError("no", code="BAD_SIGNATURE"), Exit.SECURITY),
    (SuitError("no", code="STORAGE_EXCEEDED"), Exit.REFUSED),
    (BuildError("no"), Exit.REFUSED),
    (LoadError("no"), Exit.REFUSED),
    (VerifyError("no", findings=[]), Exit.REFUSED),
    (NotFound("no"), Exit.REFUSED),
    (RuntimeError("no"), Exit.REFUSED),
]


@pytest.mark.parametrize(("error", "code"), EXITS, ids=[f"{type(e).__name__}-{c.name}" for e, c in EXITS])
def test_exit_codes(error: Exception, code: Exit) -> None:
    assert exit_code(error) is code


def test_several_devices_end_with_the_highest_code() -> None:
    outcomes = [Outcome("a", 1), Outcome("b", error=TransportError("no")), Outcome("c", 2)]
    assert worst(outcomes) is Exit.UNREACHABLE
    assert worst([]) is Exit.DONE


def test_the_envelope() -> None:
    error = RemoteError(
        "no", status="4.22", title="Refused", code="PROGRAM", where="w", hint="h", extra={"findings": [1]}
    )
    shown = envelope([Outcome("a", {"digest": b"\x01"}), Outcome("b", error=error)])
    assert shown == {
        "ok": False,
        "results": [
            {"device": "a", "ok": True, "result": {"digest": "01"}},
            {
                "device": "b",
                "ok": False,
                "error": {
                    "code": "PROGRAM",
                    "where": "w",
                    "hint": "h",
                    "title": "Refused",
                    "detail": "no",
                    "findings": [1],
                },
            },
        ],
    }
    assert envelope([]) == {"ok": True, "results": []}


def test_json_is_safe_on_a_terminal_and_still_says_the_same() -> None:
    value = {"name": "\x1b[2J\x9b\u202e\x7f温"}
    line = dump_json(value)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == value


def test_an_error_for_people() -> None:
    error = VerifyError(
        "the program is refused",
        findings=[
            {"id": "reg-r10", "severity": "E", "message": "write to r10 at insn #3", "source": "prog.c:12"},
            {"id": "uninit", "severity": "W", "message": "r3 read before written"},
        ],
        where="insn #3",
        hint="look at it\x1b",
    )
    assert error_lines(error, "dev\n") == [
        "dev\\n: Program refused by the verifier: the program is refused [verify]",
        "  where: insn #3",
        "  error reg-r10: write to r10 at insn #3  (prog.c:12)",
        "  warning uninit: r3 read before written",
        "  hint: look at it\\x1b",
    ]


@pytest.mark.parametrize(
    ("warnings", "errors", "lines", "last"),
    [
        (0, 20, 20, "error opcode: at #19"),
        (0, 21, 21, "and 1 more; -o json shows all"),
        (8000, 700, 21, "and 8680 more; -o json shows all"),
    ],
    ids=["as many as are shown", "one more", "garbage"],
)
def test_findings_without_end_are_counted(warnings: int, errors: int, lines: int, last: str) -> None:
    found = [{"severity": "W", "id": "odd", "message": f"at #{number}"} for number in range(warnings)]
    found += [{"severity": "E", "id": "opcode", "message": f"at #{number}"} for number in range(errors)]
    shown = finding_lines(found)
    assert (len(shown), shown[-1]) == (lines, last)
    assert shown[:20] == [f"error opcode: at #{number}" for number in range(20)]


def test_a_compilers_text_keeps_its_lines() -> None:
    lines = error_lines(BuildError("prog.c:1: error\n  int x\n"))
    assert lines == ["Build failed: prog.c:1: error [build]", "    int x"]


def test_an_error_of_a_peer_has_the_peers_title() -> None:
    error: MicroBpfError = RemoteError("slot 3 is empty", status="4.09", title="Conflict", code="conflict")
    assert error_lines(error)[0] == "Conflict: slot 3 is empty [conflict]"
