"""Onto the file server: image first, then the manifest, each under a name of its own (suit.md section 7).

Nothing there is ever overwritten except the one alias for the original tools, so no deploy can take away
what another is about to fetch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from client.connection import Connection
from client.exchange import PUT, Call
from client.steps import Note, OnStep, ignore_note, ignore_step, timed
from device.api import CBOR
from device.errors import MicroBpfError, RemoteError

if TYPE_CHECKING:
    from client.manifest import Signed

_OCTETS: Final = 42
_PRECONDITION: Final = "4.12"
_ALIAS_ATTEMPTS: Final = 4


async def put_new(
    connection: Connection, server: str, name: str, payload: bytes, content_format: int = _OCTETS
) -> bool:
    """Create a file; False when it is there already with the same content.

    Raises RemoteError `name-taken` when something else goes by that name.
    """
    url = f"{server}/{name}"
    call = Call(PUT, url, payload, content_format=content_format, if_none_match=True)
    try:
        await connection.send(call, timeout_s=connection.allowance_s(len(payload)))
    except RemoteError as error:
        if error.status != _PRECONDITION:
            raise
        if await connection.fetch(url, len(payload) + 1024) == payload:
            return False
        raise RemoteError(
            f"the file server has another file called {name}",
            status=_PRECONDITION,
            code="name-taken",
            where=url,
            hint="take another sequence number",
        ) from error
    return True


async def put_over(connection: Connection, server: str, name: str, payload: bytes) -> None:
    """Create or replace a file. Raises RemoteError when others keep replacing it at the same time."""
    url = f"{server}/{name}"
    over = Call(PUT, url, payload, content_format=CBOR, if_match=b"")
    new = Call(PUT, url, payload, content_format=CBOR, if_none_match=True)
    for attempt in range(_ALIAS_ATTEMPTS):
        try:
            await connection.send(new if attempt % 2 else over)
        except RemoteError as error:
            if error.status != _PRECONDITION or attempt + 1 == _ALIAS_ATTEMPTS:
                raise
        else:
            return


async def publish(
    connection: Connection, server: str, releases: Sequence[Signed], *, on_step: OnStep = ignore_step
) -> None:
    """Put images and manifests onto the file server, images first. Raises as `put_new` does."""
    images = {name: image for release in releases for name, image in release.files.items()}
    for name, image in images.items():
        with timed(on_step, "publish") as step:
            fresh = await put_new(connection, server, name, image)
            step.detail, step.size = name if fresh else f"{name} (was there)", len(image)
    for release in releases:
        with timed(on_step, "publish") as step:
            fresh = await put_new(connection, server, release.manifest_name, release.envelope, CBOR)
            step.detail = release.manifest_name if fresh else f"{release.manifest_name} (was there)"
            step.size = len(release.envelope)


async def publish_alias(
    connection: Connection, server: str, release: Signed, *, on_note: Note = ignore_note
) -> None:
    """Write the manifest under the name the original tools know; a failure is only a note."""
    try:
        await put_over(connection, server, release.alias, release.envelope)
    except MicroBpfError as error:
        on_note(f"note: {release.alias} was not written: {error.detail}")
