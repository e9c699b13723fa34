"""What can go wrong inside the JIT. None of it is ever the fault of a program: these are our own mistakes.

All are JitError, which is a MicroBpfError of device/errors.py: EncodingError for an operand that no encoding
of the instruction has, MachineError for a machine that is asked for something that it cannot do.
"""

from __future__ import annotations

from device.errors import MicroBpfError


class JitError(MicroBpfError):
    """A mistake of the compiler or of the machine that runs its code."""

    title = "JIT failed"
    default_code = "jit"


class EncodingError(JitError):
    """An operand that no encoding of the instruction has: a bug in the lowering, not in the program."""

    default_code = "jit-encoding"


class MachineError(JitError):
    """The machine was used wrongly: overlapping code, the wrong thread, a run inside a run."""

    default_code = "jit-machine"
