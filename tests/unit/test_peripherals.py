"""The simulated board: signals, registry, pins, lines, display (helpers.md section 3)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from device.errors import ConfigError, MalformedRequest, PeripheralError
from device.peripherals import (
    Board,
    Constant,
    Failing,
    Series,
    Signal,
    Sine,
    Walk,
    make_board,
    signal_from,
    signal_of,
)
from device.peripherals.analog import key_of, light_percent, sound_decibels
from device.peripherals.display import Display

SECOND = 1_000_000


class Time:
    def __init__(self) -> None:
        self.us = 0

    def now_us(self) -> int:
        return self.us


def board(name: str = "native", **signals: Signal) -> Board:
    targets = {target.replace("_", ":"): signal for target, signal in signals.items()}
    return make_board(name, Time().now_us, targets)


class TestSignals:
    def test_sine(self) -> None:
        signal = Sine(234, 20, 60)
        assert [signal.at(s * SECOND) for s in (0, 15, 30, 45, 60, 75)] == [234, 254, 234, 214, 234, 254]

    def test_walk_is_a_function_of_seed_and_time(self) -> None:
        def path(seed: int) -> list[int]:
            walk = Walk(200, 3, 1, seed, 150, 250)
            return [walk.at(s * SECOND) for s in range(3000)]

        first = path(7)
        assert first == path(7) != path(8)
        assert all(150 <= value <= 250 for value in first)
        assert {abs(b - a) for a, b in pairwise(first)} <= {0, 1, 2, 3}
        assert Walk(200, 3, 1, 7, 150, 250).at(2999 * SECOND) == first[2999]

    def test_a_walk_goes_on_for_ever(self) -> None:
        walk = Walk(0, 1, 0.001, 3, -10, 10)
        assert -10 <= walk.at(2**60) <= 10
        assert Walk(5, 1, 1, 0, 5, 5).at(10**12) == 5

    def test_a_series_holds_its_values(self) -> None:
        series = Series((1 * SECOND, 3 * SECOND), (10, 30))
        assert [series.at(s * SECOND) for s in (0, 1, 2, 3, 99)] == [10, 10, 10, 30, 30]

    def test_a_series_that_repeats(self) -> None:
        series = Series((0, 1 * SECOND, 2 * SECOND), (1, 2, 3), 2 * SECOND)
        assert [series.at(s * SECOND) for s in range(6)] == [1, 2, 1, 2, 1, 2]


@pytest.mark.parametrize(
    ("text", "signal"),
    [
        ("234", Constant(234)),
        ("-5", Constant(-5)),
        ("constant:7", Constant(7)),
        ("sine:234,20.5,60", Sine(234, 20.5, 60)),
        ("walk:200,1,5", Walk(200, 1, 5)),
        ("walk:200,1,0.5,9,100,300", Walk(200, 1, 0.5, 9, 100, 300)),
        ("fail", Failing()),
    ],
)
def test_texts(text: str, signal: Signal) -> None:
    assert signal_of(text) == signal


@pytest.mark.parametrize(
    "text",
    ["", "x", "1.5", "nan", "sine", "sine:1", "sine:1,2,0", "sine:1,2,3,4", "walk:1,2,3,4,9,5", "fail:1",
     "constant:1e30", "csv:", "csv:/nowhere", "csv:a,b", "series:1", "sine:a,b,c", "walk:1,2,inf"],
)  # fmt: skip
def test_texts_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        signal_of(text)
    assert caught.value.where == "--signal"


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (5, "kind"), ([], "kind"), ({}, "kind"), ({"kind": []}, "kind"), ({"kind": "saw"}, "kind"),
        ({"kind": "constant"}, "value"), ({"kind": "constant", "value": True}, "value"),
        ({"kind": "constant", "value": 1.5}, "value"), ({"kind": "constant", "value": 1, "x": 2}, "x"),
        ({"kind": "constant", "value": float("nan")}, "value"),
        ({"kind": "constant", "value": 10**400}, "value"),
        ({"kind": "sine", "mean": 1, "amplitude": 2, "period_s": -1}, "period_s"),
        ({"kind": "series", "points": []}, "points"),
        ({"kind": "series", "points": [[1, 2], [1, 3]]}, "points"),
        ({"kind": "series", "points": [[-1, 2]]}, "points"), ({"kind": "series", "points": "ab"}, "points"),
        ({"kind": "series", "points": [[0, 1]], "repeat": True}, "points"),
        ({"kind": "series", "points": [[0, 1]], "repeat": 1}, "repeat"),
    ],
    ids=str,
)  # fmt: skip
def test_maps_that_are_none(value: Any, where: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        signal_from(value)
    assert caught.value.where == where


def test_a_map() -> None:
    points = {"kind": "series", "points": [[0, 1], [0.5, 2.4]], "repeat": True}
    assert signal_from(points) == Series((0, 500_000), (1, 2), 500_000)


def test_a_recording(tmp_path: Path) -> None:
    file = tmp_path / "day.csv"
    file.write_text("seconds,value\n0,230\n\n1.5,235\n3,228\n")
    assert signal_of(f"csv:{file}") == Series((0, 1_500_000, 3_000_000), (230, 235, 228))
    assert signal_of(f"csv:{file},repeat") == Series((0, 1_500_000, 3_000_000), (230, 235, 228), 3_000_000)


@pytest.mark.parametrize("content", ["", "a,b\n", "0,1\nx,2\n", "0,1,2\n", "1,1\n0,2\n", "0,nan\n0,1\n\xff"])
def test_a_recording_that_is_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigError):
        signal_of(f"csv:{file}")


class TestRegistry:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            (
                "native",
                [
                    (0x44, 0), (0x82, 234), (0x83, 456), (0x82, 187), (0x83, 621), (0x85, 49), (0x84, 53),
                    (0x81, 0),
                ],
            ),
            ("nucleo-f439zi", [(0x44, 0), (0x44, 0), (0x44, 0), (0x81, 0), (0x82, 234), (0x83, 456)]),
        ],
    )  # fmt: skip
    def test_order_and_defaults(self, name: str, expected: list[tuple[int, int]]) -> None:
        state = board(name).state()
        readings = [(item.kind, item.reading.values[0]) for item in state.readers if item.reading]
        assert readings == expected

    @pytest.mark.parametrize(("position", "index"), [(-5, 0), (0, 0), (7, 7), (8, None), (2**31 - 1, None)])
    def test_find_nth(self, position: int, index: int | None) -> None:
        assert board().saul_find_nth(position) == index

    @pytest.mark.parametrize(("kind", "index"), [(0x44, 0), (0x82, 1), (0x85, 5), (0xFF, None), (0x80, None)])
    def test_find_class(self, kind: int, index: int | None) -> None:
        assert board().saul_find_class(kind) == index

    def test_units(self) -> None:
        shown = [board().saul_read(index) for index in (0, 1, 2, 5, 6, 7)]
        assert [(reading.unit, reading.scale) for reading in shown] == [
            (26, 0), (2, -1), (28, -1), (18, 0), (28, 0), (26, 0),
        ]  # fmt: skip

    def test_a_signal(self) -> None:
        time = Time()
        made = make_board("native", time.now_us, {"saul:1": Sine(234, 20, 60)})
        time.us = 15 * SECOND
        assert made.saul_read(1).values == made.saul_read(1).values == (254,)
        made.connect_saul(1, None)
        assert made.saul_read(1).values == (234,)

    def test_readings_have_16_bits(self) -> None:
        assert board(saul_1=Constant(99_999)).saul_read(1).values == (32767,)

    def test_a_sensor_that_fails(self) -> None:
        broken = board(saul_3=Failing())
        with pytest.raises(PeripheralError) as caught:
            broken.saul_read(3)
        assert caught.value.errno == 125
        assert broken.state().readers[3].problem == "DHT outdoor temperature does not answer"

    @pytest.mark.parametrize(
        ("action", "errno"),
        [
            (lambda b: b.saul_read(8), 19),
            (lambda b: b.saul_write(8, (1,)), 19),
            (lambda b: b.saul_write(1, (1,)), 95),
            (lambda b: b.connect_saul(0, Constant(1)), 95),
            (lambda b: b.connect_analog(3, Constant(1)), 19),
            (lambda b: b.gpio.connect(16, 0, Constant(1)), 19),
        ],
        ids=["read", "write", "write a sensor", "signal for an actuator", "line", "pin"],
    )
    def test_refusals(self, action: Callable[[Board], object], errno: int) -> None:
        with pytest.raises(PeripheralError) as caught:
            action(board())
        assert caught.value.errno == errno

    def test_an_led_and_its_pin(self) -> None:
        made = board()
        assert made.saul_write(0, (5, 0, 0)) == 1
        assert (made.pin_level(0, 5), made.saul_read(0).values) == (1, (1,))
        made.pin_write(0, 5, 0)
        assert made.saul_read(0).values == (0,)

    def test_the_button_and_its_pin(self) -> None:
        made = board(pin_C13=Constant(1))
        assert (made.saul_read(7).values, made.pin_input(2, 13)) == ((1,), 1)


@pytest.mark.parametrize(
    "target", ["", "saul", "saul:x", "saul:8", "saul:0", "adc:9", "pin:Q1", "pin:A16", "pin:16/0"]
)
def test_targets_that_are_none(target: str) -> None:
    with pytest.raises(ConfigError):
        make_board("native", Time().now_us, {target: Constant(1)})


class TestPins:
    def test_an_output_reads_its_latch_and_becomes_an_input_again(self) -> None:
        pins = board().gpio
        assert (pins.write(1, 2, 4096), pins.read_raw(1, 2)) == (1, 1)
        assert (pins.read_input(1, 2), pins.read_raw(1, 2), pins.latch(1, 2)) == (0, 0, 1)

    @pytest.mark.parametrize(("port", "pin"), [(16, 0), (0, 16), (2**32 - 1, 0), (-1, 0)])
    def test_a_pin_that_is_not_there(self, port: int, pin: int) -> None:
        pins = board().gpio
        assert (pins.write(port, pin, 1), pins.read_raw(port, pin), pins.read_input(port, pin)) == (0, 0, 0)
        assert pins.states() == ()

    def test_changes_are_logged_and_told_within_reason(self) -> None:
        time, lines, told = Time(), list[str](), list[int]()
        made = make_board("native", time.now_us, log=lines.append)
        made.listen(lambda: told.append(1))
        for value in range(100):
            made.pin_write(3, 4, value % 2)
        assert lines[:2] == ["pin D4 is an output, low", "pin D4 is an output, high"]
        assert (len(lines), len(told)) == (10, 100)
        time.us = SECOND
        made.pin_write(3, 4, 0)
        assert lines[10:] == ["90 more changes before this one", "pin D4 is an output, low"]
        made.pin_write(3, 4, 0)
        assert len(told) == 101


@pytest.mark.parametrize(("adc", "percent"), [(0, 0), (12, 0), (23, 1), (555, 53), (1023, 100)])
def test_light(adc: int, percent: int) -> None:
    assert light_percent(adc) == board(adc_1=Constant(adc)).saul_read(6).values[0] == percent


@pytest.mark.parametrize(("peak", "decibels"), [(0, 48), (20, 49), (31, 50), (900, 90), (1023, 95)])
def test_sound(peak: int, decibels: int) -> None:
    assert sound_decibels(peak) == board(adc_0=Constant(peak)).saul_read(5).values[0] == decibels


@pytest.mark.parametrize(
    ("value", "key"),
    [(0, 0), (199, 0), (200, 1), (499, 1), (500, 2), (699, 2), (700, 3), (899, 3), (900, 4), (1023, 4)],
)
def test_keypad(value: int, key: int) -> None:
    assert key_of(value) == board(adc_2=Constant(value)).key(2) == key


def test_lines() -> None:
    made = board(adc_2=Constant(5000))
    assert (made.analog(2), made.analog(0), made.analog(9), made.key(9)) == (1023, 20, None, 4)
    assert (board("nucleo-f439zi").key(2), board("nucleo-f439zi").display) == (4, None)


class TestDisplay:
    def test_text_runs_from_row_to_row(self) -> None:
        display = Display()
        display.print(b"x" * 39 + b"yz")
        state = display.state()
        assert (state.rows[0], state.rows[1][:2]) == ("x" * 39 + "y", "z ")
        assert (state.column, state.row) == (1, 1)
        display.print(b"a" * 39 + b"b")
        assert display.state().rows[0].startswith("bx")

    @pytest.mark.parametrize(
        ("column", "row", "place"),
        [(0, 1, (0, 1)), (5, 0, (5, 0)), (0, 7, (0, 1)), (40, 0, (39, 0)), (2**32 - 1, 2**32 - 1, (39, 1))],
    )
    def test_cursor(self, column: int, row: int, place: tuple[int, int]) -> None:
        display = Display()
        display.set_cursor(column, row)
        assert (display.state().column, display.state().row) == place

    def test_what_cannot_be_shown(self) -> None:
        display = Display()
        display.print(b"a\n\x80\xff\x00~")
        assert display.state().visible == ("a????~          ", " " * 16)

    def test_init_and_clear(self) -> None:
        display = Display()
        assert not display.state().ready
        display.init()
        display.print(b"text")
        display.clear()
        state = display.state()
        assert (state.rows, state.column, state.row, state.ready) == ((" " * 40,) * 2, 0, 0, True)


def test_50_threads() -> None:
    """Every text comes out whole, every change is told, nothing is torn."""
    told: list[int] = []
    made = board()
    made.listen(lambda: told.append(1))
    display = made.display
    assert display is not None

    def work(number: int) -> None:
        for turn in range(20):
            made.pin_write(number % 16, number // 16, turn % 2)
            display.print(bytes([97 + number % 26]) * 8)
            made.state()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = "".join(display.state().rows)
    assert all(len(set(text[at : at + 8])) == 1 for at in range(0, 80, 8))
    assert (display.state().column, display.state().row) == (0, 0)  # 8000 bytes are 100 times the memory
    assert len(told) == 50 * 20 * 2
    assert {pin.level for pin in made.gpio.states()} == {1}
