"""The differential fuzzer: every engine against `switch`, on programs that nobody wrote (engines.md).

generate, mutate   a seed to a case: program, memory, budgets
execute            a case on one engine to what can be observed of it
campaign           many cases on all engines; the first difference ends one
shrink             the smallest case that still differs
listing            a case as assembler text with directives, and back

python -m tests.property.differential --seconds 60
"""
