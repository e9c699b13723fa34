"""Making one device fetch the manifest at a URL, whoever signed it, and learning what became of it.

What is in it is not known here, so success is what the device says of it; `client.pull` is for releases that
were signed here.
"""

from __future__ import annotations

from client.pull import MISSED, Pull, busy_for, outcome, refusal
from client.remote import RemoteDevice
from device.api import UpdateStatus
from device.errors import RemoteError


async def pull_url(device: RemoteDevice, url: str, how: Pull) -> UpdateStatus:
    """Have `device` fetch and install what is at `url`; a device that is busy is waited for.

    Raises RemoteError with the refusal's class, `missed` when the device tells of another update instead;
    TransportError when the device falls silent or the deadline passes.
    """
    await _trigger(device, url, how)
    status = await outcome(device, url, how)
    if status is None:
        raise RemoteError(
            f"{device.target.name} tells of another update than {url}",
            status="4.09",
            code=MISSED,
            where=device.target.url("/suit/status"),
            hint="look with `client ps`, then pull again",
        )
    if status.result != "OK":
        raise refusal(status)
    return status


async def _trigger(device: RemoteDevice, url: str, how: Pull) -> None:
    while True:
        try:
            await device.trigger(url)
        except RemoteError as error:
            wait = busy_for(error)
            if wait is None or wait > how.remaining():
                raise
            await how.sleep(wait)
        else:
            return
