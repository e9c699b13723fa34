"""The resident code that every run enters by and leaves through (layout.py, "The call").

It stays translated for the machine's life; an `until` address instead would be translated at each call.
"""

from __future__ import annotations

from typing import Final

from device.jit.assembler import Assembler
from device.jit.encoder import Access, R, access, blx, load_constant, mov, svc
from device.jit.layout import ARGUMENTS, ENTRY, MAILBOX, REQUEST, RESULT

_WORD: Final = 4


def dispatcher() -> bytes:
    """Its code, for the address DISPATCHER.

    Behind the SVC of the return it begins again: a service that asks for another round need not leave
    the machine. After the call it goes by MAILBOX, not by SP, which the callee may have lost.
    """
    asm = Assembler()
    start = asm.here()
    asm.emit(*load_constant(R.R12, MAILBOX), mov(R.SP, R.R12))
    asm.emit(*(access(Access.LDR, n, R.SP, _WORD * (ARGUMENTS + n)) for n in range(4)))
    asm.emit(access(Access.LDR, R.R12, R.SP, _WORD * ENTRY), blx(R.R12))
    asm.emit(*load_constant(R.R12, MAILBOX))
    asm.emit(*(access(Access.STR, n, R.R12, _WORD * (RESULT + n)) for n in range(3)))
    asm.emit(*load_constant(R.R3, 0), access(Access.STR, R.R3, R.R12, _WORD * REQUEST), svc(0))
    asm.jump(start)
    return asm.finish().text
