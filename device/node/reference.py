"""The documentation page docs/api.md, written from a device's own resources and messages.

python -m device.node.reference > docs/api.md
"""

from __future__ import annotations

import asyncio
import inspect
import json
import random
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from aiocoap import Code

from device import api
from device.api import board, hooks, problem, runs, slots, state
from device.execution import ShortRunPool
from device.node.config import LIMIT_HELP, NodeConfig
from device.node.node import Node
from device.resource.base import METHODS, BoundedResource
from device.resource.problems import STATUS
from device.server.hooks import AppResource, HookResource
from device.server.jobs import JobResource
from device.suit.refusals import Refusal

_HEAD: Final = """\
# A device's CoAP API

Written from the code by `python -m device.node.reference > docs/api.md`; a test compares. Where nothing else
is said a payload is a CBOR map with text keys (content-format 60) or the same as JSON (50; bytes as hex), by
Content-Format and Accept. `/.well-known/core` of a device says what it has. `/suit/…` but manifest and
status, `/riot/…` and all from `/running_vm` on to `/bpf/…` speak text, as RIOT's and µBPF's tools do.

"""

_LATER: Final[tuple[tuple[str, type[BoundedResource]], ...]] = (
    ("/jobs/{id}", JobResource),
    ("/hooks/{id}", HookResource),
    ("/app/{path}", AppResource),
)
"""Resources that come and go."""

_TYPES: Final = {
    int: "integer",
    str: "text",
    bytes: "bytes",
    bool: "boolean",
    float: "number",
    NoneType: "null",
    Any: "anything",
}
_ON_THE_WIRE: Final[Mapping[tuple[type[api.Message], str], str]] = {(api.SaulInfo, "kind"): "class"}
_PARTS: Final = (slots, runs, hooks, state, board, problem)
_NUMBER: Final = re.compile(r"/\d+(?=/|$)")


async def resources() -> list[tuple[str, type[BoundedResource], int]]:
    """The paths of a device, the class that answers each, and the bytes of a body that it takes."""
    pool = ShortRunPool()
    config = NodeConfig(name="reference", bind="127.0.0.1", port=0)
    node = Node(config, pool, chance=random.Random(1), lookup=lambda _address: None)  # noqa: S311  # no secret
    await node.start()
    try:
        found: dict[str, tuple[type[BoundedResource], int]] = {}
        for link in node.site.get_resources_as_linkheader().links:
            resource = node.site.child(tuple(link.href.strip("/").split("/")))
            found.setdefault(_NUMBER.sub("/{n}", link.href), (type(resource), resource.max_body))
    finally:
        await node.stop()
        pool.close()
    return [(path, kind, most) for path, (kind, most) in found.items()] + [
        (path, kind, kind.max_body) for path, kind in _LATER
    ]


def messages() -> list[type[api.Message]]:
    """The classes of device/api/, in their order, but one whose map is an ExecRequest's with `slot`."""
    found = [kind for part in _PARTS for kind in vars(part).values() if _is_message(kind, part.__name__)]
    return [kind for kind in found if kind is not api.JobRequest]


def _is_message(kind: Any, module: str) -> bool:
    return inspect.isclass(kind) and issubclass(kind, api.Message) and kind.__module__ == module


def reference(listed: Sequence[tuple[str, type[BoundedResource], int]]) -> str:
    """The page, in Markdown, with these resources."""
    return _HEAD + "\n".join([*_resources(listed), *_messages(), *_errors(), *_limits()])


def _resources(listed: Sequence[tuple[str, type[BoundedResource], int]]) -> Iterator[str]:
    yield "## Resources\n\n*Body* is the most bytes of a request that are read. A **GET** can be observed.\n"
    yield from _table(("path", "method", "body", "what it does"), _rows(listed))


def _rows(listed: Sequence[tuple[str, type[BoundedResource], int]]) -> Iterator[Sequence[str]]:
    for path, kind, most in listed:
        for code, name in METHODS.items():
            method = getattr(kind, name, None)
            if method is None or (issubclass(kind, AppResource) and code != Code.GET):
                continue
            shown = f"**{code}**" if kind.observable and code == Code.GET else str(code)
            any_method = kind is AppResource or path.endswith("/packet")
            if any_method and code != Code.GET:
                continue
            body = str(most) if most and (code not in (Code.GET, Code.DELETE) or any_method) else ""
            yield f"`{path}`", "any" if any_method else shown, body, _summary(method)


def _messages() -> Iterator[str]:
    yield "\n## Messages\n\nThe maps of requests and answers (`device/api/`)."
    yield "A request has to have the fields without default. POST /jobs takes an ExecRequest with a `slot`;"
    yield "without `timeout_ms` a job may take any time.\n"
    for kind in messages():
        yield f"### {kind.__name__}\n\n{inspect.cleandoc(kind.__doc__ or '')}\n"
        hints = get_type_hints(kind)
        listed = fields(kind)  # type: ignore[arg-type]  # every message is a dataclass
        yield from _table(("field", "type", "default"), (_field(kind, item, hints) for item in listed))
        yield ""


def _field(kind: type[api.Message], item: Field[Any], hints: Mapping[str, Any]) -> Sequence[str]:
    default = ""
    if item.default is not MISSING:
        left_out = item.default is None and item.name in kind.OMIT_NONE
        default = "left out" if left_out else f"`{json.dumps(api.jsonable(item.default))}`"
    elif item.default_factory is not MISSING:
        made = item.default_factory()
        default = "`{}`" if made == {} else "zeros"
    return f"`{_ON_THE_WIRE.get((kind, item.name), item.name)}`", _shown(hints[item.name]), default


def _shown(hint: Any) -> str:
    """A type as the payload has it."""
    inner = [_shown(one) for one in get_args(hint) if isinstance(one, type) or get_args(one)]
    origin = get_origin(hint)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in get_args(hint))
    if origin in (Union, UnionType):
        return " or ".join(inner)
    if origin is tuple:
        return f"list of {inner[0] if inner else 'anything'}"
    if origin is dict:
        return "map"
    if isinstance(hint, type) and issubclass(hint, api.Message):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    return _TYPES[hint]


def _errors() -> Iterator[str]:
    yield "## Errors\n\nThe classes of `device/errors.py` as answers; `code` may be finer than the class.\n"
    rows = [
        (status.dotted, f"`{kind.default_code}`", kind.title, _summary(kind))
        for kind, status in STATUS.items()
    ]
    yield from _table(("CoAP", "`code`", "title", "when"), sorted(rows))
    yield "\nA refused update has the name of its class as `code` (`device/suit/refusals.py`):\n"
    yield from _table(("CoAP", "`code`"), [(refusal.coap, f"`{refusal.name}`") for refusal in Refusal])


def _limits() -> Iterator[str]:
    yield "\n## Limits\n\nWhat `device --limit NAME=VALUE` sets.\n"
    yield from (f"    {line}".rstrip() for line in LIMIT_HELP.splitlines()[1:])
    yield ""


def _summary(what: Any) -> str:
    """The first sentence of a docstring."""
    text = " ".join(inspect.cleandoc(what.__doc__ or "").split())
    return text.partition(". ")[0].rstrip(".")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


if __name__ == "__main__":
    sys.stdout.write(reference(asyncio.run(resources())))
