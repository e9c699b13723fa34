"""Machines for compiled code, which a run waits for before it has a thread (api.md, "Fairness")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device.execution.pool import Gate

if TYPE_CHECKING:
    from device.jit.machines import Claim, Machines


class MachineGate:
    """The gate of a run that insists on compiled code: what is behind it, and a machine, or neither.

    The machine is kept when the run steps out, until `release`. `lacking` says that one was missing when the
    run last wanted in.
    """

    def __init__(self, gate: Gate, machines: Machines) -> None:
        self.claim: Claim | None = None
        self.lacking = False
        self._gate = gate
        self._machines = machines

    def try_enter(self) -> bool:
        """See pool.Gate."""
        claim = self._machines.claim()
        self.lacking = claim is None
        if claim is None:
            return False
        if not self._gate.try_enter():
            claim.release()
            return False
        self.claim = claim
        return True

    def leave(self) -> None:
        """See pool.Gate."""
        self._gate.leave()

    def release(self) -> None:
        """Give the machine back."""
        if self.claim is not None:
            self.claim.release()
