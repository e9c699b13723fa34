"""A thread that has a machine."""

from __future__ import annotations

from collections.abc import Callable
from threading import local

from device.jit.processor import Processor


class Session:
    """What happens on a thread while it has a machine: what was compiled, and how long that took.

    It begins and ends as a context.
    """

    __slots__ = ("_thread", "compile_us", "compiles", "processor")

    def __init__(self, thread: local, processor: Callable[[], Processor]) -> None:
        self.processor = processor
        self.compiles = 0
        self.compile_us = 0
        self._thread = thread

    def __enter__(self) -> Session:
        self._thread.session = self
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.session = None
