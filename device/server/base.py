"""What the device's resources have in common: maps in CBOR or JSON, text, and errors (api.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiocoap import Code, Message

from device import api
from device.api import CBOR, JSON, Problem, encode_body
from device.errors import MalformedRequest, NotAcceptable
from device.log import escape
from device.resource import BoundedResource, problem_message
from device.server import bodies
from device.server.errors import code_of

TEXT: Final = 0

MAX_LINE: Final = 96
"""Bytes of an error on the resources of µBPF and TinyPART; their clients' buffers are short."""


class MapResource(BoundedResource):
    """A resource whose representations are maps, as CBOR or as JSON."""

    ct = f"{CBOR} {JSON}"

    def render_error(self, error: Exception, request: Message) -> Message:
        """Problem details, with the codes of suit.md section 10 for refused updates."""
        return problem_message(error, request.opt.accept, code_of(error))


class TextResource(BoundedResource):
    """A resource whose representations are short texts, as RIOT's clients expect them."""

    ct: str | int = TEXT

    def render_error(self, error: Exception, request: Message) -> Message:
        """Problem details, with the codes of suit.md section 10 for refused updates."""
        return problem_message(error, request.opt.accept, code_of(error))


class LineResource(BoundedResource):
    """A resource of µBPF's: the answer is a line of text, and an error one of at most `MAX_LINE` bytes."""

    ct = TEXT

    def render_error(self, error: Exception, request: Message) -> Message:  # noqa: ARG002  # as the others
        """The code that everybody gets, with class and detail as text."""
        made = problem_message(error, None, code_of(error))
        if made.code.is_successful():  # 2.31 Continue is raised too
            return made
        problem = Problem.from_payload(made.payload, made.opt.content_format)
        line = made.code.name_printable if problem is None else _line_of(problem)
        made.payload = _cut(" ".join(line.split()), MAX_LINE)
        made.opt.content_format = TEXT
        return made


def _line_of(problem: Problem) -> str:
    """Class and detail; without the class where the detail says as much (helpers.md section 9.2)."""
    said = problem.code == "helper-denied" or problem.detail.startswith(problem.code)
    return problem.detail if said else f"{problem.code}: {problem.detail}"


def line_answer(text: str) -> Message:
    """A line as the answer to a request that changed something."""
    return Message(code=Code.CHANGED, payload=text.encode(), content_format=TEXT)


def _cut(text: str, limit: int) -> bytes:
    """At most `limit` bytes of UTF-8, whole characters, without what would move a terminal's cursor."""
    shown = escape(text, limit).encode()
    return (
        shown if len(shown) <= limit else shown[: limit - 3].decode("utf-8", "ignore").encode() + "…".encode()
    )


def answer_format(request: Message) -> int:
    """The content-format of the answer: what Accept says, else that of the request's own body.

    To be asked before anything is done. Raises NotAcceptable for anything but CBOR and JSON.
    """
    accept = request.opt.accept
    if accept is None:
        return JSON if request.opt.content_format == JSON else CBOR
    if accept not in (CBOR, JSON):
        raise NotAcceptable(
            f"content-format {int(accept)} is not offered", where="Accept", hint="CBOR (60) or JSON (50)"
        )
    return int(accept)


def answer(value: api.Message | Mapping[str, Any], content_format: int, code: Code | None = None) -> Message:
    """A map as an answer."""
    shown = value.to_map() if isinstance(value, api.Message) else value
    return Message(code=code, payload=encode_body(shown, content_format), content_format=content_format)


def text_answer(request: Message, text: str) -> Message:
    """A text as an answer. Raises NotAcceptable when Accept asks for anything else."""
    if request.opt.accept not in (None, TEXT):
        raise NotAcceptable("this is text", where="Accept", hint="text/plain (0)")
    return Message(payload=text.encode(), content_format=TEXT)


def numbers(request: Message, *names: str) -> dict[str, int]:
    """The query, as far as it was given: `name=number` each. Raises MalformedRequest for any other query."""
    found: dict[str, int] = {}
    for term in request.opt.uri_query:
        name, _, value = term.partition("=")
        if name not in names or not (value.isascii() and value.isdigit()) or len(value) > 15:
            known = "&".join(f"{name}=<number>" for name in names)
            raise MalformedRequest(f"query {term!r} is not understood", where="query", hint=known)
        found[name] = int(value)
    return found


def body(request: Message, default: Any = None) -> Any:
    """The map in a request; `default`, if there is one, where the request has no body.

    Raises UnsupportedFormat, MalformedRequest.
    """
    content_format = request.opt.content_format
    if default is not None and not request.payload and content_format in (None, CBOR, JSON):
        return default
    return bodies.decode(request.payload, content_format)
