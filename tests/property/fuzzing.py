"""What the fuzz tests share: a seed that repeats a run, and many inputs one after the other."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from time import thread_time

SEED = int(os.environ.get("MICROBPF_FUZZ_SEED", "20261121"))
"""The same seed makes the same inputs. A run prints it in its summary."""

SLOWEST_S = 1.0
"""Processor time that one input may take: a thousand times what any of them needs."""


def flood(count: int, one: Callable[[random.Random], None]) -> None:
    """Try `count` inputs, each from a source of its own, so that one that fails can be tried alone."""
    for number in range(count):
        begin = thread_time()
        try:
            one(random.Random(f"{SEED}/{number}"))
        except Exception as error:
            raise AssertionError(f"MICROBPF_FUZZ_SEED={SEED}, input {number}: {error!r}") from error
        took = thread_time() - begin
        assert took < SLOWEST_S, f"MICROBPF_FUZZ_SEED={SEED}, input {number} took {took:.1f} s"
