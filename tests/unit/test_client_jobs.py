"""Waiting for a job: the one that was meant, to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, repeat

import pytest

from client.connection import Connection
from client.directory import Target
from client.exchange import Call, Reply
from client.jobs import wait
from client.remote import RemoteDevice
from device.api import JobInfo
from device.errors import RemoteError
from tests.unit.client_fakes import FakeNetwork, content

RUNNING = JobInfo(1, 2, "switch", "running", started_ms=30, boot="0a0b0c0d")


async def waited(answers: Sequence[JobInfo]) -> JobInfo:
    """What waiting for job 1 gives with a device that answers so, again and again with the last."""
    supply = chain(answers, repeat(answers[-1]))

    def device(_call: Call) -> Reply:
        return content(next(supply).to_map())

    async with Connection(FakeNetwork({"dev": device})) as connection:
        return await wait(RemoteDevice(connection, Target("otter", "coap://dev")), 1, quiet_s=0.05)


async def test_the_job_at_its_end_is_given() -> None:
    ended = replace(RUNNING, state="finished", r0_signed=7)
    queued = replace(RUNNING, state="queued", started_ms=None)
    assert await waited([queued, queued, RUNNING, ended]) == ended


async def test_a_device_that_names_no_boot_is_understood() -> None:
    ended = replace(RUNNING, state="finished", boot=None)
    assert await waited([replace(RUNNING, boot=None), ended]) == ended


@pytest.mark.parametrize(
    "other",
    [
        replace(RUNNING, boot="0a0b0c0e"),  # begun at the same millisecond as the first one
        replace(RUNNING, slot=3),
        replace(RUNNING, started_ms=31),
    ],
)
async def test_another_job_of_the_same_number_is_not_taken_for_it(other: JobInfo) -> None:
    with pytest.raises(RemoteError, match="job 1 of slot 2 is gone") as caught:
        await waited([RUNNING, other, replace(other, state="finished")])
    assert caught.value.code == "job-lost"
