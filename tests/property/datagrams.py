"""Hostile datagrams, from a seed: noise, mutated requests, and well-formed requests that make no sense."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from aiocoap import Code, Message
from aiocoap.numbers.optionnumbers import OptionNumber
from aiocoap.numbers.types import Type

_OPTIONS = (
    1,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    11,
    12,
    13,
    14,
    15,
    17,
    20,
    23,
    27,
    28,
    35,
    39,
    60,
    252,
    258,
    292,
    2049,
    65000,
)
_CODES = (*range(1, 9), 31, 32, 64, 65, 69, 95, 128, 132, 160, 225)
_SEGMENTS = ("", ".", "..", "/", "\\", "\x00", "a" * 255, "é", "0", "1", "-1", "999999999999", "x")


class Hostile:
    """An endless supply of datagrams for a server with these paths (and the methods each has)."""

    def __init__(
        self,
        seed: int,
        paths: Mapping[tuple[str, ...], Sequence[int]],
        payloads: Sequence[bytes],
        queries: Sequence[str] = ("x=1",),
    ) -> None:
        self._random = random.Random(seed)
        self._paths = paths
        self._payloads = payloads
        self._queries = queries
        self._kinds: tuple[Callable[[], bytes], ...] = (
            self._noise,
            self._noisy_options,
            self._mutated,
            self._mutated,
            self._request,
            self._request,
        )

    def datagram(self) -> bytes:
        """The next one."""
        return self._random.choice(self._kinds)()

    def _noise(self) -> bytes:
        return self._random.randbytes(self._random.choice((0, 1, 3, 4, 5, 8, 40, 300, 1400)))

    def _noisy_options(self) -> bytes:
        """A header that is right, and noise where the options are."""
        header = bytes([0x40 | self._random.choice((0, 0x10, 0x20, 0x30)), self._random.choice(_CODES)])
        return header + self._random.randbytes(2 + self._random.randrange(60))

    def _mutated(self) -> bytes:
        data = bytearray(self._request())
        for _ in range(self._random.randint(1, 4)):
            self._random.choice((self._flip, self._cut, self._repeat, self._insert))(data)
        return bytes(data[:2000])

    def _flip(self, data: bytearray) -> None:
        if data:
            data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)

    def _cut(self, data: bytearray) -> None:
        del data[self._random.randint(0, len(data)) :]

    def _repeat(self, data: bytearray) -> None:
        start = self._random.randint(0, len(data))
        data += data[start : start + 20]

    def _insert(self, data: bytearray) -> None:
        at = self._random.randint(0, len(data))
        data[at:at] = self._random.randbytes(self._random.randint(1, 8))

    def _request(self) -> bytes:
        choose = self._random.choice
        path = choose(list(self._paths))
        code = choose(self._paths[path]) if self._random.random() < 0.8 else choose(_CODES)
        made = Message(code=Code(code), payload=self._payload())
        made.opt.uri_path = self._spoilt(path)
        for _ in range(choose((0, 0, 1, 2, 3))):
            self._sensible_option(made)
        if self._random.random() < 0.15:
            self._any_option(made)
        made.mtype = Type(choose((0, 0, 0, 0, 0, 1, 1, 1, 2, 3)))
        made.mid = self._random.randrange(1 << 16)
        made.token = self._random.randbytes(choose((0, 1, 2, 8)))
        return bytes(made.encode())

    def _spoilt(self, names: tuple[str, ...]) -> tuple[str, ...]:
        path = list(names)
        if self._random.random() < 0.2:
            path.insert(self._random.randint(0, len(path)), self._random.choice(_SEGMENTS))
        return tuple(path)

    def _payload(self) -> bytes:
        chosen = self._random.choice((b"", b"", self._random.randbytes(64), *self._payloads))
        if chosen and self._random.random() < 0.5:
            data = bytearray(chosen)
            self._flip(data)
            return bytes(data)
        return chosen

    def _sensible_option(self, message: Message) -> None:
        """An option that means something, with a value that may not."""
        choose = self._random.choice
        block = (choose((0, 0, 0, 1, 2, 3, 1 << 19)), choose((False, True)), choose((0, 2, 2, 6, 7)))
        opaque = choose((b"", b"x", self._random.randbytes(8)))
        kind = choose(
            ("block1", "block2", "observe", "accept", "content_format", "if_match", "etags", "query")
        )
        if kind == "query":
            message.opt.uri_query = (*message.opt.uri_query, *choose(self._queries).split("&"))
        elif kind in ("if_match", "etags"):
            setattr(message.opt, kind, (opaque or b"e",) if kind == "etags" else (opaque,))
        elif kind in ("block1", "block2"):
            setattr(message.opt, kind, block)
            if kind == "block1" and block[1] and self._random.random() < 0.8:
                message.payload = b"b" * (1 << min(block[2], 6) + 4)
        else:
            setattr(message.opt, kind, choose((0, 1, 40, 50, 60, 257, 65535)))

    def _any_option(self, message: Message) -> None:
        number = self._random.choice(_OPTIONS)
        raw = self._random.randbytes(self._random.choice((0, 1, 2, 3, 4, 8)))
        if number in (3, 8, 11, 15, 20, 35, 39):
            raw = self._random.choice(_SEGMENTS).encode() + b"=" + raw.hex().encode()
        message.opt.add_option(OptionNumber(number).create_option(decode=raw))
