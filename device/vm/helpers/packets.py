"""Building the reply to a packet (helpers.md section 5.3)."""

from __future__ import annotations

from typing import Final

from device.vm.faults import FaultCode, GuestFault
from device.vm.helpers.call import Call
from device.vm.helpers.contract import CheckedByHelper, CType, Helper, Parameter
from device.vm.helpers.numbers import EINVAL
from device.vm.packet import Packet


def _packet(call: Call, context: int) -> Packet | None:
    """The packet of this run, None without one. Raises GuestFault for any other address than its own."""
    packet = call.services.packet
    if packet is not None and context != packet.context_address:
        place = f"the packet context is at 0x{packet.context_address:x}"
        fault = GuestFault(
            FaultCode.ILLEGAL_MEM,
            f"read of 24 bytes at 0x{context:x} ({place})",
            address=context,
            size=24,
            access="read",
            region=place,
        )
        raise call.blame(fault, 1)
    return packet


def _resp_init(call: Call, context: int, code: int) -> int:
    packet = _packet(call, context)
    return -EINVAL if packet is None else packet.begin(code)


def _opt_finish(call: Call, context: int, flags: int) -> int:
    packet = _packet(call, context)
    return -EINVAL if packet is None else packet.finish(flags)


def _add_format(call: Call, context: int, content_format: int) -> int:
    packet = _packet(call, context)
    return -EINVAL if packet is None else packet.add_format(content_format)


def _get_pdu(call: Call, context: int) -> int:
    packet = _packet(call, context)
    return 0 if packet is None else packet.payload_address


_CONTEXT: Final = Parameter("ctx", CType.POINTER, CheckedByHelper("the packet context"))

PACKETS: Final = (
    Helper(
        id=0x40,
        prototype="void bpf_gcoap_resp_init(bpf_coap_ctx_t *ctx, unsigned code)",
        summary="begins the reply with this code; 0, -1 when it does not fit, -EINVAL without packet",
        parameters=(_CONTEXT, Parameter("code", CType.U32)),
        result=CType.INT,
        function=_resp_init,
    ),
    Helper(
        id=0x41,
        prototype="ssize_t bpf_coap_opt_finish(bpf_coap_ctx_t *ctx, unsigned flags)",
        summary="ends the options, a payload follows with bit 0; length so far, -ENOSPC or -EINVAL",
        parameters=(_CONTEXT, Parameter("flags", CType.U32)),
        result=CType.INT,
        function=_opt_finish,
    ),
    Helper(
        id=0x42,
        prototype="void bpf_coap_add_format(bpf_coap_ctx_t *ctx, uint32_t format)",
        summary="adds the content-format; bytes added, -ENOSPC or -EINVAL",
        parameters=(_CONTEXT, Parameter("format", CType.U32)),
        result=CType.INT,
        function=_add_format,
    ),
    Helper(
        id=0x43,
        prototype="uint8_t *bpf_coap_get_pdu(bpf_coap_ctx_t *ctx)",
        summary="address of the payload; 0 without packet",
        parameters=(_CONTEXT,),
        result=CType.POINTER,
        function=_get_pdu,
    ),
)
