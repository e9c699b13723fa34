"""Which paths the file server has: decided on the segments of Uri-Path alone, before any file is touched.

A CoAP path is a list of segments, and a segment may hold any character (RFC 7252 section 5.10.1): a slash or
`..` in one is no path of ours and never becomes one.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from device.errors import Forbidden, MalformedRequest, NotFound

RESERVED: Final = frozenset({".well-known", "resourcedirectory", "endpoint-lookup", "resource-lookup"})
"""First segments below which no file lies: the directory answers there (network.md)."""

MAX_DEPTH: Final = 8
MAX_NAME: Final = 200
"""Bytes of a segment; the longest file name of most systems is 255, and an upload needs a few of its own."""

Path = tuple[str, ...]


def file_path(segments: Path) -> Path:
    """The segments of a file's path, as they were given. Raises MalformedRequest or NotFound."""
    if not segments or segments[-1] == "":
        raise MalformedRequest("this is the path of a folder", where=shown(segments))
    return _checked(segments)


def folder_path(segments: Path) -> Path:
    """The segments of a folder's path; one empty segment at the end, a trailing slash, is left out."""
    return _checked(segments[:-1] if segments and segments[-1] == "" else segments)


def writable_path(segments: Path) -> Path:
    """The segments of a path that a file may be written to. Raises Forbidden below the directory's paths."""
    path = file_path(segments) if not segments or segments[0] not in RESERVED else segments
    if path[0] in RESERVED:
        raise Forbidden(
            f"no file lies below /{path[0]}", where=shown(path), hint="choose another first folder"
        )
    return path


def shown(segments: Path) -> str:
    """A path for a message to a person."""
    return "/" + "/".join(segments)


def _checked(segments: Path) -> Path:
    if segments and segments[0] in RESERVED:
        raise NotFound("no such resource", where=shown(segments))
    if len(segments) > MAX_DEPTH:
        raise MalformedRequest(f"more than {MAX_DEPTH} segments", where=shown(segments))
    for segment in segments:
        fault = _fault(segment)
        if fault:
            raise MalformedRequest(f"{segment!r} is no name here: {fault}", where="Uri-Path")
    return segments


def _fault(segment: str) -> str | None:
    """Why a segment is no name of a file or folder."""
    if not segment:
        return "it is empty"
    if segment.startswith("."):
        return "names do not start with a dot"
    if "/" in segment or "\\" in segment:
        return "it has a slash in it"
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in segment):
        return "it has a control character in it"
    if len(segment.encode()) > MAX_NAME:
        return f"it is longer than {MAX_NAME} bytes"
    return None
