"""CoAP over UDP: the only place that knows aiocoap's transports (network.md).

    context = await server_context(site, host, port)      serve, and send requests from the same port
    context = await client_context()                      send requests only
    answer  = await request(context, message, timeout_s=5)
    bytes   = await download(context, url, limit=4096)
    answer  = await upload(context, url, payload, if_none_match=True)

Whatever goes wrong between two hosts is a TransportError; what the peer says is wrong becomes a RemoteError
through `expect_success`. Nothing here waits without a deadline, and everything can be cancelled.
"""

from device.transport.address import COAP_PORT, Authority, Url, parse_authority, parse_url, source_address
from device.transport.blocks import allowance_s, download, request, upload
from device.transport.exchange import expect_success, remote_error
from device.transport.logs import coap_logger, report_loop_errors
from device.transport.messages import awaiting_ack, peer_host
from device.transport.sockets import (
    attached_networks,
    free_port,
    has_ipv6_sockets,
    local_addresses,
    raise_descriptor_limit,
)
from device.transport.stack import CoapContext, client_context, server_context
from device.transport.timing import LAN, RFC7252, TIMINGS, Timing, tuning

__all__ = [
    "COAP_PORT",
    "LAN",
    "RFC7252",
    "TIMINGS",
    "Authority",
    "CoapContext",
    "Timing",
    "Url",
    "allowance_s",
    "attached_networks",
    "awaiting_ack",
    "client_context",
    "coap_logger",
    "download",
    "expect_success",
    "free_port",
    "has_ipv6_sockets",
    "local_addresses",
    "parse_authority",
    "parse_url",
    "peer_host",
    "raise_descriptor_limit",
    "remote_error",
    "report_loop_errors",
    "request",
    "server_context",
    "source_address",
    "tuning",
    "upload",
]
