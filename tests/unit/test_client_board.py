"""What is seen of a board, and the texts that set what it senses."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from client.board import board_lines, change_of, decimal, follow, play, scenario, signal_map
from client.connection import Connection
from client.directory import Target
from client.exchange import Call, Reply
from client.remote import RemoteDevice
from device.api import BoardInfo
from device.errors import ConfigError
from device.peripherals import make_board, signal_from, signal_of
from device.server.board import board_info
from tests.unit.client_fakes import FakeNetwork, content

CHANGES: list[tuple[str, str, dict[str, Any]]] = [
    ("saul:1=250", "/saul/1", {"values": [250]}),
    ("saul:0=1", "/saul/0", {"values": [1]}),
    ("saul:3=fail", "/saul/3", {"fail": True}),
    ("saul:3=", "/saul/3", {"signal": None}),
    ("adc:2=400", "/board", {"adc": {"2": 400}}),
    ("pin:C13=1", "/board", {"pins": {"C13": 1}}),
    (
        "adc:1=sine:500,20,60",
        "/board",
        {"adc": {"1": {"kind": "sine", "mean": 500.0, "amplitude": 20.0, "period_s": 60.0}}},
    ),
]


@pytest.mark.parametrize(("text", "path", "body"), CHANGES, ids=[row[0] for row in CHANGES])
def test_an_input_is_set_by_a_text(text: str, path: str, body: dict[str, Any]) -> None:
    change = change_of(text)
    assert (change.path, change.body) == (path, body)


@pytest.mark.parametrize("text", ["", "saul:1", "1=2", "led:1=2", "adc:2=", "saul:1=loud", "saul:=1"])
def test_a_text_that_sets_nothing_is_named(text: str) -> None:
    with pytest.raises(ConfigError):
        change_of(text)


@pytest.mark.parametrize("text", ["7", "sine:1,2,3", "walk:5,1,0.5,3,0,9", "fail", "csv:FILE,repeat"])
def test_a_signal_arrives_as_it_was_meant(text: str, tmp_path: Path) -> None:
    recording = tmp_path / "recording.csv"
    recording.write_text("0,1\n2.5,7\n4,9\n")
    signal = signal_of(text.replace("FILE", str(recording)))
    assert signal_from(signal_map(signal)) == signal


@pytest.mark.parametrize(
    ("value", "scale", "shown"),
    [
        (234, -1, "23.4"),
        (-5, -1, "-0.5"),
        (5, -2, "0.05"),
        (0, -1, "0.0"),
        (-32768, -1, "-3276.8"),
        (3, 2, "300"),
    ],
)
def test_readings_are_written_out(value: int, scale: int, shown: str) -> None:
    assert decimal(value, scale) == shown


def test_the_desk() -> None:
    board = make_board("native", lambda: 0)
    board.saul_write(0, (1,))
    board.connect_saul(3, signal_of("fail"))
    assert board.display is not None
    board.display.init()
    board.display.print(b"Temperature")
    lines = list(board_lines(board_info(board)))
    assert lines[0].startswith("● LED")
    assert lines[1:4] == ["┌────────────────┐", "│Temperature     │", "│                │"]
    text = "\n".join(lines)
    for shown in ("23.4 °C", "45.6 %", "does not answer", "49 dB", "53 %", "no", "2: 1023"):
        assert shown in text, shown


def test_a_board_without_display_has_none_drawn() -> None:
    assert not any("│" in line for line in board_lines(board_info(make_board("nucleo-f439zi", lambda: 0))))


def test_a_name_cannot_play_with_the_terminal() -> None:
    shown = board_info(make_board("native", lambda: 0)).to_map()
    for item in shown["saul"]:
        item["name"] = "\x1b[2J"
    shown["lcd"]["rows"] = ["\x1b[31mred", ""]
    assert "\x1b" not in "\n".join(board_lines(BoardInfo.from_map(shown)))


def test_a_scenario(tmp_path: Path) -> None:
    path = tmp_path / "day.txt"
    path.write_text("# a morning\n0 saul:1=180   # cold\n\n2.5 adc:2=400\n2.5 adc:2=1023\n")
    events = scenario(path)
    assert [(event.at_s, event.change.path) for event in events] == [
        (0, "/saul/1"),
        (2.5, "/board"),
        (2.5, "/board"),
    ]


@pytest.mark.parametrize(
    "line", ["x saul:1=1", "5", "-1 saul:1=1", "nan saul:1=1", "1 saul:1", "1 adc:2=1\n0 adc:2=2"]
)
def test_a_scenario_that_is_wrong_names_the_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "day.txt"
    path.write_text(f"0 saul:1=1\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        scenario(path)
    assert f"day.txt:{2 + line.count(chr(10))}" in caught.value.detail


class Desk(FakeNetwork):
    """A device whose temperature is that of a list, one step a look."""

    def __init__(self, temperatures: list[int]) -> None:
        super().__init__({"dev": self._answer})
        self.temperatures = temperatures
        self.puts: list[Call] = []

    def _answer(self, call: Call) -> Reply:
        if call.method == "PUT":
            self.puts.append(call)
            return Reply("2.04")
        board = make_board("native", lambda: 0)
        now = self.temperatures.pop(0) if len(self.temperatures) > 1 else self.temperatures[0]
        board.connect_saul(1, signal_of(str(now)))
        return content(board_info(board).to_map())


async def test_only_what_is_different_is_shown_live() -> None:
    seen: list[int] = []
    async with Connection(Desk([1, 1, 1, 2, 2, 3])) as connection:
        device = RemoteDevice(connection, Target("otter", "coap://dev"))
        async with aclosing(follow(device, quiet_s=0.01, sleep=_no_time)) as boards:
            async for board in boards:
                values = board.saul[1].values
                assert values is not None
                seen.append(values[0])
                if values[0] == 3:
                    break
    assert seen == [1, 2, 3]


async def test_a_scenario_is_played_at_its_times(tmp_path: Path) -> None:
    path = tmp_path / "day.txt"
    path.write_text("1 saul:1=1\n1 saul:2=2\n4.5 saul:1=3\n")
    desk, slept = Desk([1]), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with Connection(desk) as connection:
        await play(RemoteDevice(connection, Target("otter", "coap://dev")), scenario(path), sleep=sleep)
    assert slept == [1.0, 3.5]
    assert [call.url for call in desk.puts] == [f"coap://dev/saul/{index}" for index in (1, 2, 1)]


async def _no_time(_seconds: float) -> None:
    return None
