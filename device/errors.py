"""The one tree of errors.

Every error that crosses a module border is one of these. The server renders it as RFC 9290 problem
details, the client as text and as JSON; nobody else formats errors.

    MicroBpfError
    ├── AssemblyError        assembler text that is no program
    ├── LoadError            bytes that are no loadable image (ids `load-*`)
    ├── VerifyError          an image whose program the verifier refuses; carries every finding
    ├── SuitError            an update that is refused or failed; `code` is its class (suit/refusals.py)
    ├── ProgramFault         a program faulted where its result was the answer
    ├── StorageError         a slot, store or state directory that cannot be read or written
    ├── RequestError         something was asked for that this device cannot do
    │   ├── MalformedRequest     payload, types, unknown fields
    │   ├── Forbidden            this peer, or anybody, may not do that here
    │   ├── NotFound             no such resource, slot, job
    │   ├── MethodNotAllowed     the resource does not offer the method
    │   ├── NotAcceptable        the answer does not exist in the format asked for
    │   ├── UnsupportedFormat    the content-format of the payload is not offered
    │   ├── Conflict             the state forbids it now (slot empty, slot in use)
    │   │   └── PeripheralError      a part of the board that is not there, cannot do that, or failed
    │   ├── PreconditionFailed   If-Match or If-None-Match does not hold
    │   ├── Incomplete           blocks of a body are missing; send it again from the start
    │   ├── TooLarge             a request over a limit
    │   ├── Unprocessable        understood, and refused (a helper outside the list)
    │   └── Unavailable          no place free; come back after `retry_after_s`
    ├── TransportError       a peer that cannot be reached, does not answer or breaks the protocol
    ├── RemoteError          an error that a peer answered with, as it said it
    ├── BuildError           the compiler is missing or refused the source
    └── ConfigError          a setting, key, port or argument with which nothing can start
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class MicroBpfError(Exception):
    """Root of the tree.

    `code` is stable text for machines, `detail` the sentence for people, `where` the place (a field,
    an instruction, a section, a file), `hint` what to try. `extra` travels in the problem details
    beside them, under its own keys.
    """

    title: ClassVar[str] = "Error"
    default_code: ClassVar[str] = "error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        where: str = "",
        hint: str = "",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.where = where
        self.hint = hint
        self.extra: dict[str, Any] = dict(extra or {})

    def __str__(self) -> str:
        return self.detail


class AssemblyError(MicroBpfError):
    """Assembler text that is no program; `where` is the line."""

    title = "Assembly failed"
    default_code = "assembly"


class LoadError(MicroBpfError):
    """Bytes that are no loadable image; `code` is one of the `load-*` ids."""

    title = "Image refused by the loader"
    default_code = "load"


class VerifyError(MicroBpfError):
    """A program that the verifier refuses. `findings` are all of them, as plain maps."""

    title = "Program refused by the verifier"
    default_code = "verify"

    def __init__(
        self,
        detail: str,
        *,
        findings: Sequence[Mapping[str, Any]],
        code: str | None = None,
        where: str = "",
        hint: str = "",
    ) -> None:
        self.findings = [dict(finding) for finding in findings]
        super().__init__(detail, code=code, where=where, hint=hint, extra={"findings": self.findings})


class SuitError(MicroBpfError):
    """An update that is refused or failed; `code` names the class, `where` section and command."""

    title = "Update refused"
    default_code = "MALFORMED"


class ProgramFault(MicroBpfError):
    """A program faulted where its result was the answer; `code` is the fault's name."""

    title = "The program faulted"
    default_code = "fault"


class StorageError(MicroBpfError):
    """A slot, store or state directory that cannot be read or written."""

    title = "Storage failed"
    default_code = "storage"


class RequestError(MicroBpfError):
    """Something was asked for that this device cannot do."""

    title = "Request refused"
    default_code = "request"


class MalformedRequest(RequestError):
    """A payload that is not what the resource takes."""

    title = "Malformed request"
    default_code = "malformed"


class Forbidden(RequestError):
    """Something that this peer, or anybody, may not do here."""

    title = "Forbidden"
    default_code = "forbidden"


class NotFound(RequestError):
    """No such resource, slot or job."""

    title = "Not found"
    default_code = "not-found"


class MethodNotAllowed(RequestError):
    """The resource exists and does not offer this method."""

    title = "Method not allowed"
    default_code = "method-not-allowed"


class NotAcceptable(RequestError):
    """The answer does not exist in the content-format that was asked for."""

    title = "Not acceptable"
    default_code = "not-acceptable"


class UnsupportedFormat(RequestError):
    """The content-format of the payload is not one the resource takes."""

    title = "Unsupported content-format"
    default_code = "unsupported-format"


class Conflict(RequestError):
    """The request is fine, the present state forbids it."""

    title = "Conflict"
    default_code = "conflict"


class PeripheralError(Conflict):
    """A part of the board that is not there, cannot do that, or failed; `errno` is C's number for it."""

    title = "Peripheral refused"
    default_code = "peripheral"

    def __init__(self, detail: str, *, errno: int, code: str | None = None, where: str = "") -> None:
        super().__init__(detail, code=code, where=where)
        self.errno = errno


class PreconditionFailed(RequestError):
    """If-Match or If-None-Match does not hold."""

    title = "Precondition failed"
    default_code = "precondition-failed"


class Incomplete(RequestError):
    """Blocks of a body are missing or out of order; send it again from the start (RFC 7959 section 2.9.2)."""

    title = "Request body incomplete"
    default_code = "incomplete"


class TooLarge(RequestError):
    """A request over a limit; `limit` (bytes) is announced where the protocol can."""

    title = "Too large"
    default_code = "too-large"

    def __init__(self, detail: str, *, limit: int | None = None, where: str = "", hint: str = "") -> None:
        super().__init__(detail, where=where, hint=hint)
        self.limit = limit


class Unprocessable(RequestError):
    """A request that is understood and refused."""

    title = "Unprocessable"
    default_code = "unprocessable"


class Unavailable(RequestError):
    """No place free at the moment."""

    title = "Service unavailable"
    default_code = "busy"

    def __init__(
        self, detail: str, *, retry_after_s: int = 1, code: str | None = None, where: str = "", hint: str = ""
    ) -> None:
        super().__init__(detail, code=code, where=where, hint=hint)
        self.retry_after_s = retry_after_s


class TransportError(MicroBpfError):
    """A peer that cannot be reached, does not answer in time, or breaks the protocol."""

    title = "Transport failed"
    default_code = "unreachable"


class RemoteError(MicroBpfError):
    """An error that a peer answered with; `status` is its CoAP code as text, such as `4.09`."""

    title = "Refused by the peer"
    default_code = "remote"

    def __init__(
        self,
        detail: str,
        *,
        status: str,
        title: str = "",
        code: str | None = None,
        where: str = "",
        hint: str = "",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail, code=code, where=where, hint=hint, extra=extra)
        self.status = status
        self.remote_title = title


class BuildError(MicroBpfError):
    """The compiler is missing, or refused the source; `detail` is the compiler's own text."""

    title = "Build failed"
    default_code = "build"


class ConfigError(MicroBpfError):
    """A setting, key, port or argument with which nothing can start."""

    title = "Configuration refused"
    default_code = "config"
