"""What devices say of themselves, for people: in the manner of `bpftool prog show`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from client.connection import Connection
from client.directory import Target
from client.escape import escape
from client.fleet import for_each
from client.remote import RemoteDevice
from client.text import block, hex_ids, hexdump, microseconds, size, table, uptime
from device.api import DeviceInfo, SlotContent, SlotInfo, SlotList, StoreListing
from device.errors import MicroBpfError


@dataclass(frozen=True, slots=True)
class Health:
    """A device of the directory, and what it answered. `info` None: not asked, or no answer."""

    target: Target
    info: DeviceInfo | None = None
    error: MicroBpfError | None = None

    @property
    def word(self) -> str:
        """`up`, `no answer`, or `-` when nobody asked."""
        if self.info is not None:
            return "up"
        return "-" if self.error is None else "no answer"

    def to_map(self) -> dict[str, Any]:
        """What JSON shows."""
        info = self.info
        return {
            **self.target.to_map(),
            "health": self.word,
            "reason": None if self.error is None else self.error.detail,
            "sequence_number": None if info is None else info.sequence_number,
            "uptime_ms": None if info is None else info.uptime_ms,
            "version": None if info is None else info.version,
        }


async def check_health(
    connection: Connection, targets: Sequence[Target], *, check: bool = True
) -> list[Health]:
    """Ask every device for itself. That one does not answer is a finding, not an error."""
    if not check:
        return [Health(target) for target in targets]
    outcomes = await for_each(targets, lambda target: RemoteDevice(connection, target).info())
    return [
        Health(target, outcome.result, outcome.error)
        for target, outcome in zip(targets, outcomes, strict=True)
    ]


def health_rows(found: Sequence[Health]) -> list[str]:
    """The table of `client devices`."""
    rows = [
        (
            health.target.name,
            health.target.board,
            health.target.slots,
            health.target.base,
            health.target.srv,
            None if health.info is None else health.info.sequence_number,
            None if health.info is None else uptime(health.info.uptime_ms),
            health.word,
        )
        for health in found
    ]
    return table(("NAME", "BOARD", "SLOTS", "ADDRESS", "FETCHES FROM", "SEQ", "UP", "HEALTH"), rows)


def slots_lines(listing: SlotList) -> Iterator[str]:
    """All programs of a device, a block each; free slots in one line."""
    free = [slot.slot for slot in listing.items if slot.state == "free"]
    for slot in listing.items:
        if slot.state != "free":
            yield from _program(slot)
    if free:
        yield f"free: {' '.join(map(str, free))}"


def _program(slot: SlotInfo) -> Iterator[str]:
    name = escape(slot.name or "(no name)")
    yield (
        f"{slot.slot}: {name}  tag {slot.tag or '-'}  {escape(slot.layout or '-')}  "
        f"{size(slot.size or 0)}  {slot.state}  seq {slot.sequence_number}"
    )
    mean = "" if slot.mean_us is None else f"  mean {microseconds(slot.mean_us)}"
    helpers = f"  helpers {hex_ids(slot.helpers)}" if slot.helpers else ""
    yield f"   runs {slot.runs}  faults {slot.faults}{mean}{helpers}"
    if slot.jit:
        yield f"   jit {escape(_compiled(slot.jit))}"
    if slot.bytecode == "discarded":
        yield f"   bytecode {_exact(slot)}"
    if slot.last_fault:
        yield f"   last fault: {escape(slot.last_fault.get('detail', slot.last_fault.get('code', '')))}"


def _compiled(jit: Mapping[str, Any]) -> str:
    """What a slot has of compiled code, in one line."""
    if jit.get("quarantined"):
        return "quarantined: it did not do what the interpreter does"
    length, runs, times, took = (
        value if isinstance(value := jit.get(key), int) else 0
        for key in ("size", "runs", "compiles", "compile_us")
    )
    return f"{size(length)}  runs {runs}  compiled {times} time{'s' * (times != 1)} in {microseconds(took)}"


def _exact(slot: SlotInfo) -> str:
    """What a slot without bytecode runs by."""
    length = (slot.jit or {}).get("exact_code")
    exact = f", {size(length)} of exact code" if isinstance(length, int) else ""
    return f"discarded, runs by jit only{exact}"


def device_lines(info: DeviceInfo) -> list[str]:
    """GET /device as a block."""
    return block(
        {
            "name": info.name,
            "board": info.board,
            "vendor id": info.vendor_id.hex(),
            "class id": info.class_id.hex(),
            "slots": f"{info.slots} of {size(info.slot_size)}",
            "sequence": info.sequence_number,
            "profiles": " ".join(info.profiles),
            "engines": " ".join(info.engines),
            "workers": info.workers,
            "up": uptime(info.uptime_ms),
            "version": info.version,
        }
    )


def slot_lines(slot: SlotInfo) -> list[str]:
    """GET /slots/{n} as a block."""
    if slot.state == "free":
        return block({"slot": slot.slot, "state": slot.state})
    return block(
        {
            "slot": slot.slot,
            "state": slot.state,
            "name": slot.name,
            "digest": None if slot.digest is None else slot.digest.hex(),
            "tag": slot.tag,
            "size": None if slot.size is None else size(slot.size),
            "layout": slot.layout,
            "profile": slot.profile,
            "sequence": slot.sequence_number,
            "helpers": hex_ids(slot.helpers) or "none",
            "granted": None if slot.capabilities is None else granted(slot.capabilities),
            "bytecode": _exact(slot).removeprefix("bytecode ")
            if slot.bytecode == "discarded"
            else slot.bytecode,
            "runs": slot.runs,
            "faults": slot.faults,
            "mean time": microseconds(slot.mean_us),
            "jit": None if not slot.jit else _compiled(slot.jit),
            "last fault": None if not slot.last_fault else slot.last_fault.get("detail"),
        }
    )


def granted(capabilities: Mapping[str, Any]) -> str:
    """What the update of a slot grants, in one line, whatever a device says of it."""
    said = {**capabilities}
    helpers = said.get("helpers")
    if isinstance(helpers, list | tuple) and all(isinstance(number, int) for number in helpers):
        said["helpers"] = hex_ids(helpers) or "none"
    if isinstance(said.get("jit"), bool):
        said["jit"] = "yes" if said["jit"] else "no"
    return ", ".join(f"{name} {value}" for name, value in said.items())


def content_lines(found: SlotContent) -> Iterator[str]:
    """Bytes of a slot's image as a hex dump, and how many there are."""
    yield from hexdump(found.content, found.offset)
    yield f"{len(found.content)} of {found.size} bytes, tag {found.digest.hex()[:8]}"


def store_lines(listing: StoreListing) -> list[str]:
    """A store as a table, and how full it is."""
    used = f"{len(listing.entries)} of {listing.capacity} entries"
    if not listing.entries:
        return [used]
    rows = [(int(key), value, f"0x{value & 0xFFFFFFFF:08x}") for key, value in listing.entries.items()]
    return [*table(("KEY", "VALUE", "HEX"), rows), used]
