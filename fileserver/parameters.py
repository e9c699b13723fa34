"""The parameters of the directory's interfaces: what a query may say, checked once and for all (RFC 9176)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from device.errors import ConfigError, MalformedRequest
from device.transport import parse_url

MAX_NAME: Final = 63
MAX_VALUE: Final = 255
MAX_ATTRIBUTES: Final = 16
MAX_LIFETIME_S: Final = 90_000
DEFAULT_LIFETIME_S: Final = 90_000  # RFC 9176 section 5
_LOOKUP_ONLY: Final = frozenset({"page", "count", "href", "anchor", "rt"})

Parameters = dict[str, list[str]]


def parameters_of(query: Iterable[str]) -> Parameters:
    """`name=value` terms as a map of lists. Raises MalformedRequest for a term without value."""
    found: Parameters = {}
    for term in query:
        name, equals, value = term.partition("=")
        if not equals:
            raise MalformedRequest(f"{name!r} has no value", where=name)
        found.setdefault(name, []).append(value)
    return found


def lookup_terms(query: Iterable[str]) -> tuple[list[str], slice]:
    """The filter terms of a look-up, and the part of its result that is asked for (`page` and `count`)."""
    parameters = parameters_of(query)
    page, count = take_number(parameters, "page"), take_number(parameters, "count")
    if page is not None and count is None:
        raise MalformedRequest("page needs count", where="page")
    window = slice(None) if count is None else slice((page or 0) * count, ((page or 0) + 1) * count)
    terms = [f"{name}={value}" for name, values in parameters.items() for value in values]
    if len(terms) > MAX_ATTRIBUTES:
        raise MalformedRequest(f"more than {MAX_ATTRIBUTES} terms")
    return terms, window


def take_single(parameters: Parameters, name: str) -> str | None:
    """Take the only value of a name out, None when it is not there. Raises MalformedRequest for two."""
    values = parameters.pop(name, [])
    if len(values) > 1:
        raise MalformedRequest(f"{name} is given more than once", where=name)
    return values[0] if values else None


def take_number(parameters: Parameters, name: str) -> int | None:
    """Take a decimal number out."""
    text = take_single(parameters, name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise MalformedRequest(f"{name} is no number", where=name)
    return int(text)


def take_lifetime(parameters: Parameters) -> int | None:
    """Take `lt` out, seconds. Longer than MAX_LIFETIME_S would block a name for good, and is refused."""
    seconds = take_number(parameters, "lt")
    if seconds is not None and not 1 <= seconds <= MAX_LIFETIME_S:
        raise MalformedRequest(f"lt must be from 1 to {MAX_LIFETIME_S} seconds", where="lt")
    return seconds


def take_base(parameters: Parameters) -> str | None:
    """Take `base` out: a `coap://` URL without path and query, in its shortest form."""
    text = take_single(parameters, "base")
    if text is None:
        return None
    check_value("base", text)
    try:
        url = parse_url(text)
    except ConfigError as error:
        raise MalformedRequest(f"base: {error.detail}", where="base") from error
    if url.path or url.query:
        raise MalformedRequest("base is a URL without path and query", where="base")
    return url.authority.url


def check_attributes(parameters: Parameters) -> None:
    """Raise MalformedRequest for names or values that have no place in a registration, or too many."""
    if sum(len(values) for values in parameters.values()) > MAX_ATTRIBUTES:
        raise MalformedRequest(f"more than {MAX_ATTRIBUTES} attributes")
    for name, values in parameters.items():
        plain = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
        if name in _LOOKUP_ONLY or not plain or len(name) > MAX_NAME:
            raise MalformedRequest(f"{name!r} is no attribute of an endpoint", where=name[:MAX_NAME])
        for value in values:
            check_value(name, value)


def check_name(where: str, name: str) -> None:
    """Raise MalformedRequest for what is no name of an endpoint or sector."""
    check_value(where, name)
    if len(name.encode()) > MAX_NAME:
        raise MalformedRequest(f"{where} is longer than {MAX_NAME} bytes", where=where)


def check_value(where: str, value: str) -> None:
    """Raise MalformedRequest for a value that a link could not carry, or a terminal not show."""
    if len(value.encode()) > MAX_VALUE or not value.isprintable() or '"' in value or "\\" in value:
        raise MalformedRequest(f"{where} has characters that have no place in it, or too many", where=where)
