"""The symbolic run: what a manifest comes to on this device, without touching anything (suit.md section 6).

Per component it keeps the parameters, whether vendor and class were found to be ours, the one image operation
and whether an image match follows it. A condition that fails ends its sequence; inside a try-each the next
branch runs as if the failed one never had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import cbor2

from device.errors import SuitError
from device.suit import wire
from device.suit.capabilities import Capabilities, Maximum
from device.suit.identity import Identity, uuid_text
from device.suit.refusals import Refusal, refuse
from device.suit.sequences import Sequence, Step
from device.suit.wire import Command

MAX_STEPS: Final = 4096
"""Commands that are run, those run for several components counted for each."""

_FAILED: Final = frozenset(
    {Refusal.VENDOR_MISMATCH.name, Refusal.CLASS_MISMATCH.name, Refusal.CONDITION_FAILED.name}
)
_SETTLED: Final = (wire.IMAGE_DIGEST, wire.IMAGE_SIZE)
"""Parameters that do not change after the image operation; capabilities may not even be repeated."""


@dataclass(frozen=True, slots=True)
class ImageOperation:
    """`size` bytes with SHA-256 `digest` into `slot`: fetched from `uri`, or what the update brought itself.

    `content` are bytes of the manifest or of its envelope, `source` is the slot whose new image is copied;
    both None: they are fetched. `capabilities` are what the update grants the program, `component` is the
    index in the manifest.
    """

    slot: int
    uri: str
    size: int
    digest: bytes
    content: bytes | None = None
    source: int | None = None
    capabilities: Capabilities = field(default_factory=Capabilities)
    component: int = 0

    @property
    def name(self) -> str:
        """What the slot's program is called: the last part of where it comes from."""
        return self.uri.rsplit("/", 1)[-1].removeprefix(wire.INTEGRATED) or "payload"


@dataclass(slots=True)
class Component:
    """What the symbolic run knows of one component. `position` orders the image operations."""

    slot: int
    parameters: dict[int, Any] = field(default_factory=dict)
    vendor_ok: bool = False
    class_ok: bool = False
    operation: ImageOperation | None = None
    position: int = 0
    matched: bool = False

    def copy(self) -> Component:
        """As it is now."""
        return replace(self, parameters=dict(self.parameters))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the run depends on: the device, and what came in the envelope beside the manifest."""

    identity: Identity
    slot_size: int
    maximum: Maximum
    payloads: Mapping[str, bytes]


class Processor:
    """Runs sequences over components, in `components` afterwards."""

    def __init__(self, components: list[Component], around: Surroundings) -> None:
        self.components = components
        self._around = around
        self._steps = 0
        self._operations = 0

    def run(self, sequence: Sequence) -> None:
        """Run a section; index 0 is current at its start. Raises SuitError for whatever forbids it."""
        self._run(sequence, (0,))

    def _run(self, sequence: Sequence, current: tuple[int, ...]) -> None:
        for step in sequence:
            if step.command is Command.SET_INDEX:
                current = step.argument
                continue
            for index in current:
                self._steps += 1
                if self._steps > MAX_STEPS:
                    raise refuse(
                        Refusal.TOO_COMPLEX, f"more than {MAX_STEPS} commands to run", where=step.where
                    )
                self._step(step, index)

    def _step(self, step: Step, index: int) -> None:
        component = self.components[index]
        match step.command:
            case Command.SET_PARAMETERS | Command.OVERRIDE_PARAMETERS:
                override = step.command is Command.OVERRIDE_PARAMETERS
                _set(component, step.argument, step.where, override=override)
            case Command.VENDOR_MATCH:
                ours = self._around.identity.vendor_id
                _require_equal(component, wire.VENDOR_ID, ours, Refusal.VENDOR_MISMATCH, step.where)
                component.vendor_ok = True
            case Command.CLASS_MATCH:
                ours = self._around.identity.class_id
                _require_equal(component, wire.CLASS_ID, ours, Refusal.CLASS_MISMATCH, step.where)
                component.class_ok = True
            case Command.IMAGE_MATCH:
                if component.operation is None:
                    detail = f"{step.where}: image match before the image"
                    raise refuse(Refusal.MALFORMED, detail, where=step.where)
                component.matched = True
            case Command.OFFSET_MATCH:
                detail = f"{step.where}: a RAM slot has no offset"
                raise refuse(Refusal.CONDITION_FAILED, detail, where=step.where)
            case Command.ABORT:
                raise refuse(Refusal.CONDITION_FAILED, f"{step.where}: abort", where=step.where)
            case Command.TRY_EACH:
                self._try_each(step.argument, index)
            case Command.RUN_SEQUENCE:
                self._run(step.argument, (index,))
            case _:
                self._operate(step, component, index)

    def _try_each(self, branches: tuple[Sequence | None, ...], index: int) -> None:
        failed: SuitError | None = None
        for branch in branches:
            if branch is None:
                return
            before = [component.copy() for component in self.components]
            try:
                self._run(branch, (index,))
            except SuitError as error:
                if error.code not in _FAILED:
                    raise
                self.components[:] = before
                failed = error
            else:
                return
        if failed is not None:
            raise failed

    def _operate(self, step: Step, component: Component, index: int) -> None:
        """Note the image operation of a component, if it may have one."""
        where, parameters = step.where, component.parameters
        if not (component.vendor_ok and component.class_ok):
            raise refuse(
                Refusal.POLICY,
                f"{where}: an image without vendor and class condition before it",
                where=where,
            )
        if component.operation is not None:
            raise refuse(Refusal.MALFORMED, f"{where}: a second image for one component", where=where)
        for key in (wire.IMAGE_DIGEST, wire.IMAGE_SIZE, _ORIGIN[step.command]):
            if key not in parameters:
                raise refuse(Refusal.MALFORMED, f"{where}: parameter {key} is not set", where=where)
        size, grant = parameters[wire.IMAGE_SIZE], parameters.get(wire.CAPABILITIES, Capabilities())
        if size > self._around.slot_size:
            raise refuse(
                Refusal.STORAGE_EXCEEDED,
                f"{size} bytes, a slot has {self._around.slot_size}",
                where=where,
            )
        self._around.maximum.require(grant, where)
        uri, content, source = self._origin(step, parameters)
        self._operations += 1
        component.position = self._operations
        component.operation = ImageOperation(
            slot=component.slot,
            uri=uri,
            size=size,
            digest=parameters[wire.IMAGE_DIGEST],
            content=content,
            source=source,
            capabilities=grant,
            component=index,
        )

    def _origin(self, step: Step, parameters: Mapping[int, Any]) -> tuple[str, bytes | None, int | None]:
        """Where the bytes come from: (URI or name, bytes that are there already, slot to copy)."""
        if step.command is Command.WRITE:
            return "content", parameters[wire.CONTENT], None
        if step.command is Command.COPY:
            source = self.components[parameters[wire.SOURCE_COMPONENT]]
            if source.operation is None:
                raise refuse(
                    Refusal.MALFORMED, f"{step.where}: .ram.{source.slot} is not filled yet", where=step.where
                )
            return source.operation.uri, None, source.slot
        uri = parameters[wire.URI]
        if not uri.startswith(wire.INTEGRATED):
            return uri, None, None
        if uri not in self._around.payloads:
            raise refuse(
                Refusal.TRANSPORT,
                f"the envelope has no payload {uri}",
                where=step.where,
                hint="sign it together with its payload",
            )
        return uri, self._around.payloads[uri], None


_ORIGIN: Final = {
    Command.FETCH: wire.URI,
    Command.WRITE: wire.CONTENT,
    Command.COPY: wire.SOURCE_COMPONENT,
}


def _set(component: Component, parameters: Mapping[int, Any], where: str, *, override: bool) -> None:
    installed = component.operation is not None
    for key, value in parameters.items():
        there = key in component.parameters
        if key == wire.CAPABILITIES and (there or installed):
            when = "after the image" if installed else "twice"
            raise refuse(Refusal.MALFORMED, f"{where}: capabilities {when}", where=where)
        if there and not override:
            continue
        if key in _SETTLED and installed and component.parameters.get(key) != value:
            raise refuse(Refusal.MALFORMED, f"{where}: parameter {key} changes after the image", where=where)
        component.parameters[key] = value


def _require_equal(component: Component, key: int, ours: bytes, refusal: Refusal, where: str) -> None:
    if key not in component.parameters:
        raise refuse(Refusal.MALFORMED, f"{where}: parameter {key} is not set", where=where)
    theirs = component.parameters[key]
    if theirs != ours:
        number = isinstance(theirs, cbor2.CBORTag)
        ids = {"device": uuid_text(ours), "manifest": "an enterprise number" if number else uuid_text(theirs)}
        raise refuse(
            refusal,
            f"the device is {ids['device']}, the manifest is for {ids['manifest']}",
            where=where,
            extra=ids,
        )
