"""Programs that run by themselves: at intervals, on readings, on requests (api.md, "Hooks")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from client.remote import RemoteDevice
from client.text import table
from device.api import HookInfo, HookList, HookRequest
from device.errors import RemoteError


async def add(device: RemoteDevice, request: HookRequest) -> HookInfo:
    """Make a hook; what the device says of it. Raises RemoteError: 4.09 for a path that is taken."""
    return await device.add_hook(request)


async def put(device: RemoteDevice, request: HookRequest) -> HookInfo:
    """The same, in the place of a hook that runs the same slot for the same reason, or has the same path.

    What was there is there again, under a new number, when the device refuses the new one.
    """
    removed = []
    for hook in (await device.hooks()).items:
        if _same_place(hook, request):
            try:
                await device.remove_hook(hook.id)
                removed.append(hook)
            except RemoteError as error:
                if error.status != "4.04":  # somebody else was faster
                    raise
    try:
        return await device.add_hook(request)
    except RemoteError:
        for hook in removed:
            await device.add_hook(_again(hook))
        raise


def _again(hook: HookInfo) -> HookRequest:
    told = hook.to_map()
    return HookRequest.from_map({field.name: told.get(field.name) for field in fields(HookRequest)})


def _same_place(hook: HookInfo, request: HookRequest) -> bool:
    if hook.trigger != request.trigger:
        return False
    if request.trigger == "path":
        return (hook.path or "").removeprefix("/app/") == request.app_path
    return (hook.slot, hook.period_ms, hook.index) == (request.slot, request.period_ms, request.index)


async def listing(device: RemoteDevice) -> HookList:
    """All hooks of a device, the oldest first."""
    return await device.hooks()


async def remove(device: RemoteDevice, numbers: Sequence[int]) -> dict[str, Any]:
    """Take hooks away. Raises RemoteError (4.04) for one that is not there."""
    for number in numbers:
        await device.remove_hook(number)
    return {"removed": list(numbers)}


def trigger(hook: HookInfo) -> str:
    """When it runs, in a word or two."""
    if hook.trigger == "interval":
        return f"every {hook.period_ms} ms"
    if hook.trigger == "saul":
        return "any reading" if hook.index is None else f"saul:{hook.index}"
    return hook.path or hook.trigger


def last(hook: HookInfo) -> str | None:
    """How its last run ended."""
    if not hook.last:
        return None
    fault = hook.last.get("fault")
    return str(fault.get("code")) if isinstance(fault, dict) else str(hook.last.get("r0_signed"))


def hook_lines(listing: HookList) -> list[str]:
    """The table of `client hook`."""
    if not listing.items:
        return ["no hooks"]
    rows = [
        (hook.id, hook.slot, trigger(hook), hook.policy, hook.runs, hook.faults, hook.missed, last(hook))
        for hook in listing.items
    ]
    return table(("ID", "SLOT", "WHEN", "POLICY", "RUNS", "FAULTS", "MISSED", "LAST"), rows)
