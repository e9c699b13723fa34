"""A process with one or many devices: started together, told of signals, stopped together."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TextIO

from device.execution import ShortRunPool
from device.log import DeviceLog, Sink, json_sink, text_sink
from device.node.config import NodeConfig
from device.node.naming import reverse_lookup
from device.node.node import Node
from device.transport import coap_logger, raise_descriptor_limit, report_loop_errors

SWITCH_INTERVAL_S: Final = 0.0005
"""How long a thread that runs a program keeps the interpreter: the event loop answers in between."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where a process says what: that it is ready on `out`, its log on `err`, as text or as JSON lines.

    `now` is the time of day that JSON lines bear, in seconds since 1970.
    """

    out: TextIO
    err: TextIO
    as_json: bool = False
    now: Callable[[], float] = time.time

    def event(self, event: str, text: str, **fields: Any) -> None:
        """A line for whoever started the process."""
        line = text
        if self.as_json:
            line = json.dumps({"time": round(self.now(), 3), "event": event, **fields})
        with suppress(BrokenPipeError):  # nobody listens any more: that is no reason to stop
            print(line, file=self.out, flush=True)

    def sink(self, name: str, *, alone: bool) -> Sink:
        """The log of one device; text names it only where there are several."""
        if self.as_json:
            return json_sink(self.err, name, self.now)
        return text_sink(self.err, "" if alone else f"{name} ")


async def serve(configs: Sequence[NodeConfig], output: Output) -> None:
    """Run devices until SIGINT or SIGTERM; SIGHUP reads their keys again.

    Raises ConfigError when one of them cannot start, after stopping those that did.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    prepare_process()
    pool = ShortRunPool()
    nodes: list[Node] = []
    reports = ExitStack()
    lookup = lru_cache(maxsize=16)(reverse_lookup)
    _handle_signals(loop, stopped, nodes)
    try:
        for config in configs:
            node = Node(
                config,
                pool,
                sink=lambda name: output.sink(name, alone=len(configs) == 1),
                chance=random.Random(),  # noqa: S311  # names and jitter, nothing secret
                lookup=lookup,
            )
            await node.start()
            nodes.append(node)
            if stopped.is_set():
                return
        reports.enter_context(_reports_to(nodes[0].log, loop))
        for node in nodes:
            output.event("ready", node.describe(), **node.facts())
        await stopped.wait()
    finally:
        await asyncio.gather(*(node.stop() for node in nodes))
        pool.close()
        reports.close()
    output.event("stopped", "device stopped")


def prepare_process() -> None:
    """Settings of the whole process: short turns for running programs, a socket for every device."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    raise_descriptor_limit()


def _handle_signals(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event, nodes: Sequence[Node]) -> None:
    def reload_keys() -> None:
        for node in nodes:
            node.reload_keys()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, reload_keys)


@contextmanager
def _reports_to(log: DeviceLog, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Errors of the CoAP library and of asyncio itself become lines of a log."""
    handler = _ToLog(log)
    logger = coap_logger()
    logger.addHandler(handler)
    logger.propagate = False
    report_loop_errors(loop, lambda text: log.add("error", "loop", text))
    try:
        yield
    finally:
        loop.set_exception_handler(None)
        logger.propagate = True
        logger.removeHandler(handler)


class _ToLog(logging.Handler):
    def __init__(self, log: DeviceLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.add("error", "coap", record.getMessage())
