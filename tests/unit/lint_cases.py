"""For every row of the lint a program that trips it and one that does not, for one profile it is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from device.vm.program import Layout

OBJECT = "object"
"""Instead of text: the name of an example that is loaded as an object."""


@dataclass(frozen=True)
class Case:
    """Text of two programs (or `object NAME`) with the other fields of each."""

    profile: str
    trips: str
    clean: str
    fields: dict[str, Any] = field(default_factory=dict)
    clean_fields: dict[str, Any] = field(default_factory=dict)


EXIT = "\nmov r0, 0\nexit"
FETCH = "mov r1, 1\nmov r2, r10\nadd r2, -8\ncall 0x13\n"
RODATA = {"layout": Layout.FEMTO, "rodata": b"%d %d %d %d %d\0%5.*ld %% %s\0go: %n\0"}
MEMORY = {"layout": Layout.FEMTO, "data": b"12345678"}

CASES: dict[str, Case] = {
    # instructions
    "lacks-atomic": Case("ubpf", "lock add [r10-8], r1" + EXIT, "stxdw [r10-8], r1" + EXIT),
    "lacks-v4": Case("ubpf", "mov r0, 7\nsdiv r0, 2\nexit", "mov r0, 7\ndiv r0, 2\nexit"),
    "lacks-alu32": Case("femto", "mov32 r0, 1\nexit", "mov r0, 1\nexit"),
    "lacks-neg32": Case("femto", "mov r0, 1\nneg32 r0\nexit", "mov r0, 1\nsub r0, 1\nexit"),
    "lacks-jmp32": Case("sming", "jeq32 r1, 0, +0" + EXIT, "jeq r1, 0, +0" + EXIT),
    "lacks-end": Case("riot2020", "mov r0, 1\nbe16 r0\nexit", "mov r0, 1\nlsh r0, 8\nexit"),
    "lacks-local-call": Case("femto", "call local f\nexit\nf: mov r0, 0\nexit", "ja f\nf: mov r0, 0\nexit"),
    "lacks-lddwd": Case("riot2020", "lddwr r1, 0" + EXIT, "lddw r1, 0" + EXIT, RODATA, RODATA),
    "neg-87": Case("femto", "mov r0, 5\nneg r0\nexit", "mov r0, 5\n.bytes 8f00000000000000\nexit"),
    "neg-8f": Case("ubpf", "mov r0, 5\n.bytes 8f00000000000000\nexit", "mov r0, 5\nneg r0\nexit"),
    "neg32-sign": Case("riot2020", "mov r0, 1\nneg32 r0\nexit", "mov r0, 1\nsub32 r0, 2\nexit"),
    "zero-divisor": Case("femto", "mov r0, 7\ndiv r0, r1\nexit", "mov r0, 7\ndiv r0, 3\nexit"),
    "zero-divisor-undefined": Case("riot2020", "mov r0, 7\nmod r0, 0\nexit", "mov r0, 7\nmod r0, 1\nexit"),
    "mov64-cut": Case("sming", "mov r0, -1\nexit", "mov r0, -1\nlsh r0, 32\nrsh r0, 32\nexit"),
    "lddw-sign": Case("sming", "lddw r0, 0xffff0000\nexit", "lddw r0, 0xffffffffffff0000\nexit"),
    "jump-start": Case(
        "femto", "mov r0, 0\njne r1, 0, -2\nexit", "mov r2, 0\nx: mov r0, 0\njne r1, 0, x\nexit"
    ),
    "shift-range": Case("riot2020", "mov r0, 1\nlsh r0, 64\nexit", "mov r0, 1\nlsh r0, 63\nexit"),
    "alu32-sign": Case("ubpf", "mov32 r0, r1\nadd32 r0, 1\nexit", "mov32 r0, 5\nadd32 r0, 1\nexit"),
    "arsh-count": Case("ubpf", "mov r0, 1\narsh r0, r1\nexit", "mov r0, 1\narsh r0, 3\nexit"),
    "jit-64": Case("ubpf", "mov r0, 1\nlsh r0, 40\nexit", "mov r0, 1\nlsh r0, 20\nexit"),
    # calls
    "stores-swapped": Case(
        "sming", FETCH + EXIT, FETCH + EXIT, {"layout": Layout.FEMTO}, {"layout": Layout.SMING}
    ),
    "stores-of-sming": Case(
        "femto", FETCH + EXIT, FETCH + EXIT, {"layout": Layout.SMING}, {"layout": Layout.FEMTO}
    ),
    "memcpy-void": Case("sming", "mov r3, 0\ncall 2\nexit", "mov r3, 0\ncall 2" + EXIT),
    "helper-result": Case(
        "femto", FETCH + "jslt r0, 0, +0" + EXIT, FETCH + "lsh r0, 32\njne r0, 0, +0" + EXIT
    ),
    "printf-result": Case("ubpf", "call 1\nexit", "call 1" + EXIT),
    "printf-format": Case(
        "ubpf", "lddwr r1, 0\ncall 1" + EXIT, "lddwr r1, 15\ncall 1" + EXIT, RODATA, RODATA
    ),
    "print-debug-64": Case(
        "ubpf", "lddw r1, 0x100000000\ncall 3" + EXIT, "lddw r1, 0xffffffff\ncall 3" + EXIT
    ),
    "store-local-result": Case("ubpf", "call 0x10\nexit", "call 0x10" + EXIT),
    "fetch-creates": Case("riot2020", FETCH + EXIT, "call 0x11" + EXIT),
    "store-full": Case("riot2020", "call 0x11" + EXIT, FETCH + EXIT),
    "pointer-unchecked": Case("femto", "call 2" + EXIT, "call 0x20" + EXIT),
    "pointer-unchecked-printf": Case("sming", "call 1" + EXIT, "call 2" + EXIT),
    "handle": Case("ubpf", "call 0x30" + EXIT, "call 0x20" + EXIT),
    "saul-class": Case("femto", "mov r1, 133\ncall 0x31" + EXIT, "mov r1, 130\ncall 0x31" + EXIT),
    "phydat-unit": Case("riot2020", "call 0x32" + EXIT, "call 0x31" + EXIT),
    "argument-in-r0": Case("femto", "call 0x60" + EXIT, "call 0x20" + EXIT),
    "packet-view": Case("femto", "call 0x40" + EXIT, "call 0x50" + EXIT),
    "packet-context": Case("ubpf", "call 0x40\nldxdw r0, [r1+16]\nexit", "call 0x40\nldxdw r0, [r1]\nexit"),
    "get-pdu": Case("ubpf", "call 0x43" + EXIT, "call 0x42" + EXIT),
    "gpio-level": Case("ubpf", "call 0x70\nexit", "call 0x70" + EXIT),
    "bad-line": Case("ubpf", "call 0x84" + EXIT, "call 0x80" + EXIT),
    "shared-frame": Case(
        "ubpf", "call local f\nexit\nf: mov r6, 1" + EXIT, "call local f\nexit\nf: mov r5, 1" + EXIT
    ),
    # images
    "layout-femto": Case("femto", EXIT, EXIT, {"layout": Layout.ELF}, {"layout": Layout.FEMTO}),
    "layout-sming": Case("sming", EXIT, EXIT, {"layout": Layout.FEMTO}, {"layout": Layout.SMING}),
    "layout-text": Case("riot2020", EXIT, EXIT, {"layout": Layout.ELF}),
    "sections": Case("riot2020", "lddwd r1, 0" + EXIT, "lddw r1, 0" + EXIT, MEMORY, MEMORY),
    "section-offset": Case("femto", "object jit_rodata", "object add"),
    "lddwd-rodata": Case("femto", "lddwd r1, 0" + EXIT, "lddwd r1, 0" + EXIT, RODATA, MEMORY),
    "data-pointer": Case("femto", "object data_relocations", "object fletcher16_80"),
    "global-call": Case("ubpf", "object global_calls", "object inlined_calls"),
    "text-call": Case(
        "ubpf", "call local f\nexit\nf:" + EXIT, "call local f\nexit\nf:" + EXIT, {}, {"layout": Layout.FEMTO}
    ),
    "raw-rodata": Case("ubpf", "object bpf_memcpy", "object looping_data_accesses"),
    "raw-bss": Case(
        "ubpf", EXIT, EXIT, {"layout": Layout.ELF, "bss_size": 8}, {"layout": Layout.ELF, "data": b"8"}
    ),
    "jit-lacks": Case("ubpf", "object jit_rodata", "object add"),
    "tool-sections": Case("femto", "object jit_rodata", "object add"),
    "tool-strings": Case("sming", "object jit_rodata", "object add"),
    "stack-instance": Case("sming", "stxdw [r10-40], r1" + EXIT, "stxdw [r10-32], r1" + EXIT),
    "branch-budget": Case(
        "femto",
        "mov r0, 202\nx: sub r0, 1\njne r0, 0, x\nexit",
        "mov r0, 201\nx: sub r0, 1\njne r0, 0, x\nexit",
    ),
}
