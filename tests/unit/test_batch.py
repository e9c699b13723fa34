"""`run --batch`: whatever a line says gets an answer line, and the next one is read (client.md)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client import batch
from client.batch import LAYOUTS, MAX_MESSAGE, answer_line, run_batch
from device import engines
from device.engines import ENGINES
from device.vm.writer import object_from_text
from tests.headers import Header

EXIT = "9500000000000000"
R0_IS_7 = "b700000007000000"
SEVEN = R0_IS_7 + EXIT
ENDLESS = "0500feff00000000"
MINIMAL = {"program": SEVEN, "memory": "", "engine": "switch"}


def answer(line: str | bytes, **options: float) -> Any:
    text = answer_line(line, **options)
    assert "\n" not in text
    return json.loads(text)


def ask(**fields: Any) -> Any:
    return answer(json.dumps({**MINIMAL, **fields}))


def error(**fields: Any) -> tuple[str, str]:
    reply = ask(**fields)
    assert set(reply) <= {"error", "memory"}
    assert set(reply["error"]) <= {"stage", "code", "message", "insn"}
    return reply["error"]["stage"], reply["error"]["code"]


class TestResults:
    def test_minimal(self) -> None:
        assert ask() == {"r0": "0x0000000000000007", "memory": "", "instructions": 2}

    def test_memory_is_writable_and_comes_back(self) -> None:
        """r1 is its address, r2 its length."""
        reply = ask(program="7321010000000000" + "bf10000000000000" + EXIT, memory="AA bbcc")
        assert reply == {"r0": "0x0000000020200000", "memory": "aa03cc", "instructions": 3}

    def test_without_memory_r1_is_0(self) -> None:
        assert ask(program="bf10000000000000" + EXIT)["r0"] == "0x0000000000000000"

    def test_negative(self) -> None:
        assert ask(program="b7000000ffffffff" + EXIT)["r0"] == "0xffffffffffffffff"

    def test_auto(self) -> None:
        assert ask(engine="auto")["instructions"] == 2

    def test_elf(self) -> None:
        image = object_from_text(bytes.fromhex(SEVEN))
        assert ask(program=image.hex(), layout="elf")["r0"] == "0x0000000000000007"

    @pytest.mark.parametrize("layout", ["femto", "sming", "extended"])
    def test_headers(self, layout: str) -> None:
        image = Header(layout, text=bytes.fromhex(SEVEN)).build()
        assert ask(program=image.hex(), layout=layout)["r0"] == "0x0000000000000007"

    def test_regions(self) -> None:
        """The second lies at its own address and may be written."""
        lddw = "18020000000031200000000000000000"
        text = lddw + "7a02000005000000" + "7120000000000000" + EXIT
        regions = [{"bytes": "01"}, {"bytes": "00" * 8, "writable": True}]
        assert ask(program=text, regions=regions)["r0"] == "0x0000000000000005"
        assert error(program=text, regions=[{"bytes": "01"}, {"bytes": "00" * 8}]) == ("run", "ILLEGAL_MEM")

    def test_profile(self) -> None:
        assert ask(profile="ubpf")["instructions"] == 2

    def test_the_profiles_helpers(self) -> None:
        store = "b701000001000000" + "b702000009000000" + "8500000010000000"
        fetch = "bfa2000000000000" + "07020000f8ffffff" + "8500000012000000" + "61a0f8ff00000000"
        assert ask(program=store + fetch + EXIT)["r0"] == "0x0000000000000009"
        assert ask(program=fetch + EXIT)["r0"] == "0x0000000000000000"

    def test_the_clock_is_the_same_each_time(self) -> None:
        text = "8500000060000000" + "8500000060000000" + EXIT
        assert [ask(program=text)["r0"] for _ in range(2)] == ["0x00000000000007d0"] * 2

    @pytest.mark.parametrize("number", ["5", "0x5", "4294967294"])
    def test_helpers(self, number: str) -> None:
        call = "85000000" + (int(number, 0) & 0xFFFFFFFF).to_bytes(4, "little").hex()
        text = "b7010000fdffffff" + call + EXIT
        assert ask(program=text, helpers={number: "r1"})["r0"] == "0xfffffffffffffffd"
        assert error(program=text) == ("load", "helper-unknown")

    def test_budget(self) -> None:
        assert ask(budget=2)["instructions"] == 2
        assert error(budget=1) == ("run", "OUT_OF_INSTRUCTIONS")
        assert ask(budget=10**30)["instructions"] == 2
        assert ask(budget=None)["instructions"] == 2


class TestRefusals:
    @pytest.mark.parametrize(
        ("line", "code"),
        [
            pytest.param("", "malformed", id="empty"),
            pytest.param("hello", "malformed", id="no JSON"),
            pytest.param("{", "malformed", id="half JSON"),
            pytest.param(json.dumps(MINIMAL) * 2, "malformed", id="two objects"),
            pytest.param("[]", "malformed", id="a list"),
            pytest.param("null", "malformed", id="null"),
            pytest.param("NaN", "malformed", id="NaN"),
            pytest.param("1e999", "malformed", id="infinity"),
            pytest.param("9" * 5000, "malformed", id="a number of 5000 digits"),
            pytest.param("[" * 100_000, "malformed", id="nested lists"),
            pytest.param('{"a":' * 100_000, "malformed", id="nested objects"),
            pytest.param('{"program": "\\ud800"}', "malformed", id="lone surrogate"),
            pytest.param("\udcff", "malformed", id="undecodable as text"),
            pytest.param(b"\xff\xfe{}", "malformed", id="no UTF-8"),
            pytest.param(b"\0" * 1000, "malformed", id="NULs"),
            pytest.param("{}", "malformed", id="nothing"),
        ],
    )
    def test_lines(self, line: str | bytes, code: str) -> None:
        reply = answer(line)
        assert reply.keys() == {"error"}
        assert (reply["error"]["stage"], reply["error"]["code"]) == ("request", code)

    @pytest.mark.parametrize("name", MINIMAL)
    def test_missing(self, name: str) -> None:
        line = json.dumps({key: value for key, value in MINIMAL.items() if key != name})
        assert answer(line)["error"]["message"] == f"field '{name}' is missing"

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            pytest.param({"program": 5}, "malformed", id="program: number"),
            pytest.param({"program": None}, "malformed", id="program: null"),
            pytest.param({"program": "xyz"}, "malformed", id="program: no hex"),
            pytest.param({"program": "abc"}, "malformed", id="program: half a byte"),
            pytest.param({"memory": "0"}, "malformed", id="memory: half a byte"),
            pytest.param({"memory": ["00"]}, "malformed", id="memory: list"),
            pytest.param({"memory": "00" * 65_537}, "too-large", id="memory: too long"),
            pytest.param({"engine": "warp"}, "engine-unavailable", id="engine: unknown"),
            pytest.param({"engine": {}}, "malformed", id="engine: object"),
            pytest.param({"layout": "pe"}, "layout-unavailable", id="layout"),
            pytest.param({"layout": 0}, "malformed", id="layout: number"),
            pytest.param({"profile": "riot2022"}, "profile-unavailable", id="profile"),
            pytest.param({"budget": 0}, "malformed", id="budget: 0"),
            pytest.param({"budget": -(10**40)}, "malformed", id="budget: negative"),
            pytest.param({"budget": 1.5}, "malformed", id="budget: fraction"),
            pytest.param({"budget": True}, "malformed", id="budget: boolean"),
            pytest.param({"budget": "5"}, "malformed", id="budget: text"),
            pytest.param({"regions": {}}, "malformed", id="regions: object"),
            pytest.param({"regions": ["00"]}, "malformed", id="regions: text"),
            pytest.param({"regions": [{"writable": True}]}, "malformed", id="regions: no bytes"),
            pytest.param({"regions": [{"bytes": "00", "writable": 1}]}, "malformed", id="regions: number"),
            pytest.param({"regions": [{"bytes": "00", "at": 1}]}, "malformed", id="regions: unknown field"),
            pytest.param({"regions": [{"bytes": "00"}] * 17}, "too-large", id="regions: 17"),
            pytest.param({"regions": [{"bytes": "00" * 65_537}]}, "too-large", id="regions: too long"),
            pytest.param({"helpers": []}, "malformed", id="helpers: list"),
            pytest.param({"helpers": {"5": "r2"}}, "malformed", id="helpers: unknown function"),
            pytest.param({"helpers": {"5": ["r1"]}}, "malformed", id="helpers: list as function"),
            pytest.param({"helpers": {"five": "r1"}}, "malformed", id="helpers: no number"),
            pytest.param({"helpers": {"-1": "r1"}}, "malformed", id="helpers: negative"),
            pytest.param({"helpers": {"4294967296": "r1"}}, "malformed", id="helpers: 33 bits"),
            pytest.param({"helpers": {"9" * 5000: "r1"}}, "malformed", id="helpers: huge"),
            pytest.param({"helpers": {"": "r1"}}, "malformed", id="helpers: empty"),
            pytest.param({"helpers": {"0x": "r1"}}, "malformed", id="helpers: half a number"),
            pytest.param({"colour": "blue"}, "malformed", id="unknown field"),
        ],
    )
    def test_fields(self, fields: dict[str, Any], code: str) -> None:
        assert error(**fields) == ("request", code)

    def test_a_message_is_short_whatever_it_quotes(self) -> None:
        message = ask(**{"x" * 1_000_000: 1})["error"]["message"]
        assert len(message) <= MAX_MESSAGE

    def test_a_hint_is_part_of_the_message(self) -> None:
        message = ask(engine="warp")["error"]["message"]
        assert message == f"engine 'warp' is not available (available: auto, {', '.join(ENGINES)})"


class TestLoad:
    @pytest.mark.parametrize(
        ("program", "layout", "code", "insn"),
        [
            pytest.param("8d00000000000000" + EXIT, "text", "opcode-callx", 0, id="opcode"),
            pytest.param(R0_IS_7 + "b70a000000000000" + EXIT, "text", "reg-r10", 1, id="register"),
            pytest.param(R0_IS_7, "text", "no-exit", 0, id="no exit"),
            pytest.param(SEVEN, "elf", "load-layout", None, id="other layout than declared"),
            pytest.param("", "text", "load-short", None, id="nothing"),
        ],
    )
    def test_refused(self, program: str, layout: str, code: str, insn: int | None) -> None:
        reply = ask(program=program, layout=layout)
        assert reply.keys() == {"error"}
        assert (reply["error"]["stage"], reply["error"]["code"]) == ("load", code)
        assert reply["error"].get("insn") == insn

    def test_warnings_do_not_refuse(self) -> None:
        assert ask(program="3700000000000000" + EXIT)["r0"] == "0x0000000000000000"


class TestRun:
    def test_fault(self) -> None:
        """What was written before it is in the answer."""
        reply = ask(program="7201000011000000" + "720a000000000000" + EXIT, memory="00")
        assert reply["memory"] == "11"
        assert reply["error"] == {
            "stage": "run",
            "code": "ILLEGAL_MEM",
            "message": "ILLEGAL_MEM: store of 1 byte at 0x20101000 (just past the end of the stack frame)"
            " at insn #1 (offset 0x8)",
            "insn": 1,
        }

    def test_an_endless_loop_ends_by_the_default_budget(self) -> None:
        assert error(program=R0_IS_7 + ENDLESS) == ("run", "OUT_OF_INSTRUCTIONS")

    def test_an_endless_loop_of_any_budget_ends_by_the_deadline(self) -> None:
        line = json.dumps({**MINIMAL, "program": R0_IS_7 + ENDLESS, "budget": 10**18})
        start = monotonic()
        reply = answer(line, deadline_s=0.05)
        assert monotonic() - start < 5
        assert (reply["error"]["stage"], reply["error"]["code"]) == ("run", "KILLED")
        assert "deadline" in reply["error"]["message"]

    def test_a_mistake_of_ours_is_an_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(_name: str) -> None:
            raise ZeroDivisionError("oops")

        monkeypatch.setattr(engines, "select", broken)
        assert ask()["error"] == {"stage": "run", "code": "internal", "message": "ZeroDivisionError: oops"}


class Recorder(io.StringIO):
    """A stream that counts how often it was flushed."""

    flushes = 0

    def flush(self) -> None:
        self.flushes += 1


@pytest.mark.parametrize("kind", [str, bytes])
def test_run_batch_answers_in_order_and_flushes_each_line(kind: type) -> None:
    out = Recorder()

    def lines() -> Iterator[Any]:
        for number, text in enumerate([json.dumps(MINIMAL), "no", json.dumps({**MINIMAL, "memory": "01"})]):
            assert out.flushes == out.getvalue().count("\n") == number
            yield text + "\n" if kind is str else text.encode() + b"\r\n"

    run_batch(lines(), out)
    answers = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [list(reply) for reply in answers] == [["r0", "memory", "instructions"], ["error"], [
        "r0", "memory", "instructions"]]  # fmt: skip
    assert answers[2]["memory"] == "01"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just(SEVEN),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["program", "memory", "engine", "layout", "profile", "budget", "regions", "helpers", "other"]


@given(fields=st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES))
@settings(deadline=None)
def test_any_object_is_answered(fields: dict[str, Any]) -> None:
    reply = ask(**fields)
    assert "error" in reply or "r0" in reply
    assert reply.get("error", {}).get("code") != "internal"


@given(line=st.text() | st.binary())
@settings(deadline=None)
def test_any_line_is_answered(line: str | bytes) -> None:
    assert answer(line)["error"]["stage"] == "request"


@given(program=st.binary(max_size=120), memory=st.binary(max_size=20), layout=st.sampled_from([*LAYOUTS]))
@settings(deadline=None)
def test_any_program_is_answered(program: bytes, memory: bytes, layout: str) -> None:
    reply = ask(program=program.hex(), memory=memory.hex(), layout=layout, budget=1000)
    assert "r0" in reply or reply["error"]["stage"] in ("load", "run")
    assert reply.get("error", {}).get("code") != "internal"


def test_the_deadline_is_the_documented_one() -> None:
    assert batch.DEADLINE_S == 60
    assert "60 seconds" in (batch.__doc__ or "")
