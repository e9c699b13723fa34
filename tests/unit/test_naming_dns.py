"""The answer of a name server to a PTR question, from its bytes."""

from __future__ import annotations

import struct

import pytest

from device.node.naming import _pointed_at

QUESTION = b"\x013\x010\x0218\x03172\x07in-addr\x04arpa\0\0\x0c\0\x01"
NAME = b"\x10micro-bpf-device\x07default\0"
END = 12 + len(QUESTION)


def reply(
    *, number: int = 0x6D62, flags: int = 0x8180, answers: int = 1, owner: bytes = b"\xc0\x0c", kind: int = 12
) -> bytes:
    header = struct.pack(">6H", number, flags, 1, answers, 0, 0)
    return header + QUESTION + owner + struct.pack(">HHIH", kind, 1, 60, len(NAME)) + NAME


@pytest.mark.parametrize("owner", [b"\xc0\x0c", QUESTION[:-4]], ids=["pointer", "whole name"])
def test_first_label(owner: bytes) -> None:
    assert _pointed_at(reply(owner=owner), END) == "micro-bpf-device"


@pytest.mark.parametrize(
    "answer",
    [
        *(reply(number=1), reply(flags=0x0180), reply(flags=0x8183), reply(answers=0), reply(kind=1)),
        *(b"", reply()[:20], reply()[: END + 1]),
    ],
    ids=["another query", "no reply", "no such name", "no answer", "address", "empty", "short", "cut"],
)
def test_nothing(answer: bytes) -> None:
    assert _pointed_at(answer, END) is None


def test_no_cut_raises() -> None:
    for length in range(len(reply())):
        _pointed_at(reply()[:length], END)
