"""Rows about calls: helpers that answer otherwise (helpers.md section 2.1), and local functions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from device.vm.decode import MASK32
from device.vm.helpers import CType
from device.vm.isa import Form
from device.vm.lint.deviation import ALL, FEMTO, OLD, RIOT, SMING, UBPF, Deviation, Finder
from device.vm.lint.subject import Subject
from device.vm.memory import RODATA_BASE
from device.vm.program import Layout
from device.vm.verifier.code import Insn

_PACKET: Final = (0x40, 0x41, 0x42, 0x43)
_STORES: Final = (0x10, 0x11, 0x12, 0x13)
_POINTERS: Final = (0x01, 0x02, 0x12, 0x13, 0x32, 0x33, 0x34, 0x50, 0x51, 0x52, 0x61, 0x82)
_SAVED: Final = range(6, 10)
_FIRST_MOVED_CLASS: Final = 133
_PRINTED: Final = 4
_CONVERSION: Final = re.compile(rb"%[-+ 0#]*(?:\*|\d*)(?:\.(?:\*|\d*))?[hlLjzt]*(.)", re.DOTALL)


def _calls(*helpers: int) -> Finder:
    return lambda subject: subject.calls_of(*helpers)


def _called(applies: Callable[[Subject, int], bool], *helpers: int) -> Finder:
    """Calls of these helpers for which something holds."""

    def finds(subject: Subject) -> list[int] | None:
        return [pc for pc in subject.calls_of(*helpers) or () if applies(subject, pc)] or None

    return finds


def _result_is_read(subject: Subject, pc: int) -> bool:
    return subject.halves.is_read(pc, 0)


def _narrowed(subject: Subject) -> list[int] | None:
    """Calls whose result is signed or has 64 bits, where somebody reads the upper half."""

    def applies(insn: Insn) -> bool:
        helper = subject.helper_at(insn) if insn.row.form is Form.CALL_HELPER else None
        wide = helper is not None and (helper.result.is_signed or helper.result is CType.U64)
        return wide and subject.halves.high_is_read(insn.pc, 0)

    return subject.slots_of(applies)


def _prints_64(subject: Subject, pc: int) -> bool:
    return subject.halves.most(pc, 1) > MASK32


def _moved_class(subject: Subject, pc: int) -> bool:
    """A class of SAUL from sound on, as far as the argument is known."""
    known = subject.halves.constant(pc, 1)
    return known is not None and known & 0xFF >= _FIRST_MOVED_CLASS and known & 0xFF != 0xFF


def _wild_format(subject: Subject, pc: int) -> bool:
    """A literal format with more than four conversions, or with %n."""
    address = subject.halves.constant(pc, 1)
    rodata = subject.program.rodata
    if address is None or not RODATA_BASE <= address < RODATA_BASE + len(rodata):
        return False
    text = rodata[address - RODATA_BASE :].split(b"\0")[0]
    letters = [found[1] for found in _CONVERSION.finditer(text) if found[1] != b"%"]
    return len(letters) > _PRINTED or b"n" in letters


def _context_fields(subject: Subject) -> list[int] | None:
    """Loads that look like those of the packet context's second and third field."""
    if subject.calls_of(*_PACKET) is None:
        return None
    return subject.slots_of(
        lambda insn: insn.row.form is Form.LOAD and insn.row.width == 64 and insn.off in (8, 16)
    )


def _stores_as(is_sming: bool) -> Finder:
    """Calls of the stores in an image with Sming's header, or in any other."""

    def finds(subject: Subject) -> list[int] | None:
        return subject.calls_of(*_STORES) if (subject.program.layout is Layout.SMING) is is_sming else None

    return finds


def _shared_frame(subject: Subject) -> list[int] | None:
    """Local calls of functions that use the stack, or write registers that callers keep values in."""
    frames = {function.start: function.frame for function in subject.report.functions}
    owners = {subject.flow.blocks[number].start: index for index, number in enumerate(subject.flow.functions)}
    writers = {
        block.owner
        for block in subject.flow.blocks
        for insn in subject.flow.insns(block)
        if insn.row.writes_dst and insn.dst in _SAVED
    }
    return [
        pc
        for pc, target in sorted(subject.local_calls.items())
        if frames.get(target) or owners.get(target) in writers
    ] or None


CALLS: Final = (
    Deviation(
        "stores-swapped", (SMING,), _stores_as(is_sming=False),
        "10 and 12 are the global store, 11 and 13 the local one",
        "build with Sming's numbers: 10 store_global, 11 store_local, 12 fetch_global, 13 fetch_local",
    ),
    Deviation(
        "stores-of-sming", (UBPF, FEMTO, RIOT), _stores_as(is_sming=True),
        "10 and 12 are the local store here, in an image with Sming's header they were the global one",
        "package it for the machine it is deployed to",
    ),
    Deviation(
        "memcpy-void", (SMING,), _called(_result_is_read, 0x02), "bpf_memcpy returns nothing, and r0 is read",
        "keep the destination in a register of your own",
    ),
    Deviation(
        "helper-result", OLD, _narrowed,
        "results of helpers are cut to u32, and the upper half of r0 is read",
        "cast the result to int before comparing it",
    ),
    Deviation(
        "printf-result", (UBPF,), _called(_result_is_read, 0x01), "bpf_printf returns 0, and r0 is read",
        "do not use its result",
    ),
    Deviation(
        "printf-format", ALL, _called(_wild_format, 0x01),
        "a fifth conversion reads the host's stack, and %n writes memory", "use four conversions at most",
    ),
    Deviation(
        "print-debug-64", (UBPF,), _called(_prints_64, 0x03), "bpf_print_debug prints all 64 bits",
        "clear the upper half of r1",
    ),
    Deviation(
        "store-local-result", (UBPF,), _called(_result_is_read, 0x10),
        "bpf_store_local returns the stored value, 0 without slot", "do not use its result",
    ),
    Deviation(
        "fetch-creates", ALL, _calls(0x12, 0x13),
        "fetching a missing key creates it, and is -1 when the store is full",
        "fetch only keys that were stored",
    ),
    Deviation(
        "store-full", (UBPF, RIOT), _calls(0x11), "storing into a full pool writes through a null pointer",
        "use few keys",
    ),
    Deviation(
        "pointer-unchecked", (UBPF, FEMTO, RIOT), _calls(*_POINTERS),
        "pointers given to helpers are not checked",
        "a run here that ends without ILLEGAL_MEM shows they are right",
    ),
    Deviation(
        "pointer-unchecked-printf", (SMING,), _calls(0x01), "pointers given to bpf_printf are not checked",
        "a run here that ends without ILLEGAL_MEM shows they are right",
    ),
    Deviation(
        "handle", (UBPF, FEMTO, RIOT), _calls(0x30, 0x31, 0x32, 0x33, 0x34),
        "handles are the host's pointers, and any value is dereferenced",
        "pass on what 30 and 31 returned, and test it for 0",
    ),
    Deviation(
        "saul-class", (FEMTO, RIOT), _called(_moved_class, 0x31),
        "there is no class for sound, and those behind it are one lower", "build with that tree's constants",
    ),
    Deviation(
        "phydat-unit", (FEMTO, RIOT), _calls(0x32), "units from bool on have a number one lower",
        "compare with that tree's constants",
    ),
    Deviation(
        "argument-in-r0", (FEMTO,), _calls(*range(0x30, 0x62)),
        "the binding of 2022 takes the first argument from r0",
        "use a later tree, or copy r1 to r0 before the call",
    ),
    Deviation(
        "packet-view", (FEMTO, RIOT), _calls(*_PACKET),
        "token_p and payload_p are the other way round in the view",
        "build with that tree's header",
    ),
    Deviation(
        "packet-context", (UBPF,), _context_fields,
        "the context is three words of 32 bits: only its first field can be read",
        "take the length from the view",
    ),
    Deviation(
        "get-pdu", (UBPF,), _calls(0x43), "bpf_coap_get_pdu returns 0", "read payload_p from the packet view",
    ),
    Deviation(
        "gpio-level", (UBPF,), _called(_result_is_read, 0x70, 0x71),
        "levels are the bit mask of the pin, not 1",
        "test for 0 only",
    ),
    Deviation(
        "bad-line", (UBPF,), _calls(0x70, 0x71, 0x72, 0x84),
        "a pin or an ADC line that does not exist stops the device's thread", "use those of the board",
    ),
    Deviation(
        "shared-frame", (UBPF,), _shared_frame, "local functions share the caller's frame and r6 to r9",
        "mark functions __attribute__((always_inline))",
    ),
)  # fmt: skip
"""The rows of this module."""
