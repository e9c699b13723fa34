"""What the owner of a device sets for the programs of a slot: programs.md sections 2.7 and 5."""

from __future__ import annotations

from typing import Any

import pytest
from aiocoap import Code

from device.errors import VerifyError
from device.node import limits_of
from device.vm.asm import assemble
from tests.device_bench import SPIN, Bench, device
from tests.headers import Header

LOOP = assemble("mov r0, 0\nx: add r0, 1\njlt r0, 1000, x\nexit")
ENDLESS = assemble("mov r0, 1")
DIGITS = Header("femto", assemble("lddwr r1, 0\nmov r2, 7\ncall 0x51\nlddwr r1, 0\nldxb r0, [r1]\nexit"))
COUNTER = Header("femto", assemble("lddwr r1, 0\nldxb r0, [r1]\nadd r0, 1\nstxb [r1], r0\nexit"))


def literal(header: Header, text: str) -> bytes:
    """The image with this string in its .rodata, padded as writers do."""
    return Header(header.variant, header.text, rodata=text.encode().ljust(8, b"\0")).build()


def ending(answer: dict[str, Any]) -> int | str:
    """r0, or the name of the fault."""
    found: int | str = answer["fault"]["code"] if "fault" in answer else answer["r0_signed"]
    return found


CASES = [
    ("every slot: branches", ["branches=10"], LOOP, ["OUT_OF_BRANCHES"] * 2),
    ("one slot: branches", ["branches@1=10"], LOOP, [1000, "OUT_OF_BRANCHES"]),
    ("one slot: any number", ["branches=10", "branches@1=0"], LOOP, ["OUT_OF_BRANCHES", 1000]),
    ("no_return counts no branches", ["branches=10", "no_return@1=1"], LOOP, ["OUT_OF_BRANCHES", 1000]),
    ("no_return: past the text", ["no_return=1"], ENDLESS, ["NO_RETURN"] * 2),
    ("an unset rule", ["no_return=1", "no_return@1=0", "branches=10"], LOOP, [1000, "OUT_OF_BRANCHES"]),
    ("literals", [], literal(DIGITS, "x"), ["ILLEGAL_MEM"] * 2),
    ("one slot: literals", ["writable_rodata@1=1"], literal(DIGITS, "x"), ["ILLEGAL_MEM", ord("7")]),
]


@pytest.mark.parametrize("engine", ["switch", "interpreter", "jit"])
@pytest.mark.parametrize(
    ("texts", "image", "endings"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
async def test_rules(texts: list[str], image: bytes, endings: list[int | str], engine: str) -> None:
    async with device(limits=limits_of(texts)) as bench:
        found = []
        for slot in (0, 1):
            await bench.install(slot, image)
            found.append(ending((await bench.execute(slot, {"engine": engine})).value))
        assert found == endings


async def test_text_without_end_is_refused_where_the_flag_is_not_set() -> None:
    async with device(limits=limits_of(["no_return@1=1"])) as bench:
        await bench.install(1, ENDLESS)
        with pytest.raises(VerifyError) as refused:
            await bench.install(0, ENDLESS)
        assert [finding["id"] for finding in refused.value.findings] == ["no-exit"]


async def counts(bench: Bench) -> list[int | str]:
    """What three runs say, each on another engine."""
    return [ending((await bench.execute(0, {"engine": e})).value) for e in ("switch", "interpreter", "jit")]


async def test_rodata_that_is_written_to_is_kept_until_the_deploy() -> None:
    async with device(limits=limits_of(["writable_rodata=1"])) as bench:
        image = literal(COUNTER, "\x05")
        await bench.install(0, image)
        assert await counts(bench) == [6, 7, 8]
        await bench.install(0, image)
        assert await counts(bench) == [6, 7, 8]


@pytest.mark.parametrize(("texts", "alone"), [([], False), (["writable_rodata=1"], True)], ids=["not", "is"])
async def test_runs_that_share_rodata_go_one_at_a_time(texts: list[str], alone: bool) -> None:
    async with device(limits=limits_of(["budget_default=4294967295", *texts]), workers=2) as bench:
        await bench.install(0, Header("femto", SPIN, rodata=bytes(8)).build())
        job = (await bench.ask(Code.POST, "/jobs", {"slot": 0, "engine": "switch"})).value["id"]
        waited = (await bench.execute(0, {"timeout_ms": 300})).value
        assert waited["fault"]["code"] == "KILLED"
        assert (waited["instructions"] == 0) is alone
        assert (await bench.ask(Code.DELETE, f"/jobs/{job}")).code == "2.02"
