"""Fetching for an update: a deadline over all of it, and every way in which it can fail as a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from device.errors import MicroBpfError, RemoteError, SuitError, TooLarge, TransportError
from device.suit.refusals import Refusal, refuse

Fetch = Callable[[str, int], Awaitable[bytes]]
"""(URL, limit in bytes) → the bytes. Raises TransportError, RemoteError, TooLarge."""

_RIOT_CLIENT_ERROR: Final = -6
_RIOT_SERVER_ERROR: Final = -102
_RIOT_TIMEOUT: Final = -110


class Fetcher:
    """Fetches the files of one update, all of them within `deadline_s` seconds from now.

    The deadline is kept here, where an update waits for others, and not over its commit: what is in a slot is
    never reported as too late.
    """

    def __init__(self, fetch: Fetch, deadline_s: float) -> None:
        self._fetch = fetch
        self._deadline_s = deadline_s
        self._until = asyncio.get_running_loop().time() + deadline_s

    async def get(self, url: str, limit: int, over: Refusal) -> bytes:
        """A file. Raises SuitError TRANSPORT, and `over` for one of more than `limit` bytes."""
        try:
            async with asyncio.timeout_at(self._until):
                return await self._fetch(url, limit)
        except TimeoutError:
            late = f"the files did not come within {self._deadline_s:g} s"
            raise _transport(late, _RIOT_TIMEOUT, where=url) from None
        except TooLarge as error:
            raise refuse(over, error.detail, where=url) from error
        except RemoteError as error:
            code = _RIOT_CLIENT_ERROR if error.status.startswith("4") else _RIOT_SERVER_ERROR
            raise _transport(f"{error.status} {error.detail}", code, where=url) from error
        except TransportError as error:
            code = _RIOT_TIMEOUT if error.code == "timeout" else Refusal.TRANSPORT.riot_code
            raise _transport(error.detail, code, where=url, hint=error.hint) from error
        except MicroBpfError as error:
            raise _transport(error.detail, Refusal.TRANSPORT.riot_code, where=url) from error


def _transport(detail: str, riot_code: int, *, where: str, hint: str = "") -> SuitError:
    return refuse(Refusal.TRANSPORT, detail, where=where, hint=hint, extra={"riot_code": riot_code})
