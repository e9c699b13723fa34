"""`interpreter`: what devices use by default (engines.md).

A program begins in the exact tier, one closure for each instruction (closures.py). What gets hot is
translated to Python (generate.py) for a unit at a time: a function, or the rest of one from a loop's header
on. Translated code decides nothing that is rare: a fault, the end of the budget, an access that its
assumptions do not cover all leave it (machine.py) and go on in the exact tier at the same instruction.
"""

from device.vm.interpreter.engine import InterpreterEngine

__all__ = ["InterpreterEngine"]
