"""The endpoints of µBPF's device and of TinyPART, as their tools use them (api.md).

A request is hex text: four digits of configuration, then two for each helper that it allows. Answers and
errors are lines of text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiocoap import Code, Message

from device.api import ExecRequest, JobRequest
from device.errors import MalformedRequest
from device.execution import Executor
from device.execution.requests import Terms
from device.log import DeviceLog
from device.resource import Transfers
from device.server.base import TEXT, LineResource, line_answer
from device.server.configuration import Configuration, helpers_of
from device.server.packets import TIMEOUT_MS, respond, result_of
from device.transport import peer_host
from device.vm.arithmetic import signed
from device.vm.helpers.text import fixed_point
from device.vm.program import Layout

MAX_REQUEST: Final = 4 + 2 * 256 + 1
"""Bytes of a request: the word, every id there is, a NUL."""

MAX_TEXT: Final = 512

_WORD: Final = 4


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A request to run the program of a slot: on which engine, by which rules."""

    slot: int
    run: ExecRequest
    terms: Terms

    @classmethod
    def of(cls, payload: bytes) -> RunRequest:
        """From the text of a request. Raises MalformedRequest."""
        text = text_of(payload)
        if len(text) < _WORD:
            raise MalformedRequest(
                f"{len(text)} characters", where="config", hint="4 hex digits, 2 for each helper"
            )
        word = Configuration.of(text[:_WORD])
        access = word.access(helpers_of(text[_WORD:]))
        femto = word.femto and not word.jit
        if femto and word.layout is not Layout.FEMTO:
            raise MalformedRequest("the Femto-Container VM needs its own layout", where="config")
        engine = ExecRequest(
            engine="jit" if word.jit else "interpreter",
            recompile=word.jit and word.recompile,
            timeout_ms=TIMEOUT_MS,
        )
        return cls(word.slot, engine, Terms(access, layout=word.layout, femto=femto))


def text_of(payload: bytes) -> str:
    """The text of a request; their clients' C strings may end with a NUL. Raises MalformedRequest."""
    try:
        return payload.removesuffix(b"\0").decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedRequest("the request is no text") from None


class RunResource(LineResource):
    """What the endpoints that run a slot have in common."""

    max_body = MAX_REQUEST

    def __init__(self, transfers: Transfers, executor: Executor) -> None:
        super().__init__(transfers)
        self.executor = executor


class ShortExecution(RunResource):
    """POST /short-execution: the result of a run."""

    rt = "ubpf.short-execution"

    async def render_post(self, request: Message) -> Message:
        """Run."""
        asked = RunRequest.of(request.payload)
        done = await self.executor.run(asked.slot, asked.run, peer_host(request), asked.terms)
        return line_answer(f'{{"result": {result_of(done)}}}')


class WithPacket(RunResource):
    """POST /with_coap_pkt: the program answers."""

    rt = "ubpf.with-coap-pkt"

    async def render_post(self, request: Message) -> Message:
        """Run with this request as the packet."""
        asked = RunRequest.of(request.payload)
        message, _ = await respond(self.executor, asked.slot, request, asked.run, asked.terms)
        return message


class LongRunning(RunResource):
    """POST /long-running: begin a job."""

    rt = "ubpf.long-running"

    async def render_post(self, request: Message) -> Message:
        """Begin it. Without a free worker 5.03."""
        asked = RunRequest.of(request.payload)
        await self.executor.start_job(JobRequest(asked.slot, asked.run), peer_host(request), asked.terms)
        return line_answer("VM Execution request sent successfully!")


class ExecSlot(LineResource):
    """POST /bpf/exec/{n}: the result as a number with two decimals (TinyPART)."""

    rt = "bpf.exec"
    max_body = MAX_TEXT

    def __init__(self, transfers: Transfers, number: int, executor: Executor) -> None:
        super().__init__(transfers)
        self._number = number
        self._executor = executor

    async def render_post(self, request: Message) -> Message:
        """Run, whatever the request carries."""
        asked = ExecRequest(timeout_ms=TIMEOUT_MS)
        done = await self._executor.run(self._number, asked, peer_host(request), Terms())
        return line_answer(fixed_point(signed(result_of(done), 32), -2).decode())


class RunningVm(LineResource):
    """GET /running_vm: which workers have a job."""

    rt = "ubpf.running-vm"

    def __init__(self, transfers: Transfers, executor: Executor) -> None:
        super().__init__(transfers)
        self._executor = executor

    async def render_get(self, request: Message) -> Message:  # noqa: ARG002  # as the others
        """A list of true and false, under the code that the original has: 2.03."""
        text = ", ".join("true" if taken else "false" for taken in self._executor.workers)
        return Message(code=Code.VALID, payload=f"[{text}]".encode(), content_format=TEXT)


class ConsoleWrite(LineResource):
    """POST /console/write: text for whoever reads the device's log."""

    rt = "ubpf.console"
    max_body = MAX_TEXT

    def __init__(self, transfers: Transfers, log: DeviceLog) -> None:
        super().__init__(transfers)
        self._log = log

    async def render_post(self, request: Message) -> Message:
        """Show it."""
        for line in text_of(request.payload).splitlines():
            self._log.add("info", "console", line)
        return line_answer("Success")
