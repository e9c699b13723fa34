"""The files as CoAP resources: GET, PUT, DELETE, and folders as link-format."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from aiocoap import Code, Message
from aiocoap.resource import PathCapable
from aiocoap.util.linkformat import Link, LinkFormat

from device.errors import Forbidden, NotFound, PreconditionFailed
from device.resource import BoundedResource, Transfers, etag_of, link_format
from device.transport import peer_host
from fileserver.access import WriteAccess
from fileserver.paths import Path, file_path, folder_path, shown, writable_path
from fileserver.private_keys import has_private_key
from fileserver.store import FileStore, Item

OCTETS: Final = 42
_CBOR: Final = 60
_BY_ENDING: Final = {"txt": 0, "json": 50, "cbor": _CBOR, "signed": _CBOR, "suit": _CBOR}

Log = Callable[[str], None]


class Files(BoundedResource, PathCapable):  # type: ignore[misc]  # aiocoap has no annotations
    """Everything below the root of a store, at the same path.

    A transfer in blocks is of one state: its later blocks come from the content that the first one was cut
    from, or, when that is no longer kept, carry the ETag of what is there now. Accept is not looked at for
    files: there is no registered content-format for what lies here (network.md).
    """

    def __init__(self, transfers: Transfers, store: FileStore, access: WriteAccess, log: Log) -> None:
        super().__init__(transfers)
        self._store = store
        self._access = access
        self._log = log

    def get_resources_as_linkheader(self) -> LinkFormat:
        """What `/.well-known/core` says of all this: the listing at the root."""
        return LinkFormat([Link("", ct="40", rt="tag:micro-bpf.example,2026:files")])

    def body_limit(self, request: Message) -> int:
        """A PUT that cannot succeed is refused at its first block, not after the last."""
        if request.code != Code.PUT:
            return 0
        self._check_writer(request)
        path = writable_path(request.opt.uri_path)
        block = request.opt.block1
        if request.opt.if_none_match and (block is None or block.block_number == 0):
            self._check_absent(path)
        return self._store.limits.file_bytes

    async def render_get(self, request: Message) -> Message:
        """A file with its ETag; a folder's listing."""
        segments: Path = request.opt.uri_path
        if not segments or segments[-1] == "" or self._store.is_folder(folder_path(segments)):
            return await self._listing(request, folder_path(segments))
        path = file_path(segments)
        data = self._store.read(path)
        return Message(payload=data, etag=etag_of(data), content_format=content_format_of(path[-1]))

    async def render_put(self, request: Message) -> Message:
        """Create a file, or replace the one that If-Match names."""
        path = writable_path(request.opt.uri_path)
        if has_private_key(request.payload):
            raise Forbidden(
                "this is a private key, and everything here can be read by everybody",
                code="private-key",
                where=shown(path),
                hint="keep it where you sign; devices need the public half only",
            )
        if request.opt.if_none_match:
            self._check_absent(path)
        written = self._store.write(path, request.payload, if_match=request.opt.if_match)
        verb = "created" if written.created else "replaced"
        self._log(f"{peer_host(request)} {verb} {shown(path)}, {len(request.payload)} bytes")
        return Message(code=Code.CREATED if written.created else Code.CHANGED, etag=written.etag)

    async def render_delete(self, request: Message) -> Message:
        """Remove a file."""
        self._check_writer(request)
        path = writable_path(request.opt.uri_path)
        self._store.delete(path, if_match=request.opt.if_match)
        self._log(f"{peer_host(request)} deleted {shown(path)}")
        return Message(code=Code.DELETED)

    async def _listing(self, request: Message, path: Path) -> Message:
        # On a thread: a folder of ten thousand files takes longer than a request may hold up the others.
        items = await asyncio.to_thread(self._store.listing, path)
        return link_format(request, [_link(path, item) for item in items])

    def _check_writer(self, request: Message) -> None:
        host = peer_host(request)
        if not self._access.allows(host):
            raise Forbidden(
                f"{host} may not write here", hint="start the file server with --write-from and its network"
            )

    def _check_absent(self, path: Path) -> None:
        try:
            self._store.read(path)
        except NotFound:
            return
        raise PreconditionFailed("there is a file of this name", where=shown(path))


def content_format_of(name: str) -> int:
    """The content-format of a file, from the end of its name; manifests go as CBOR."""
    return _BY_ENDING.get(name.rpartition(".")[2], OCTETS)


def _link(path: Path, item: Item) -> Link:
    href = "".join("/" + quote(segment, safe="-._~!$&'()*+,;=:@") for segment in (*path, item.name))
    if item.size is None:
        return Link(href + "/", ct="40")
    return Link(href, ct=str(content_format_of(item.name)), sz=str(item.size))
