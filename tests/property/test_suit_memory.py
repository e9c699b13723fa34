"""Memory stays flat over hostile envelopes: nothing of a refused update is kept anywhere."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from tests.property.test_suit_mutations import BOTH, Kind, Subject, check, resigned_commands, stranger

WARM_UP, COUNT = 200, 800
KEPT = 64 * 1024
"""Bytes that may be kept in all, by caches of the libraries; a single kept envelope each would be more."""


@pytest.mark.parametrize("kind", [stranger, resigned_commands], ids=lambda kind: str(kind.__name__))
@BOTH
def test_nothing_is_kept_of_what_was_refused(subject: Subject, kind: Kind) -> None:
    check(kind, subject, WARM_UP)
    gc.collect()
    tracemalloc.start()
    try:
        check(kind, subject, WARM_UP)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        check(kind, subject, COUNT)
        gc.collect()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < KEPT
    assert peak - before < 16 * KEPT
