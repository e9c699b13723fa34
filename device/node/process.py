"""A process with one or many devices: started together, told of signals, stopped together."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TextIO

from device.execution import ShortRunPool
from device.log import Sink, json_sink, text_sink
from device.node.config import NodeConfig
from device.node.naming import reverse_lookup
from device.node.node import Node
from device.transport import report_loop_errors

SWITCH_INTERVAL_S: Final = 0.0005
"""How long a thread that runs a program keeps the interpreter: the event loop answers in between."""

_DESCRIPTORS: Final = 65_536


@dataclass(frozen=True, slots=True)
class Output:
    """Where a process says what: that it is ready on `out`, its log on `err`, as text or as JSON lines."""

    out: TextIO
    err: TextIO
    as_json: bool = False

    def event(self, event: str, text: str, **fields: Any) -> None:
        """A line for whoever started the process."""
        line = json.dumps({"event": event, **fields}) if self.as_json else text
        print(line, file=self.out, flush=True)

    def sink(self, name: str, *, alone: bool) -> Sink:
        """The log of one device; text names it only where there are several."""
        if self.as_json:
            return json_sink(self.err, name)
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
    lookup = lru_cache(maxsize=16)(reverse_lookup)
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
        _handle_signals(loop, stopped, nodes)
        report_loop_errors(loop, lambda text: nodes[0].log.add("error", "loop", text))
        for node in nodes:
            output.event("ready", node.describe(), **node.facts())
        await stopped.wait()
    finally:
        await asyncio.gather(*(node.stop() for node in nodes))
        pool.close()
    output.event("stopped", "device stopped")


def prepare_process() -> None:
    """Settings of the whole process: short turns for running programs, a socket for every device."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _handle_signals(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event, nodes: Sequence[Node]) -> None:
    def reload_keys() -> None:
        for node in nodes:
            node.reload_keys()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, reload_keys)
