"""Whether a run may take more than 200 jumps, which is what Femto-Containers and Sming allow."""

from __future__ import annotations

from typing import Final

from device.vm.arithmetic import CONDITIONS
from device.vm.lint.subject import Subject
from device.vm.verifier.counting import CountedLoop, counted_loops

_ALLOWED: Final = 200


def branch_budget(subject: Subject) -> list[int] | None:
    """The jumps back of loops that may go on for too long; None when a run certainly stays within 200.

    Loops whose rounds can be read off are counted out, and every other jump counts once: right as long as
    no loop lies in another, and no function is called.
    """
    code, flow = subject.code, subject.flow
    reached = {flow.end(block).pc for block in flow.blocks if block.reached}
    jumps = [pc for pc in code.jumps if pc in reached]
    back = [pc for pc in jumps if code.jumps[pc] <= pc]
    taken = {loop.pc: _taken(loop) for loop in counted_loops(flow)}
    simple = not code.calls and all(pc in taken for pc in back)
    if simple and sum(taken.values()) + len(jumps) - len(back) <= _ALLOWED:
        return None
    endless = [pc for pc in back if taken.get(pc, _ALLOWED + 1) > _ALLOWED]
    return sorted(endless or back) or (None if len(jumps) <= _ALLOWED else sorted(jumps))


def _taken(loop: CountedLoop) -> int:
    """How often the loop jumps back, at most one more than allowed."""
    mask = (1 << loop.bits) - 1
    test, value, limit = CONDITIONS[loop.test], loop.start & mask, loop.limit & mask
    for taken in range(_ALLOWED + 1):
        value = value + loop.step & mask
        if not test(value, limit, loop.bits):
            return taken
    return _ALLOWED + 1
