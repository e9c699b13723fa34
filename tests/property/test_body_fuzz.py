"""Whatever a request's body says, it is taken or refused with problem details: no other way out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest

from device.api import (
    CBOR,
    JSON,
    BoardChange,
    ExecRequest,
    HookRequest,
    JobRequest,
    Problem,
    SaulChange,
    decode_body,
    encode_body,
)
from device.errors import RequestError
from device.peripherals import signal_from
from device.resource import problem_message
from device.server.stores import changes_of
from tests.property.bodies import Bodies
from tests.property.fuzzing import SEED

READERS: Final[Sequence[Callable[[Any], object]]] = (
    ExecRequest.from_map,
    JobRequest.from_map,
    HookRequest.from_map,
    SaulChange.from_map,
    BoardChange.from_map,
    signal_from,
    changes_of,
)


def refused_properly(error: RequestError) -> bool:
    """Whether an error is answered as a problem of the client's, short, in each form."""
    for accept in (None, CBOR, JSON):
        answer = problem_message(error, accept)
        problem = Problem.from_payload(answer.payload, answer.opt.content_format)
        if answer.code.class_ != 4 or problem is None or len(answer.payload) > 2000:
            return False
    return True


def check(count: int) -> None:
    bodies = Bodies(SEED)
    taken = 0
    for _ in range(count):
        payload, content_format = bodies.next()
        for read in READERS:
            try:
                read(decode_body(payload, content_format))
            except RequestError as error:
                if not refused_properly(error):
                    pytest.fail(f"{payload!r}: {error}")
            else:
                taken += 1
    assert 0 < taken < count * len(READERS), "the bodies are neither all wrong nor all right"


def test_bodies_are_taken_or_refused() -> None:
    check(2_000)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_a_night_of_bodies() -> None:
    check(100_000)


def test_what_is_right_is_taken() -> None:
    wanted = {"engine": "switch", "context": b"ab", "repeat": 3}
    assert ExecRequest.from_map(decode_body(encode_body(wanted, CBOR), CBOR)).context == b"ab"
    assert ExecRequest.from_map(decode_body(encode_body(wanted, JSON), JSON)).context == b"ab"
