"""A manifest that somebody else signed, pulled by its URL: how waiting for it ends."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from typing import Literal, cast

import pytest

from client.directory import Target
from client.pull import Pull
from client.pull_url import pull_url
from client.remote import RemoteDevice
from device.api import UpdateStatus
from device.errors import MicroBpfError, RemoteError

URL = "coap://files/suit_manifest0.signed"
OTHER = "coap://files/another.signed"


def told(
    state: Literal["idle", "manifest", "image"] = "idle", url: str | None = URL, result: str | None = None
) -> UpdateStatus:
    return UpdateStatus(state=state, url=url, sequence_number=3, result=result)


class Time:
    """Passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class Device:
    """Tells these statuses, the last of them for ever, after so many refusals of a trigger."""

    target = Target("otter", "coap://otter")

    def __init__(self, *statuses: UpdateStatus, busy: int = 0, status: str = "5.03") -> None:
        self.triggers = 0
        self._statuses: Iterator[UpdateStatus] = chain(statuses[:-1], repeat(statuses[-1]))
        self._busy = busy
        self._status = status

    async def trigger(self, url: str) -> None:
        assert url == URL
        self.triggers += 1
        if self.triggers <= self._busy:
            raise RemoteError("busy", status=self._status, code="BUSY", extra={"retry_after_s": 2})

    async def status(self) -> UpdateStatus:
        return next(self._statuses)


async def pulled(device: Device, time: Time) -> UpdateStatus:
    how = Pull(60.0, sleep=time.sleep, clock=lambda: time.now)
    return await pull_url(cast(RemoteDevice, device), URL, how)


async def test_a_busy_device_is_waited_for() -> None:
    device, time = Device(told("manifest"), told("image"), told(result="OK"), busy=3), Time()
    assert (await pulled(device, time)).result == "OK"
    assert (device.triggers, int(time.now)) == (4, 6)


ENDS: list[tuple[str, Device, str]] = [
    ("refused", Device(told(result="ROLLBACK")), "ROLLBACK"),
    ("of another update", Device(told("image"), told(url=OTHER, result="OK")), "missed"),
    ("restarted meanwhile", Device(told("image"), told(url=None)), "missed"),
    ("never begun", Device(told(url=None)), "missed"),
    ("without end", Device(told("image")), "timeout"),
    ("always busy", Device(told(), busy=10**6), "BUSY"),
    ("no trigger", Device(told(), busy=1, status="4.03"), "BUSY"),
]


@pytest.mark.parametrize(("device", "code"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
async def test_every_wait_has_an_end(device: Device, code: str) -> None:
    time = Time()
    with pytest.raises(MicroBpfError) as refused:
        await pulled(device, time)
    assert refused.value.code == code
    assert time.now < 61
