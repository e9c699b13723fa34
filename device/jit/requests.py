"""What compiled code asks Python for: helpers, and 64-bit divisions.

A request is served from what its code wrote to the mailbox, which is not to be trusted, and from what the
compiler knew about it. What can be found out once in a run is: the helper behind the gate, above all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Final

from device.jit.errors import JitError
from device.jit.lowering.calls import OPERANDS, Request, state_word
from device.vm.arithmetic import OPERATIONS, Operation
from device.vm.decode import MASK32, MASK64
from device.vm.helpers.contract import BoundHelper
from device.vm.helpers.gate import bound
from device.vm.isa import FRAME_POINTER, Sem
from device.vm.program import Run

if TYPE_CHECKING:
    from device.jit.machine import Machine, Service

_WORD: Final = 4
_NUMBERS: Final = Struct("<5Q")
_NUMBERS_AT: Final = _WORD * OPERANDS
_RESULT: Final = OPERANDS // 2
"""The pair of words that the result goes to."""
_POINTER: Final = state_word(FRAME_POINTER, False)

Numbers = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request in the form that serves it fast: 64-bit masks of what code stores, and the bits known.

    `whole` are the numbers where all of them are known, `stored` is None where code stores all.
    """

    helper: int | None
    operation: Operation
    whole: Numbers | None
    stored: Numbers | None
    known: Numbers

    @classmethod
    def of(cls, request: Request) -> Asked:
        """From what the compiler says."""
        stored, known = [MASK64] * 5, [0] * 5
        for word, value in request.known.items():
            index, shift = word // 2, 32 * (word % 2)
            stored[index] &= ~(MASK32 << shift)
            known[index] |= value << shift
        count = 2 if request.helper is None else 5
        numbers: Numbers = (known[0], known[1], known[2], known[3], known[4])
        masks: Numbers = (stored[0], stored[1], stored[2], stored[3], stored[4])
        return cls(
            request.helper,
            OPERATIONS[request.operation or Sem.DIV],
            None if any(stored[:count]) else numbers,
            masks if request.known else None,
            numbers,
        )


def service(asked: Sequence[Asked], run: Run, machine: Machine, frame_size: int | None) -> Service:
    """What serves the requests of a run. `frame_size` is that of code with functions of its own, else None.

    The run's control is looked at before each helper: whether it was killed, and more often than seconds
    pass everything else.
    """
    functions: dict[int, tuple[Asked, BoundHelper]] = {}
    control, stack = run.control, run.memory.stack
    mailbox, content, numbers = machine.mailbox, machine.bytes, machine.numbers

    def serve(number: int) -> None:
        if machine.ticked or control.reason is not None:
            machine.ticked = False
            control.check()
        one, function = functions.get(number) or find(number)
        if frame_size is not None:
            # Code calls its functions by itself: their frames are active for as long as a helper looks.
            stack.base = mailbox[_POINTER] - frame_size
        if one.whole is not None:
            r1, r2, r3, r4, r5 = one.whole
        else:
            r1, r2, r3, r4, r5 = _NUMBERS.unpack_from(content, _NUMBERS_AT)
            if one.stored is not None:
                (s1, s2, s3, s4, s5), (k1, k2, k3, k4, k5) = one.stored, one.known
                r1, r2, r3, r4, r5 = r1 & s1 | k1, r2 & s2 | k2, r3 & s3 | k3, r4 & s4 | k4, r5 & s5 | k5
        numbers[_RESULT] = function(r1, r2, r3, r4, r5) & MASK64

    def find(number: int) -> tuple[Asked, BoundHelper]:
        if not 0 < number <= len(asked):
            raise JitError(f"request {number} of {len(asked)}")
        one = asked[number - 1]
        function = _divided(one.operation) if one.helper is None else bound(run.call_helper, one.helper)
        found = functions[number] = one, function
        return found

    return serve


def _divided(operation: Operation) -> Callable[[int, int, int, int, int], int]:
    """An operation on two 64-bit numbers, in the form of a helper."""
    return lambda a, b, _3, _4, _5: operation(a, b, 64)
