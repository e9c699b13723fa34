"""The helpers, one by one, through the gate (helpers.md sections 1, 2, 4, 6)."""

from __future__ import annotations

import pytest

from device.vm.faults import FaultCode, GuestFault
from device.vm.helpers import HELPERS, CType, Helper, Parameter, profile_helpers
from device.vm.profiles import PROFILES, UBPF, UBPF_FC, Profile
from tests.unit.helper_bench import CONSTANT, INPUT, SCRATCH, Bench

MINUS_1 = 2**64 - 1
JUNK = 0xABCD_0000_0000_0000
"""Upper halves of registers that no helper of this table looks at."""


PRINTF_POINTERS = "fmt R str 256" + "".join(f", value{n} R str 256 for %s" for n in range(1, 5))


class TestTable:
    def test_ids_of_this_version(self) -> None:
        assert len(profile_helpers(UBPF)) == 30
        assert list(HELPERS) == [*profile_helpers(UBPF), 0x100, 0x101, 0x102, 0x103]

    @pytest.mark.parametrize(
        "profile", [*PROFILES.values(), UBPF_FC], ids=lambda p: f"{p.name} {len(p.helpers)}"
    )
    def test_every_profile_has_all_that_it_lists(self, profile: Profile) -> None:
        assert set(profile_helpers(profile)) == profile.helpers

    @pytest.mark.parametrize(
        ("helper", "name", "pointers"),
        [
            (0x01, "bpf_printf", PRINTF_POINTERS),
            (0x02, "bpf_memcpy", "dst W n, src R n"),
            (0x03, "bpf_print_debug", ""),
            (0x10, "bpf_store_local", ""),
            (0x11, "bpf_store_global", ""),
            (0x12, "bpf_fetch_local", "value W 4"),
            (0x13, "bpf_fetch_global", "value W 4"),
            (0x20, "bpf_now_ms", ""),
            (0x30, "bpf_saul_reg_find_nth", ""),
            (0x31, "bpf_saul_reg_find_type", ""),
            (0x32, "bpf_saul_reg_read", "data W 8"),
            (0x33, "bpf_saul_reg_write", "data R 8"),
            (0x34, "bpf_saul_read_temp", "value W 4"),
            (0x40, "bpf_gcoap_resp_init", "ctx the packet context"),
            (0x41, "bpf_coap_opt_finish", "ctx the packet context"),
            (0x42, "bpf_coap_add_format", "ctx the packet context"),
            (0x43, "bpf_coap_get_pdu", "ctx the packet context"),
            (0x50, "bpf_fmt_s16_dfp", "out W length, or 0"),
            (0x51, "bpf_fmt_u32_dec", "out W length, or 0"),
            (0x52, "bpf_strlen", "str R str to the end of its region"),
            (0x60, "bpf_ztimer_now", ""),
            (0x61, "bpf_ztimer_periodic_wakeup", "last RW 4"),
            (0x70, "bpf_gpio_read_input", ""),
            (0x71, "bpf_gpio_read_raw", ""),
            (0x72, "bpf_gpio_write", ""),
            (0x80, "bpf_hd44780_init", ""),
            (0x81, "bpf_hd44780_clear", ""),
            (0x82, "bpf_hd44780_print", "s R str 256"),
            (0x83, "bpf_hd44780_set_cursor", ""),
            (0x84, "bpf_keypad_get_input", ""),
            (0x100, "bpf_user_get_magic", ""),
            (0x101, "bpf_user_set_magic", ""),
            (0x102, "bpf_user_send_packet", "data R len"),
            (0x103, "bpf_user_read_packet", "buf W min(len, packet)"),
        ],
        ids=lambda value: f"0x{value:02x}" if isinstance(value, int) else "",
    )  # fmt: skip
    def test_declaration(self, helper: int, name: str, pointers: str) -> None:
        assert (HELPERS[helper].name, HELPERS[helper].pointers) == (name, pointers)

    def test_declarations_are_consistent(self) -> None:
        for number, helper in HELPERS.items():
            assert helper.id == number
            assert len(helper.parameters) <= 5
            assert helper.prototype.endswith(")")
            assert helper.summary

    def test_the_table_cannot_change(self) -> None:
        with pytest.raises(TypeError):
            HELPERS[5] = HELPERS[1]  # type: ignore[index]  # that it is refused is the test


@pytest.mark.parametrize(
    ("kind", "register", "argument", "result"),
    [
        pytest.param(CType.U8, 0x1FF, 0xFF, 0xFF, id="u8"),
        pytest.param(CType.I16, 0x1_8000, -0x8000, MINUS_1 - 0x7FFF, id="i16"),
        pytest.param(CType.INT, 0x7_FFFF_FFFF, -1, MINUS_1, id="int"),
        pytest.param(CType.U32, 0x7_FFFF_FFFF, 0xFFFFFFFF, 0xFFFFFFFF, id="u32"),
        pytest.param(CType.SIZE, 0x1_0000_0005, 5, 5, id="size_t"),
        pytest.param(CType.POINTER, 0x1_2000_0000, 0x20000000, 0x20000000, id="pointer"),
        pytest.param(CType.U64, MINUS_1, MINUS_1, MINUS_1, id="u64"),
    ],
)
def test_types(kind: CType, register: int, argument: int, result: int) -> None:
    seen: list[int] = []

    def echo(_call: object, value: int) -> int:
        seen.append(value)
        return value

    helper = Helper(7, "int echo(x)", "gives its argument", (Parameter("x", kind),), kind, echo)
    assert Bench(available={7: helper}).call(7, register) == result
    assert seen == [argument]


def test_void_gives_0() -> None:
    helper = Helper(7, "void f(void)", "nothing", (), CType.VOID, lambda _call: 99)
    assert Bench(available={7: helper}).call(7) == 0


class TestGate:
    @pytest.mark.parametrize("helper", [0, 5, 0xFF, 0xFFFFFFFF])
    def test_an_unknown_id(self, helper: int) -> None:
        with pytest.raises(GuestFault) as caught:
            Bench().call(helper)
        assert (caught.value.code, caught.value.helper) == (FaultCode.ILLEGAL_CALL, helper)
        assert f"0x{helper:02x}" in caught.value.detail

    def test_outside_the_list(self) -> None:
        bench = Bench(allowed=[0x20])
        assert bench.call(0x20) == 0
        with pytest.raises(
            GuestFault, match=r"helper 0x03 bpf_print_debug is not in the allow-list"
        ) as caught:
            bench.call(0x03, 5)
        assert (caught.value.code, caught.value.helper) == (FaultCode.HELPER_DENIED, 0x03)
        assert bench.console.content == b""

    def test_an_empty_list_allows_nothing(self) -> None:
        with pytest.raises(GuestFault) as caught:
            Bench(allowed=[]).call(0x20)
        assert caught.value.code is FaultCode.HELPER_DENIED

    def test_a_list_does_not_make_helpers(self) -> None:
        with pytest.raises(GuestFault) as caught:
            Bench(available={}, allowed=[0x20]).call(0x20)
        assert caught.value.code is FaultCode.ILLEGAL_CALL


BEYOND = 0x20000040
NOWHERE = 0x1234
HANDLE = 0x40000000


# (helper, arguments, number of the argument that is wrong, address, size, access)
VIOLATIONS = [
    pytest.param(0x01, (NOWHERE,), 1, NOWHERE, 1, "read", id="printf: format"),
    pytest.param(0x01, (INPUT, NOWHERE), 2, NOWHERE, 1, "read", id="printf: %s"),
    pytest.param(0x02, (CONSTANT, SCRATCH, 4), 1, CONSTANT, 4, "write", id="memcpy: dst read-only"),
    pytest.param(0x02, (SCRATCH, NOWHERE, 1), 2, NOWHERE, 1, "read", id="memcpy: src"),
    pytest.param(0x02, (SCRATCH, INPUT, 65), 1, SCRATCH, 65, "write", id="memcpy: dst too short"),
    pytest.param(0x02, (SCRATCH, CONSTANT, 10), 2, CONSTANT, 10, "read", id="memcpy: src too short"),
    pytest.param(0x02, (SCRATCH, INPUT, 2**32 - 1), 1, SCRATCH, 2**32 - 1, "write", id="memcpy: size_t -1"),
    pytest.param(0x12, (1, BEYOND - 3), 2, BEYOND - 3, 4, "write", id="fetch_local: over the end"),
    pytest.param(0x12, (1, 0), 2, 0, 4, "write", id="fetch_local: null"),
    pytest.param(0x13, (1, CONSTANT), 2, CONSTANT, 4, "write", id="fetch_global: read-only"),
    pytest.param(0x32, (HANDLE, BEYOND - 7), 2, BEYOND - 7, 8, "write", id="saul_reg_read: over the end"),
    pytest.param(0x32, (0, NOWHERE), 2, NOWHERE, 8, "write", id="saul_reg_read: also without device"),
    pytest.param(0x33, (HANDLE, BEYOND - 7), 2, BEYOND - 7, 8, "read", id="saul_reg_write: over the end"),
    pytest.param(0x34, (HANDLE, CONSTANT), 2, CONSTANT, 4, "write", id="saul_read_temp: read-only"),
    pytest.param(0x61, (NOWHERE, 5), 1, NOWHERE, 4, "read", id="periodic_wakeup: nowhere"),
    pytest.param(0x61, (CONSTANT, 5), 1, CONSTANT, 4, "write", id="periodic_wakeup: read-only"),
    pytest.param(0x82, (0, NOWHERE), 2, NOWHERE, 1, "read", id="hd44780_print: also without display"),
    pytest.param(0x102, (CONSTANT, 10), 1, CONSTANT, 10, "read", id="send_packet: too long"),
    pytest.param(0x102, (SCRATCH, 2**32 - 1), 1, SCRATCH, 2**32 - 1, "read", id="send_packet: size_t -1"),
    pytest.param(
        0x103, (BEYOND - 33, 2**32 - 1), 1, BEYOND - 33, 34, "write", id="read_packet: over the end"
    ),
    pytest.param(0x50, (BEYOND - 1, 12, 0), 1, BEYOND - 1, 2, "write", id="fmt_s16_dfp: over the end"),
    pytest.param(0x51, (CONSTANT, 1), 1, CONSTANT, 1, "write", id="fmt_u32_dec: string literal"),
    pytest.param(0x52, (NOWHERE,), 1, NOWHERE, 1, "read", id="strlen: nowhere"),
    pytest.param(0x52, (SCRATCH,), 1, SCRATCH, 65, "read", id="strlen: no NUL in the region"),
]


@pytest.mark.parametrize(("helper", "arguments", "argument", "address", "size", "access"), VIOLATIONS)
def test_a_bad_pointer_is_the_programs_fault(
    helper: int, arguments: tuple[int, ...], argument: int, address: int, size: int, access: str
) -> None:
    bench = Bench(b"%s\0")
    before = bench.state()
    with pytest.raises(GuestFault) as caught:
        bench.call(helper, *(JUNK | value for value in arguments))
    fault = caught.value
    assert fault.code is FaultCode.ILLEGAL_MEM
    assert (fault.helper, fault.argument, fault.address, fault.size, fault.access) == (
        helper,
        argument,
        address,
        size,
        access,
    )
    assert fault.detail.startswith(f"{HELPERS[helper].name}, argument {argument}: {access} of {size} byte")
    assert bench.state() == before


class TestMemcpy:
    def test_copies_and_gives_dst(self) -> None:
        bench = Bench(b"abcdef")
        assert bench.call(0x02, JUNK | SCRATCH + 1, JUNK | INPUT + 2, JUNK | 3) == SCRATCH + 1
        assert bytes(bench.scratch[:6]) == b"\xeecde\xee\xee"

    @pytest.mark.parametrize(
        ("dst", "src", "expected"), [(2, 0, b"ababcd"), (0, 2, b"cdefef"), (1, 1, b"abcdef")], ids=str
    )
    def test_overlap(self, dst: int, src: int, expected: bytes) -> None:
        bench = Bench(b"abcdef")
        bench.call(0x02, INPUT + dst, INPUT + src, 4)
        assert bytes(bench.input) == expected

    def test_nothing_from_nowhere_to_nowhere(self) -> None:
        assert Bench().call(0x02, 0xFFFFFFFF, 0, 0) == 0xFFFFFFFF

    def test_both_pointers_are_checked_before_a_byte_is_written(self) -> None:
        bench = Bench()
        with pytest.raises(GuestFault) as caught:
            bench.call(0x02, SCRATCH, BEYOND - 2, 4)
        assert caught.value.argument == 2
        assert bytes(bench.scratch) == b"\xee" * 64


class TestPrintDebug:
    def test_line(self) -> None:
        bench = Bench()
        assert bench.call(0x03, JUNK | 0xFFFFFFFF) == 0
        assert bench.console.content == b"[DEBUG]: 4294967295\n"


class TestStores:
    @pytest.mark.parametrize(("store", "fetch"), [(0x10, 0x12), (0x11, 0x13)], ids=["local", "global"])
    def test_store_and_fetch(self, store: int, fetch: int) -> None:
        bench = Bench()
        assert bench.call(store, JUNK | 0xFFFFFFFF, JUNK | 0x12345678) == 0
        assert bench.call(fetch, JUNK | 0xFFFFFFFF, JUNK | SCRATCH + 1) == 0
        assert bytes(bench.scratch[:6]) == b"\xee\x78\x56\x34\x12\xee"

    def test_the_two_are_separate(self) -> None:
        bench = Bench()
        bench.call(0x10, 1, 11)
        bench.call(0x11, 1, 22)
        assert (bench.local.entries, bench.shared.entries) == ({1: 11}, {1: 22})

    @pytest.mark.parametrize("store", [0x10, 0x11])
    def test_a_full_store(self, store: int) -> None:
        bench = Bench()
        assert [bench.call(store, key, 7) for key in (1, 2)] == [0, 0]
        assert bench.call(store, 3, 7) == MINUS_1
        assert bench.call(store, 2, 8) == 0
        assert [bench.local.entries, bench.shared.entries][store - 0x10] == {1: 7, 2: 8}

    @pytest.mark.parametrize("fetch", [0x12, 0x13])
    def test_a_missing_key_reads_0_and_stays_missing(self, fetch: int) -> None:
        bench = Bench()
        assert bench.call(fetch, 9, SCRATCH) == 0
        assert bytes(bench.scratch[:5]) == b"\0\0\0\0\xee"
        assert bench.local.entries == bench.shared.entries == {}


@pytest.mark.parametrize(
    ("us", "now_ms", "ztimer"),
    [
        (0, 0, 0),
        (1999, 1, 1999),
        (2**32 * 1000 + 5000, 5, 5000),
        (2**32 + 7, (2**32 + 7) // 1000, 7),
    ],
)
def test_clock(us: int, now_ms: int, ztimer: int) -> None:
    bench = Bench(clock_us=us)
    assert (bench.call(0x20), bench.call(0x60)) == (now_ms, ztimer)


class TestFixedPoint:
    @pytest.mark.parametrize(
        ("value", "digits", "text"),
        [
            pytest.param(-12, 2, b"-1200", id="zeros follow"),
            pytest.param(-125, -1, b"-12.5", id="one after the point"),
            pytest.param(5, -2, b"0.05", id="padded"),
            pytest.param(-1, -3, b"-0.001", id="negative and padded"),
            pytest.param(0, -1, b"0.0", id="zero"),
            pytest.param(0, 0, b"0", id="plain zero"),
            pytest.param(0, 2, b"000", id="zero and zeros"),
            pytest.param(239, -1, b"23.9", id="a temperature"),
            pytest.param(-32768, 0, b"-32768", id="the least"),
            pytest.param(0x8000, 0, b"-32768", id="cut to 16 bits"),
            pytest.param(0x1_0005, 0, b"5", id="upper bits"),
            pytest.param(-32768, 10, b"-327680000000000", id="most zeros"),
            pytest.param(-32768, -10, b"-0.0000032768", id="most digits"),
            pytest.param(1, 11, b"", id="too large"),
            pytest.param(1, -11, b"", id="too small"),
            pytest.param(1, 0x80000000, b"", id="the least int"),
        ],
    )
    def test_text(self, value: int, digits: int, text: bytes) -> None:
        bench = Bench()
        arguments = (value & MINUS_1, JUNK | digits & 0xFFFFFFFF)
        assert bench.call(0x50, SCRATCH, *arguments) == len(text)
        assert bytes(bench.scratch) == text + b"\xee" * (64 - len(text))
        assert bench.call(0x50, JUNK, *arguments) == len(text)

    def test_nothing_to_write_needs_no_place(self) -> None:
        assert Bench().call(0x50, NOWHERE, 1, 11) == 0

    def test_it_may_end_with_the_region(self) -> None:
        bench = Bench()
        assert bench.call(0x50, BEYOND - 5, -125 & MINUS_1, -1 & MINUS_1) == 5
        assert bytes(bench.scratch[-5:]) == b"-12.5"


@pytest.mark.parametrize("value", [0, 9, 10, 12345, 2**31, 2**32 - 1], ids=str)
def test_fmt_u32_dec(value: int) -> None:
    bench = Bench()
    text = str(value).encode()
    assert bench.call(0x51, SCRATCH, JUNK | value) == len(text)
    assert bytes(bench.scratch) == text + b"\xee" * (64 - len(text))
    assert bench.call(0x51, 0, value) == len(text)


@pytest.mark.parametrize("text", [b"", b"x", b"This is 21 characters", b"\xff\x01" * 3000], ids=len)
def test_strlen(text: bytes) -> None:
    assert Bench(text + b"\0rest").call(0x52, JUNK | INPUT) == len(text)


class TestPrintf:
    def test_the_result_is_what_was_printed(self) -> None:
        bench = Bench(b"%d and %s\n\0name\0")
        assert bench.call(0x01, INPUT, -5 & MINUS_1, INPUT + 11) == 12
        assert bench.console.content == b"-5 and name\n"

    @pytest.mark.parametrize("template", [b"%", b"abc %", b"%-08", b"%.", b"%ll", b"%5.3h", b"%d%*.*"])
    def test_an_unterminated_conversion_prints_nothing(self, template: bytes) -> None:
        bench = Bench(template + b"\0")
        assert bench.call(0x01, INPUT) == 2**64 - 22
        assert bench.console.content == b""

    def test_missing_arguments_warn_once_in_a_run(self) -> None:
        bench = Bench(b"%d %d %d %d %d %s\0")
        for _ in range(3):
            assert bench.call(0x01, INPUT, 1, 2, 3, 4) == len(b"1 2 3 4 (missing) (missing)")
        assert bench.console.content == b"1 2 3 4 (missing) (missing)" * 3
        assert len(bench.warnings) == 1
        assert "4" in bench.warnings[0]

    def test_at_most_512_bytes(self) -> None:
        bench = Bench(b"%600d%d\0")
        assert bench.call(0x01, INPUT, 1, 2) == 512
        assert bench.console.content == b" " * 512

    def test_strings_are_checked_also_behind_the_cut(self) -> None:
        bench = Bench(b"%600d%s\0")
        with pytest.raises(GuestFault) as caught:
            bench.call(0x01, INPUT, 1, NOWHERE)
        assert caught.value.argument == 3
        assert bench.console.content == b""

    @pytest.mark.parametrize(("length", "legal"), [(255, True), (256, False)])
    def test_the_format_has_a_nul_within_256_bytes(self, length: int, legal: bool) -> None:
        bench = Bench(b"a" * length + b"\0")
        if legal:
            assert bench.call(0x01, INPUT) == 255
        else:
            with pytest.raises(GuestFault, match="read of 256 bytes"):
                bench.call(0x01, INPUT)

    @pytest.mark.parametrize(
        ("conversion", "length", "legal"),
        [
            pytest.param(b"%s", 255, True, id="255 bytes"),
            pytest.param(b"%s", 256, False, id="256 bytes"),
            pytest.param(b"%.300s", 300, True, id="300 bytes asked for"),
            pytest.param(b"%.3s", 300, True, id="3 of them"),
        ],
    )
    def test_the_limit_of_a_string(self, conversion: bytes, length: int, legal: bool) -> None:
        bench = Bench(conversion + b"\0" + b"a" * length + b"\0")
        if legal:
            printed = 3 if conversion == b"%.3s" else length
            assert bench.call(0x01, INPUT, INPUT + len(conversion) + 1) == printed
        else:
            with pytest.raises(GuestFault, match="argument 2: read of 256 bytes"):
                bench.call(0x01, INPUT, INPUT + len(conversion) + 1)

    def test_with_a_precision_only_these_bytes_are_read(self) -> None:
        bench = Bench(b"%.3s|%.*s|%.0s\0abc")
        arguments = (INPUT + 15, 2, INPUT + 16, NOWHERE)
        assert bench.call(0x01, INPUT, *arguments) == 7
        assert bench.console.content == b"abc|bc|"

    def test_nothing_is_written_by_n(self) -> None:
        bench = Bench(b"ab%n\0")
        before = bytes(bench.scratch)
        assert bench.call(0x01, INPUT, SCRATCH) == 4
        assert bench.console.content == b"ab%n"
        assert bytes(bench.scratch) == before
