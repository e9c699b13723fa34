"""One image of an update: into memory, compared with what was signed, and checked as a program.

Nothing here changes the device (suit.md section 6, execute).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

from device.errors import LoadError, MicroBpfError, SuitError, Unprocessable, VerifyError
from device.suit.capabilities import Capabilities
from device.suit.console import Console
from device.suit.fetching import Fetcher
from device.suit.plan import ImageOperation
from device.suit.refusals import Refusal, refuse

Check = Callable[[int, bytes, Capabilities], Awaitable[object]]
"""(slot, image, what was signed) → the prepared program. Raises LoadError, VerifyError, Unprocessable."""


async def bring(
    operation: ImageOperation, brought: bytes | None, fetcher: Fetcher, console: Console
) -> bytes:
    """The image in memory, of the signed size and digest; fetched unless the update `brought` it.

    Raises SuitError TRANSPORT, IMAGE_SIZE, IMAGE_DIGEST.
    """
    console.begins_image(operation)
    image = await _downloaded(operation, fetcher, console) if brought is None else brought
    console.matches_image()
    if len(image) != operation.size:
        console.bad_image()
        raise refuse(
            Refusal.IMAGE_SIZE,
            f"the image has {len(image)} bytes, {operation.size} were signed",
            where="install",
        )
    digest = sha256(image).digest()
    if digest != operation.digest:
        console.bad_image()
        raise refuse(
            Refusal.IMAGE_DIGEST,
            f"the image has SHA-256 {digest.hex()[:8]}…, {operation.digest.hex()[:8]}… was signed",
            where="install",
        )
    return image


async def _downloaded(operation: ImageOperation, fetcher: Fetcher, console: Console) -> bytes:
    try:
        image = await fetcher.get(operation.uri, operation.size, Refusal.IMAGE_SIZE)
    except SuitError as error:
        console.not_fetched(operation, error)
        raise
    console.fetched()
    return image


async def prepare(operation: ImageOperation, image: bytes, check: Check, console: Console) -> object:
    """The program that the image is, ready to be put in place. Raises SuitError PROGRAM with the findings."""
    try:
        return await check(operation.slot, image, operation.capabilities)
    except (LoadError, VerifyError, Unprocessable) as error:
        console.bad_image()
        findings = error.findings if isinstance(error, VerifyError) else [_finding(error)]
        raise refuse(
            Refusal.PROGRAM,
            f"{error.code}: {error.detail}",
            where=error.where or f".ram.{operation.slot}",
            hint=error.hint,
            extra={"findings": findings},
        ) from error


def _finding(error: MicroBpfError) -> dict[str, Any]:
    return {"id": error.code, "severity": "E", "message": error.detail, "where": error.where}
