"""From a unit of eBPF (device/vm/analysis) to Thumb-2: where values live, and what each instruction becomes.

homes.py      which halves of which registers exist, and where each has its home
operands.py   reading and writing halves in their homes, constants included
alu.py        arithmetic, logic, moves and byte orders, halves that nobody reads left out
branches.py   comparisons of 32 and 64 bits
memory.py     loads, stores and atomics with their checks
calls.py      helpers, 64-bit division and local functions
function.py   blocks in order, the budget, and the places where code is left
"""
