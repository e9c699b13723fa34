"""Requests that programs answer themselves: the message as their context, their bytes as the reply.

The program sees the request as it came over the wire, and the reply is what it wrote (helpers.md section 5).
Type, id and token are the exchange's, and so is what belongs to the transport: blocks and observation.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Final

from aiocoap import Code, Message
from aiocoap.numbers import NON
from aiocoap.numbers.optionnumbers import OptionNumber

from device.api import ExecRequest
from device.errors import MicroBpfError, ProgramFault
from device.execution import Executor
from device.execution.requests import Done, Terms
from device.resource import Transfers
from device.server.base import MapResource
from device.transport import peer_host
from device.vm.advice import describe
from device.vm.packet import PacketReply, PacketRequest

TIMEOUT_MS: Final = 1000
"""The longest run that somebody waits for who has not said how long (helpers.md section 7)."""

MAX_PAYLOAD: Final = 1024
"""Bytes of a request's payload; the program's buffer is shorter still."""

SHORT: Final = ExecRequest(timeout_ms=TIMEOUT_MS)

_OF_TRANSPORT: Final = (6, 23, 27)


class ProgramResource(MapResource):
    """A resource whose answers are a program's, to any method and payload."""

    max_body = MAX_PAYLOAD

    @abstractmethod
    async def reply(self, request: Message) -> Message:
        """Have the program answer."""

    async def render_get(self, request: Message) -> Message:
        """The program's answer."""
        return await self.reply(request)

    render_post = render_put = render_delete = render_get
    render_fetch = render_patch = render_ipatch = render_get

    def get_link_description(self) -> dict[str, Any]:
        """Without content-formats: those are the program's."""
        link: dict[str, Any] = super().get_link_description() or {}
        link.pop("ct", None)
        return link


class PacketResource(ProgramResource):
    """`/slots/{n}/packet`: the program of the slot answers."""

    rt = "micro-bpf.packet"

    def __init__(self, transfers: Transfers, number: int, executor: Executor) -> None:
        super().__init__(transfers)
        self._number = number
        self._executor = executor

    async def reply(self, request: Message) -> Message:
        """See ProgramResource."""
        message, _ = await respond(self._executor, self._number, request)
        return message


async def respond(
    executor: Executor, slot: int, request: Message, asked: ExecRequest = SHORT, terms: Terms | None = None
) -> tuple[Message, Done]:
    """Run the program of a slot with the request as its packet.

    The message that it answers with, and the run. Raises what Executor.run does, ProgramFault, and
    MicroBpfError `bad-reply` for bytes that are no reply.
    """
    given = terms or Terms()
    terms = Terms(given.access, packet_of(request), given.layout, given.femto)
    done = await executor.run(slot, asked, peer_host(request), terms)
    return reply_of(done), done


def packet_of(request: Message) -> PacketRequest:
    """A request as its program sees it."""
    return PacketRequest(
        confirmable=request.mtype is not NON,
        message_id=request.mid or 0,
        token=request.token,
        code=int(request.code),
        options=tuple((int(option.number), option.encode()) for option in request.opt.option_list()),
        payload=request.payload,
    )


def result_of(done: Done) -> int:
    """r0 as a signed number. Raises ProgramFault; the fault is in the log as well."""
    outcome = done.result.outcome
    if outcome.fault is not None:
        fault = outcome.fault.to_map()
        said = describe(fault)
        done.order.lines.fault(said)
        raise ProgramFault(said, code=str(fault["code"]), extra={"fault": fault})
    return outcome.r0_signed or 0


def reply_of(done: Done) -> Message:
    """What the program answered. Raises ProgramFault, MicroBpfError `bad-reply`."""
    r0 = result_of(done)
    packet = done.result.packet
    if packet is None:
        raise MicroBpfError("this run had no packet", code="bad-reply")
    try:
        return message_of(packet.reply(r0))
    except MicroBpfError as error:
        done.order.lines.warn(error.detail)
        raise


def message_of(reply: PacketReply) -> Message:
    """A reply as a message. Raises MicroBpfError `bad-reply` for an option whose value cannot be."""
    message = Message(code=Code(reply.code), payload=reply.payload)
    for number, value in reply.options:
        if number in _OF_TRANSPORT:
            continue
        try:
            message.opt.add_option(OptionNumber(number).create_option(decode=value))
        except (ValueError, IndexError) as error:
            raise MicroBpfError(
                f"option {number} of the reply has no such value", code="bad-reply", where="r0"
            ) from error
    return message
