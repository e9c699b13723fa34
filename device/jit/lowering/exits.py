"""Where compiled code is left: at which instruction, and where each register's halves are then."""

from __future__ import annotations

from dataclasses import dataclass

from device.jit.lowering.looked import Half, Home, Homes, Looked, known
from device.jit.lowering.rounds import Rounds
from device.vm.analysis.liveness import HIGH, LOW
from device.vm.analysis.values import State
from device.vm.isa import FRAME_POINTER


@dataclass(frozen=True, slots=True)
class Exit:
    """Where compiled code is left at `pc`: `refund` instructions were charged and not executed.

    `halves` are those that are live, each in its home or a constant. `short` says that the budget left may
    not last to where it is looked at next; what was charged for more `rounds` of a loop is given back too.
    The accesses at the slots that are `blamed` would not be where they were guessed. Nobody called an
    `outermost` function but the dispatcher.
    """

    pc: int
    refund: int
    halves: tuple[tuple[Half, Home | int], ...]
    outermost: bool
    short: bool = False
    rounds: Rounds | None = None
    blamed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """A place between two steps: the halves that are live and wanted there (see Looked), and their homes."""

    pc: int
    live: int
    wanted: int
    state: State
    homes: Homes

    @staticmethod
    def ahead_of(at: Looked) -> Moment:
        """Before a step."""
        return Moment(at.pc, at.live, at.wanted, at.before, at.homes)

    @staticmethod
    def behind(call: Looked) -> Moment:
        """Where a local call comes back to."""
        return Moment(call.pc + 1, call.live_behind, call.wanted_behind, call.behind, call.homes_behind)

    def halves(self) -> tuple[tuple[Half, Home | int], ...]:
        """Where each half is that is live, or what it must be."""
        found: list[tuple[Half, Home | int]] = []
        for register in range(FRAME_POINTER):
            for high, bits in ((False, LOW), (True, HIGH)):
                if self.live & bits[register]:
                    home = self.homes.get((register, high))
                    where = home if home is not None else known(self.state, register, high)
                    if where is None:
                        raise AssertionError(f"a half of r{register} is live and has no home")
                    found.append(((register, high), where))
                elif self.wanted & bits[register]:
                    found.append(((register, high), 0))
        return tuple(found)
