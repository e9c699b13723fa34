"""The evaluation: what is claimed about speed and size, measured side by side in one run (evaluation.md).

kernels     programs with inputs, and what they return
timing      warm up, rounds that take turns, medians and spread
engines, regions
            a section each: a function from settings to rows
sections    the sections by name; a row is flat, as scripts want it
tables      rows as tables for people
machine     what it ran on
"""
