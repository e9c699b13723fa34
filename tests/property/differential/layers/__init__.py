"""The fuzzer's layers: programs by what they are about, most of them enumerated and not drawn (engines.md).

trial        a program with all that it is run with; families and layers of trials, each with a number
operands     values at which arithmetic goes wrong, and ways for a register to come by one
single       one instruction: every opcode, operand form, aliasing, corner value
accesses     one load, store or atomic
sequences    two or three instructions, few registers
calls        loops and functions, up to eight deep
edges        memory on both sides of each end of each region
strolls      loops over memory, drawn
large        code beyond the range of branches and literals
budgets      loops under every budget there is for them
watched      the JIT between sentinels: what compiled code has to preserve
table        all layers
campaign     trials on all engines; the first difference ends it

python -m tests.property.differential.layers --processes 1
"""
