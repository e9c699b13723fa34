"""Errors as CoAP answers: the code of api.md section "Errors", the payload of RFC 9290."""

from __future__ import annotations

import asyncio
import hashlib
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiocoap import Code, Message
from aiocoap.error import RenderableError

from device import errors
from device.api import JSON, PROBLEM_CBOR, Problem, encode_body

STATUS: Final[Mapping[type[errors.MicroBpfError], Code]] = {
    errors.MalformedRequest: Code.BAD_REQUEST,
    errors.Forbidden: Code.FORBIDDEN,
    errors.NotFound: Code.NOT_FOUND,
    errors.MethodNotAllowed: Code.METHOD_NOT_ALLOWED,
    errors.NotAcceptable: Code.NOT_ACCEPTABLE,
    errors.UnsupportedFormat: Code.UNSUPPORTED_CONTENT_FORMAT,
    errors.Conflict: Code.CONFLICT,
    errors.PreconditionFailed: Code.PRECONDITION_FAILED,
    errors.Incomplete: Code.REQUEST_ENTITY_INCOMPLETE,
    errors.TooLarge: Code.REQUEST_ENTITY_TOO_LARGE,
    errors.Unprocessable: Code.UNPROCESSABLE_ENTITY,
    errors.Unavailable: Code.SERVICE_UNAVAILABLE,
    errors.RequestError: Code.BAD_REQUEST,
    errors.AssemblyError: Code.UNPROCESSABLE_ENTITY,
    errors.LoadError: Code.UNPROCESSABLE_ENTITY,
    errors.VerifyError: Code.UNPROCESSABLE_ENTITY,
    errors.TransportError: Code.BAD_GATEWAY,
    errors.RemoteError: Code.BAD_GATEWAY,
    errors.MicroBpfError: Code.INTERNAL_SERVER_ERROR,
}
"""The code of the nearest class. Refusals of updates have their own table (suit.md section 10)."""

# Errors that carry a finer meaning than their class: RFC 7252 sections 5.4.1 and 5.10.2.
_STATUS_BY_CODE: Final = {"bad-option": Code.BAD_OPTION, "proxying": Code.PROXYING_NOT_SUPPORTED}


def status_of(error: errors.MicroBpfError) -> Code:
    """The CoAP code that an error is answered with."""
    if error.code in _STATUS_BY_CODE:
        return _STATUS_BY_CODE[error.code]
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem_of(error: BaseException) -> Problem:
    """What may be said about an error. Of one that is not of our tree, nothing but that it happened."""
    if isinstance(error, errors.MicroBpfError):
        detail, where, hint = (_sayable(text) for text in (error.detail, error.where, error.hint))
        return Problem(error.title, detail, error.code, where, hint, dict(error.extra))
    detail = f"the request could not be completed; the log has more under {reference_of(error)}"
    return Problem("Internal error", detail, "internal")


def _sayable(text: str) -> str:
    """The text without what UTF-8 cannot say: JSON lets a peer name half a surrogate pair."""
    return text.encode("utf-8", "backslashreplace").decode()


def reference_of(error: BaseException) -> str:
    """Names an error that nobody foresaw, in the answer and in the log: the same error has the same name."""
    return hashlib.sha256(f"{error!r} {place_of(error)}".encode("utf-8", "replace")).hexdigest()[:8]


def place_of(error: BaseException) -> str:
    """Where an error was raised, as `file:line`: what the log has instead of a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def problem_message(error: BaseException, accept: int | None = None, code: Code | None = None) -> Message:
    """An error as an answer: problem details in CBOR, or the same flat in JSON under Accept 50.

    `code` overrides the table. An error that aiocoap raises to answer a request keeps its own code.
    """
    if isinstance(error, RenderableError):
        return _foreign(error, accept)
    if code is None:
        known = isinstance(error, errors.MicroBpfError)
        code = status_of(error) if known else Code.INTERNAL_SERVER_ERROR  # type: ignore[arg-type]  # known
    answer = _with_problem(problem_of(error), accept, code)
    if isinstance(error, errors.TooLarge) and error.limit is not None:
        answer.opt.size1 = error.limit
    if isinstance(error, errors.Unavailable):
        answer.opt.max_age = error.retry_after_s
    return answer


def is_expected(error: BaseException) -> bool:
    """Whether an error belongs to normal operation, so that nobody needs to hear of it in the log."""
    return isinstance(error, errors.MicroBpfError | RenderableError | asyncio.CancelledError)


def _foreign(error: RenderableError, accept: int | None) -> Message:
    """An answer of aiocoap's own in our form; one that is no error (2.31 Continue) as it is."""
    answer = error.to_message()
    if answer.code.is_successful():
        return answer
    title = answer.code.name_printable
    detail = answer.payload.decode("utf-8", "replace").removeprefix("Error: ") or title
    problem = Problem(title, detail, title.lower().replace(" ", "-"))
    return _with_problem(problem, accept, answer.code)


def _with_problem(problem: Problem, accept: int | None, code: Code) -> Message:
    if accept == JSON:
        return Message(code=code, payload=encode_body(problem.to_flat(), JSON), content_format=JSON)
    return Message(code=code, payload=problem.to_cbor(), content_format=PROBLEM_CBOR)
