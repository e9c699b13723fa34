"""Guest memory: the map, the regions and the one check that every access goes through.

Guest addresses are 32 bit (programs.md section 3). An access of n bytes is legal only when it lies
wholly inside one region that allows it; everything else is ILLEGAL_MEM. Helpers and all engines use the
same regions at the same addresses, so pointer values are equal whatever runs the program.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

from device.vm.faults import FaultCode, GuestFault

ADDRESS_MASK: Final = 0xFFFFFFFF
RODATA_BASE: Final = 0x10000000
DATA_BASE: Final = 0x20000000
STACK_TOP: Final = 0x20101000
CONTEXT_BASE: Final = 0x20200000
PACKET_VIEW_BASE: Final = 0x20210000
PACKET_BUFFER_BASE: Final = 0x20220000
EXTRA_BASE: Final = 0x20300000
EXTRA_STRIDE: Final = 0x10000
MAX_EXTRA_REGIONS: Final = 16
MAX_REGION_BYTES: Final = 65_536
MAP_START: Final = RODATA_BASE
MAP_END: Final = EXTRA_BASE + MAX_EXTRA_REGIONS * EXTRA_STRIDE
"""All regions lie in [MAP_START, MAP_END)."""
FRAME_SIZE: Final = 512
MAX_FRAMES: Final = 8
_STACK_WINDOW: Final = 0x20100000
_PAGE_BITS: Final = 16
"""Regions are looked for by the other bits of an address, so that their number costs nothing."""
_EXTRA_BASES: Final = tuple(EXTRA_BASE + k * EXTRA_STRIDE for k in range(MAX_EXTRA_REGIONS))
WINDOWS: Final = (
    RODATA_BASE,
    DATA_BASE,
    _STACK_WINDOW,
    CONTEXT_BASE,
    PACKET_VIEW_BASE,
    PACKET_BUFFER_BASE,
    *_EXTRA_BASES,
)
"""Where the places of the map begin; each holds one region at most and reaches up to the next."""
STACK_PLACE: Final = WINDOWS.index(_STACK_WINDOW)
CONTEXT_PLACE: Final = WINDOWS.index(CONTEXT_BASE)


Buffer = bytearray | memoryview


def window_of(address: int) -> int:
    """The number of the place that an address lies in, or -1."""
    return bisect_right(WINDOWS, address) - 1 if address < MAP_END else -1


class Place(NamedTuple):
    """Where a refused access lies: in words, the name of the nearest region, the distance (see Fault)."""

    words: str
    region: str
    distance: int | None = None


class Region:
    """A run of guest bytes with one permission.

    `data` backs the bytes from `origin` on; the accessible part is [`base`, `end`). The two differ only
    for the stack, whose accessible part grows downwards with the call depth. One that programs may not write
    to is `fixed` during a run, unless helpers write to it (`updated`).
    """

    __slots__ = ("base", "data", "end", "fixed", "name", "origin", "writable")

    def __init__(self, name: str, base: int, data: Buffer, *, writable: bool, updated: bool = False) -> None:
        self.name = name
        self.base = base
        self.origin = base
        self.data = data
        self.end = base + len(data)
        self.writable = writable
        self.fixed = not writable and not updated


class Stack(Region):
    """The stack: `frames` frames of `frame_size` bytes below STACK_TOP, one of them active at first."""

    __slots__ = ("frame_size", "frames")

    def __init__(self, frame_size: int = FRAME_SIZE, frames: int = MAX_FRAMES) -> None:
        size = frame_size * frames
        super().__init__("the stack frame", STACK_TOP - size, bytearray(size), writable=True)
        self.frame_size = frame_size
        self.frames = frames
        self.activate(1)

    def reset(self) -> None:
        """Make it what a run starts with: all zero, one frame."""
        self.data[:] = bytes(len(self.data))
        self.activate(1)

    def activate(self, frames: int) -> None:
        """Make the topmost `frames` frames accessible."""
        self.base = STACK_TOP - frames * self.frame_size


class GuestMemory:
    """The regions of one run, the stack first. Regions of length 0 do not exist.

    `shape` is what code may depend on that is made for such memory: bytes and number of the stack's frames,
    then of each region where it is, where it ends, whether it is writable.
    """

    __slots__ = ("_pages", "regions", "shape", "stack")

    def __init__(self, regions: Sequence[Region], stack: Stack | None = None) -> None:
        self.stack = stack or Stack()
        self.regions: tuple[Region, ...] = (self.stack, *(region for region in regions if len(region.data)))
        self._pages: dict[int, tuple[Region, ...]] = {}
        shape = [self.stack.frame_size, self.stack.frames]
        for region in self.regions:
            shape += (region.origin, region.end, region.writable)
            for page in range(region.origin >> _PAGE_BITS, (region.end - 1 >> _PAGE_BITS) + 1):
                self._pages[page] = (*self._pages.get(page, ()), region)
        self.shape: tuple[int, ...] = tuple(shape)

    def find(self, address: int, size: int, *, write: bool, access: str = "") -> tuple[Region, int]:
        """The region that holds [address, address + size) and the offset in its data.

        Raises GuestFault ILLEGAL_MEM. `size` is at least 1; `access` words the fault ("load", "store"
        by default).
        """
        for region in self._pages.get(address >> _PAGE_BITS, ()):
            if region.base <= address and address + size <= region.end:
                if write and not region.writable:
                    break
                return region, address - region.origin
        place = self.place_of(address, size, write=write)
        raise _fault(address, size, access or ("store" if write else "load"), place)

    def load(self, address: int, size: int) -> int:
        """Read `size` bytes (1, 2, 4, 8), little-endian, zero-extended."""
        region, offset = self.find(address, size, write=False)
        return int.from_bytes(region.data[offset : offset + size], "little")

    def store(self, address: int, size: int, value: int) -> None:
        """Write the low `size` bytes of `value`, little-endian."""
        region, offset = self.find(address, size, write=True)
        region.data[offset : offset + size] = (value & ((1 << size * 8) - 1)).to_bytes(size, "little")

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes for a helper; size 0 is always legal. Nothing is copied before the check."""
        if size == 0:
            return b""
        region, offset = self.find(address, size, write=False, access="read")
        return bytes(region.data[offset : offset + size])

    def write(self, address: int, payload: bytes) -> None:
        """Write bytes for a helper; none is always legal."""
        if payload:
            region, offset = self.find(address, len(payload), write=True, access="write")
            region.data[offset : offset + len(payload)] = payload

    def check_writable(self, address: int, size: int) -> None:
        """Fault now if a later `write` of `size` bytes would; size 0 is always legal."""
        if size:
            self.find(address, size, write=True, access="write")

    def check_readable(self, address: int, size: int) -> None:
        """Fault now if a later `read` of `size` bytes would; size 0 is always legal."""
        if size:
            self.find(address, size, write=False, access="read")

    def string_length(self, address: int, limit: int | None = None) -> int:
        """How many bytes stand before the NUL of the string at `address`.

        The NUL lies in the region of the first byte and, with `limit`, within that many bytes. Raises
        GuestFault when there is none: the region ends first, or the limit is reached.
        """
        for region in self._pages.get(address >> _PAGE_BITS, ()):
            if region.base <= address < region.end:
                available = region.end - address
                window = available if limit is None or limit > available else limit
                offset, data = address - region.origin, region.data
                if isinstance(data, bytearray):
                    length = data.find(0, offset, offset + window) - offset
                else:
                    length = _find_nul(data, offset, offset + window)
                if length >= 0:
                    return length
                if window < available:
                    place = Place(f"no NUL in these bytes of {region.name}", region.name)
                    raise _fault(address, window, "read", place)
                place = Place(f"no NUL up to the end of {region.name}", region.name)
                raise _fault(address, window + 1, "read", place)
        raise _fault(address, 1, "read", self.place_of(address, 1, write=False))

    def read_string(self, address: int, limit: int | None = None) -> bytes:
        """The bytes before the NUL of the string at `address`; the contract is `string_length`'s."""
        return self.read(address, self.string_length(address, limit))

    def read_prefix(self, address: int, size: int) -> bytes:
        """The bytes before a NUL, or `size` bytes when none of them is NUL (C's `%.*s`).

        Only these bytes have to be readable, in one region; size 0 is always legal.
        """
        if size == 0:
            return b""
        region, offset = self.find(address, 1, write=False, access="read")
        length = _find_nul(region.data, offset, offset + min(size, region.end - address))
        return self.read(address, size if length < 0 else length)

    def place_of(self, address: int, size: int, *, write: bool) -> Place:
        """Where a refused access lies: the nearest region, and how far from it."""
        for region in self.regions:
            if region.base <= address < region.end:
                if address + size > region.end:
                    words = f"{address + size - region.end} beyond the end of {region.name}"
                    return Place(words, region.name)
                if write and not region.writable:
                    return Place(f"{region.name} is read-only", region.name)
        nearest = min(self.regions, key=lambda region: abs(_distance(region, address)))
        distance = _distance(nearest, address)
        if distance == 0:
            return Place(f"just past the end of {nearest.name}", nearest.name, 0)
        side = "below" if distance < 0 else "above"
        return Place(f"{abs(distance)} {side} {nearest.name}", nearest.name, distance)


def _distance(region: Region, address: int) -> int:
    """Bytes from the region to `address`: negative below it, from 0 on behind its end."""
    return address - region.base if address < region.base else address - region.end


_SHORT: Final = 64
_SCAN: Final = 4096
"""Bytes of a view that are looked at together: first few, as most strings are short."""


def _find_nul(data: Buffer, start: int, end: int) -> int:
    """The distance from `start` to the first NUL before `end`, -1 when there is none."""
    if isinstance(data, bytearray):
        return max(data.find(0, start, end) - start, -1)
    found = data[start : start + _SHORT].tobytes().find(0)
    if found < 0:
        for at in range(start + _SHORT, end, _SCAN):
            found = data[at : at + _SCAN].tobytes().find(0)
            if found >= 0:
                found += at - start
                break
    return found if found < end - start else -1


def _fault(address: int, size: int, access: str, place: Place) -> GuestFault:
    plural = "" if size == 1 else "s"
    return GuestFault(
        FaultCode.ILLEGAL_MEM,
        f"{access} of {size} byte{plural} at 0x{address:x} ({place.words})",
        address=address,
        size=size,
        access=access,
        region=place.region,
        distance=place.distance,
    )
