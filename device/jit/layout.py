"""Where the machine keeps what is its own: code, dispatcher, native stack, mailbox.

All of it lies in 0x08000000 to 0x0fffffff, which no region of a guest ever covers (programs.md section 3.1):

    0x08000000  code        R X   installed pieces, written from Python only
    0x0e000000  dispatcher  R X   calls the entry, hands back its result
    0x0effc000  stack       R W   16 KiB, grows down from the mailbox
    0x0f000000  mailbox     R W   one page of 256 words, shared with Python

Everything between is unmapped, so each of them has guard pages on both sides but for the stack and the
mailbox, which touch: SP is MAILBOX when the entry is called, so code reaches its mailbox by 16-bit `str rt,
[sp, #n]` as long as it knows how much it has pushed, and by `mov rt, #MAILBOX` (a modified immediate)
anywhere.

**The call.** The dispatcher loads R0 to R3 from the four words ARGUMENTS, calls the entry by BLX, and
stores R0, R1 and R2 to the three words RESULT. R4 to R11 and S16 to S31 are the callee's to preserve, SP
is a multiple of 8 when the entry is called and comes back as it was, as in AAPCS. The dispatcher itself
keeps nothing in them. What a unit calls within itself has a convention of its own (lowering/calls.py), which
aligns SP to words only.

**A request.** Code stores a number above 0 to the word REQUEST, its operands to words from FREE on, and
executes `svc`; Python's service runs with that number, reads and writes the mailbox, and code goes on
behind the `svc`. All registers are as they were: results come back in the mailbox. The number in the `svc`
itself is not looked at. The service gets what code wrote, so it treats number and operands as hostile.
"""

from __future__ import annotations

from typing import Final

PAGE: Final = 1024
"""The granularity of mapping, in bytes."""

NATIVE_START: Final = 0x08000000
NATIVE_END: Final = 0x10000000
"""What belongs to the machine; guests have nothing in [NATIVE_START, NATIVE_END)."""

CODE_BASE: Final = 0x08000000
CODE_SIZE: Final = 4 << 20
DISPATCHER: Final = 0x0E000000
STACK_SIZE: Final = 16 << 10
MAILBOX: Final = 0x0F000000
STACK_BASE: Final = MAILBOX - STACK_SIZE

REQUEST: Final = 0
"""Word: what the SVC asks for; 0 is the dispatcher's own, the return of the entry."""
ENTRY: Final = 3
"""Word: the address to call, with the T bit."""
ARGUMENTS: Final = 4
"""Four words: R0 to R3 at the entry."""
RESULT: Final = 8
"""Three words: R0 to R2 at the return."""
FREE: Final = 12
"""The first of the words that belong to compiled code and its service."""
