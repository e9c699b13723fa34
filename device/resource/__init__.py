"""What every CoAP server of this project builds on: bounded resources and their site.

    transfers = Transfers(Limits(), log=print)        one per server (per device, when a process has many)
    site = BoundedSite(transfers)
    site.add_resource(["device"], DeviceResource(transfers))       # a BoundedResource
    site.add_resource([".well-known", "core"], WellKnownCore(transfers, site.get_resources_as_linkheader))
    context = await device.transport.server_context(site, host, port)

A resource is written like one of aiocoap's:

    class Exec(BoundedResource):
        max_body = MAX_BODY                             # longer: 4.13 with Size1, nothing kept
        observable = False                              # True: GET with Observe; self.updated_state()

        async def render_post(self, request: Message) -> Message:
            ...                                         # request.payload is the whole body
            return Message(payload=..., content_format=60)    # any length: sliced here

        def render_error(self, error: Exception, request: Message) -> Message:
            ...                                         # only where problem details are not the answer

Raise errors of `device.errors`; the table that gives them CoAP codes is `problems.STATUS`.
"""

from device.resource.base import BoundedResource
from device.resource.echo import SourceCheck
from device.resource.problems import problem_message, problem_of, status_of
from device.resource.site import BoundedSite, Facts, WellKnownCore, facts_of, fits, link_format
from device.resource.transfers import Limits, Transfers, etag_of

__all__ = [
    "BoundedResource",
    "BoundedSite",
    "Facts",
    "Limits",
    "SourceCheck",
    "Transfers",
    "WellKnownCore",
    "etag_of",
    "facts_of",
    "fits",
    "link_format",
    "problem_message",
    "problem_of",
    "status_of",
]
