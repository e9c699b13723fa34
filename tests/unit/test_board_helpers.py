"""The helpers that sense, drive, sleep and show, through the gate (helpers.md sections 2, 3 and 7)."""

from __future__ import annotations

import pytest

from device.peripherals import Constant, Failing
from device.vm.faults import FaultCode, GuestFault
from device.vm.helpers import Services, profile_helpers
from device.vm.helpers.numbers import DISPLAY_HANDLE
from device.vm.profiles import FEMTO, RIOT2020, SMING, Profile
from tests.unit.helper_bench import INPUT, SCRATCH, Bench

JUNK = 0xABCD_0000_0000_0000
NO_DEVICE, NOT_SUPPORTED, FAILED = (2**64 - number for number in (19, 95, 125))


def handle(index: int) -> int:
    return 0x40000000 + 16 * index


class TestSaul:
    @pytest.mark.parametrize(
        ("position", "found"),
        [(0, 0), (2**32 - 3, 0), (JUNK | 5, 5), (7, 7), (8, None), (2**31 - 1, None)],
    )
    def test_find_nth(self, position: int, found: int | None) -> None:
        assert Bench().call(0x30, position) == (0 if found is None else handle(found))

    @pytest.mark.parametrize(
        ("kind", "found"), [(0x82, 1), (JUNK | 0x182, 1), (0x85, 5), (0x44, 0), (0xFF, None), (0, None)]
    )
    def test_find_type(self, kind: int, found: int | None) -> None:
        assert Bench().call(0x31, kind) == (0 if found is None else handle(found))

    @pytest.mark.parametrize(
        ("kind", "found"), [(0x82, 1), (0x84, 6), (0x85, None), (0x86, None), (0xFF, None)]
    )
    def test_classes_of_trees_without_sound(self, kind: int, found: int | None) -> None:
        assert Bench(sound_class=False).call(0x31, kind) == (0 if found is None else handle(found))

    @pytest.mark.parametrize(
        ("index", "has_sound", "structure"),
        [
            (1, True, "ea00 0000 0000 02 ff"),
            (2, True, "c801 0000 0000 1c ff"),
            (5, True, "3100 0000 0000 12 00"),
            (7, True, "0000 0000 0000 1a 00"),
            (1, False, "ea00 0000 0000 02 ff"),
            (2, False, "c801 0000 0000 1b ff"),
            (5, False, "3100 0000 0000 01 00"),
            (7, False, "0000 0000 0000 19 00"),
        ],
    )
    def test_read(self, index: int, has_sound: bool, structure: str) -> None:
        bench = Bench(sound_class=has_sound)
        assert bench.call(0x32, JUNK | handle(index), SCRATCH + 1) == 1
        assert bytes(bench.scratch[:10]) == b"\xee" + bytes.fromhex(structure) + b"\xee"

    @pytest.mark.parametrize(
        "wrong", [0, 1, handle(8), handle(0) + 8, handle(2**20), 0xFFFFFFFF, DISPLAY_HANDLE]
    )
    def test_no_such_device(self, wrong: int) -> None:
        bench = Bench(b"\x01" * 8)
        assert bench.call(0x32, wrong, SCRATCH) == NO_DEVICE
        assert bench.call(0x33, wrong, INPUT) == NO_DEVICE
        assert bytes(bench.scratch) == b"\xee" * 64
        assert bench.call(0x34, wrong, SCRATCH) == NO_DEVICE
        assert bytes(bench.scratch[:5]) == b"\0\0\0\0\xee"

    def test_a_sensor_that_fails(self) -> None:
        bench = Bench(signals={"saul:1": Failing()})
        assert bench.call(0x32, handle(1), SCRATCH) == FAILED
        assert bytes(bench.scratch) == b"\xee" * 64
        assert bench.call(0x34, handle(1), SCRATCH) == FAILED
        assert bench.call(0x32, handle(3), SCRATCH) == 1

    def test_read_temp_extends_the_sign(self) -> None:
        bench = Bench(signals={"saul:1": Constant(-5)})
        assert bench.call(0x34, handle(1), SCRATCH) == 1
        assert bytes(bench.scratch[:5]) == b"\xfb\xff\xff\xff\xee"

    def test_write(self) -> None:
        bench = Bench(bytes.fromhex("0500 0000 0000 1a 00"))
        assert bench.call(0x33, handle(0), INPUT) == 1
        assert (bench.board.saul_read(0).values, bench.board.pin_level(0, 5)) == ((1,), 1)
        assert bench.call(0x33, handle(1), INPUT) == NOT_SUPPORTED


class TestPins:
    def test_write_and_read(self) -> None:
        bench = Bench(signals={"pin:D4": Constant(1)})
        assert bench.call(0x70, 3, 4) == 1
        assert bench.call(0x72, JUNK | 3, JUNK | 4, JUNK | 0) == 1
        assert bench.call(0x71, 3, 4) == 0
        assert bench.call(0x72, 3, 4, 4096) == 1
        assert bench.call(0x71, 3, 4) == 1

    @pytest.mark.parametrize(("port", "pin"), [(16, 0), (0, 16), (2**32 - 1, 2**32 - 1)])
    def test_no_such_pin(self, port: int, pin: int) -> None:
        bench = Bench()
        assert [bench.call(number, port, pin, 1) for number in (0x70, 0x71, 0x72)] == [0, 0, 0]


class TestDisplay:
    def test_text_in_the_second_row(self) -> None:
        bench = Bench(b"23.4 \xb0C\0")
        display = bench.call(0x80)
        assert display == DISPLAY_HANDLE
        assert [bench.call(0x83, display, 3, 1), bench.call(0x82, display, INPUT)] == [0, 0]
        shown = bench.board.state().display
        assert shown is not None
        assert shown.visible == (" " * 16, "   23.4 ?C      ")
        assert bench.call(0x81, display) == 0
        assert bench.call(0x80) == display

    def test_another_handle(self) -> None:
        bench = Bench(b"text\0")
        calls = [(0x81, 0), (0x82, 0, INPUT), (0x83, handle(0), 1, 1)]
        assert [bench.call(*call) for call in calls] == [NO_DEVICE] * 3

    def test_no_display(self) -> None:
        bench = Bench(b"text\0", board="nucleo-f439zi")
        assert bench.call(0x80) == 0
        assert bench.call(0x82, DISPLAY_HANDLE, INPUT) == NO_DEVICE


@pytest.mark.parametrize(("value", "line", "key"), [(0, 2, 0), (600, 2, 2), (1023, 2, 4), (0, 9, 4)])
def test_keypad(value: int, line: int, key: int) -> None:
    assert Bench(signals={"adc:2": Constant(value)}).call(0x84, line) == key


@pytest.mark.parametrize(
    ("last", "period", "now", "pause", "after"),
    [
        pytest.param(1000, 500, 1200, 300, 1500, id="in time"),
        pytest.param(1000, 500, 1500, 0, 1500, id="just in time"),
        pytest.param(1000, 500, 1501, 0, 1501, id="late"),
        pytest.param(1000, 500, 900, 0, 900, id="last lies in the future"),
        pytest.param(1000, 500, 1000, 500, 1500, id="at once"),
        pytest.param(2**32 - 100, 300, 2**32 - 50, 250, 200, id="over the end of the counter"),
        pytest.param(2**32 - 100, 300, 2**32 + 300, 0, 300, id="late, over the end"),
        pytest.param(5, 0, 5, 0, 5, id="no period"),
        pytest.param(0, 2**32 - 1, 0, 2**32 - 1, 2**32 - 1, id="the longest"),
    ],
)
def test_periodic_wakeup(last: int, period: int, now: int, pause: int, after: int) -> None:
    bench = Bench(last.to_bytes(4, "little") + b"\xaa", clock_us=now)
    assert bench.call(0x61, JUNK | INPUT, JUNK | period) == 0
    assert bench.pauses.taken == [pause]
    assert bytes(bench.input) == after.to_bytes(4, "little") + b"\xaa"


def test_a_kill_ends_the_sleep_and_leaves_last() -> None:
    bench = Bench(b"\x01\0\0\0")

    def killed(_us: int) -> None:
        raise GuestFault(FaultCode.KILLED, "operator")

    services = Services(
        bench.local, bench.shared, bench.clock, bench.console, bench.warnings.append, pause=killed
    )
    bench.use(services)
    with pytest.raises(GuestFault) as caught:
        bench.call(0x61, INPUT, 1000)
    assert caught.value.code is FaultCode.KILLED
    assert bytes(bench.input) == b"\x01\0\0\0"


class TestUser:
    def test_magic(self) -> None:
        bench = Bench()
        assert bench.call(0x100) == 1234
        assert bench.call(0x101, JUNK | 0xFFFFFFFF) == 0
        assert bench.call(0x100) == 2**64 - 1

    @pytest.mark.parametrize("length", [0, 3, 512, 600])
    def test_send(self, length: int) -> None:
        content = bytes(number & 0xFF for number in range(length))
        bench = Bench(content)
        assert bench.call(0x102, INPUT, length) == length
        shown = content[:512].hex() + ("..." if length > 512 else "")
        assert bench.console.content.decode() == f"SEND {shown}\n"

    @pytest.mark.parametrize(("length", "copied"), [(0, 0), (5, 5), (34, 34), (40, 34), (2**32 - 1, 34)])
    def test_read(self, length: int, copied: int) -> None:
        bench = Bench()
        assert bench.call(0x103, SCRATCH, JUNK | length) == copied
        text = b"Some test packet content to return"[:copied]
        assert bytes(bench.scratch) == text.ljust(64, b"\xee")


class TestProfiles:
    def test_sming_swaps_the_stores(self) -> None:
        bench = Bench(available=profile_helpers(SMING))
        assert [bench.call(0x10, 1, 11), bench.call(0x11, 1, 22)] == [0, 0]
        assert (bench.shared.entries, bench.local.entries) == ({1: 11}, {1: 22})
        bench.call(0x12, 1, SCRATCH)
        bench.call(0x13, 1, SCRATCH + 4)
        assert bytes(bench.scratch[:8]) == b"\x0b\0\0\0\x16\0\0\0"

    @pytest.mark.parametrize("profile", [FEMTO, SMING, RIOT2020], ids=lambda profile: profile.name)
    def test_results_have_32_bits(self, profile: Profile) -> None:
        bench = Bench(available=profile_helpers(profile))
        for key in (1, 2):
            bench.call(0x10, key, 0)
        assert bench.call(0x10, 3, 0) == 2**32 - 1

    def test_sming_s_memcpy_returns_nothing(self) -> None:
        assert Bench(b"ab", available=profile_helpers(SMING)).call(0x02, SCRATCH, INPUT, 2) == 0


def test_without_a_board() -> None:
    """Who gives no board to a run gives it one without anything."""
    bench = Bench(b"\0" * 8)
    bench.use(Services(bench.local, bench.shared, bench.clock, bench.console, bench.warnings.append))
    calls: dict[tuple[int, ...], int] = {
        (0x30, 0): 0, (0x31, 0x82): 0,
        (0x32, handle(0), INPUT): NO_DEVICE, (0x33, handle(0), INPUT): NO_DEVICE,
        (0x34, handle(0), INPUT): NO_DEVICE, (0x70, 0, 0): 0, (0x71, 0, 0): 0, (0x72, 0, 0, 1): 0, (0x80,): 0,
        (0x81, 0): NO_DEVICE, (0x82, 0, INPUT): NO_DEVICE, (0x84, 2): 4, (0x100,): 1234, (0x103, INPUT, 8): 0,
        (0x61, INPUT, 5): 0,
    }  # fmt: skip
    assert {call: bench.call(*call) for call in calls} == calls
