"""What the functions of a program that is compiled have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from device.jit.fixups import Label
from device.jit.lowering.calls import Callee, Request
from device.jit.lowering.memory import Place
from device.jit.lowering.operands import Scratch
from device.vm.analysis.inlining import Bodies
from device.vm.analysis.liveness import BOTH
from device.vm.analysis.values import State
from device.vm.memory import STACK_TOP


@dataclass(frozen=True, slots=True)
class Program:
    """The regions, the frames, and what functions ask of whoever compiles them.

    `places` are the regions by window, `needs` the halves that a function reads of its caller, `returned` the
    argument registers that callers read behind a call; `function` gives a callee for what is known where it
    is called, `checker` the label of the routine for accesses of unknown place, `request` a number for a
    request, `bodies` what functions do that are small enough to stand where they are called. With `calls`
    there are local functions.
    """

    places: Sequence[Place | None]
    frame_size: int
    frames: int
    data_base: int
    distrusted: frozenset[int]
    needs: Callable[[int], int]
    returned: tuple[int, ...]
    function: Callable[[int, State], Callee]
    checker: Callable[[int, bool, Scratch], Label]
    request: Callable[[Request], int]
    bodies: Bodies
    calls: bool
    checked: bool = True

    @property
    def returned_halves(self) -> int:
        """`returned` as liveness wants it."""
        return sum(BOTH[register] for register in self.returned)

    @property
    def deepest(self) -> int:
        """r10 in the deepest frame."""
        return STACK_TOP - (self.frames - 1) * self.frame_size
