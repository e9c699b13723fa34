"""All helpers by id, and the set that a profile offers (helpers.md sections 2 and 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from types import MappingProxyType
from typing import Final

from device.vm.helpers.blocks import BLOCKS
from device.vm.helpers.board import BOARD
from device.vm.helpers.clock import CLOCK
from device.vm.helpers.contract import CType, Helper
from device.vm.helpers.packets import PACKETS
from device.vm.helpers.printing import PRINTING
from device.vm.helpers.sensors import SENSORS
from device.vm.helpers.stores import STORES
from device.vm.helpers.text import TEXT
from device.vm.helpers.user import USER
from device.vm.profiles import Profile

_GROUPS: Final = (PRINTING, BLOCKS, STORES, CLOCK, SENSORS, PACKETS, TEXT, BOARD, USER)

HELPERS: Final[Mapping[int, Helper]] = MappingProxyType(
    {helper.id: helper for helper in sorted(chain(*_GROUPS), key=lambda helper: helper.id)}
)


def profile_helpers(profile: Profile) -> dict[int, Helper]:
    """The helpers that programs may call under `profile`, in ascending order of id."""
    return {
        number: _adapted(HELPERS[original], number, profile)
        for number in sorted(profile.helpers)
        if (original := profile.renumbered.get(number, number)) in HELPERS
    }


def _adapted(helper: Helper, number: int, profile: Profile) -> Helper:
    """A helper under the id and with the result that it has in a profile."""
    result = helper.result
    if number in profile.void:
        result = CType.VOID
    elif profile.narrow_results and result is not CType.VOID:
        result = CType.U32
    if (number, result) == (helper.id, helper.result):
        return helper
    return replace(helper, id=number, result=result)
