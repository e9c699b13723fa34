"""What an envelope says and what is wrong with it, asked of the device's own code (client.md, `inspect`).

The device that is asked is a generous one: of whatever board the manifest is for unless a board is named,
with nothing installed and room for everything. What even that one refuses, every device refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from client.outline import outline
from client.terms import usual_maximum
from device.errors import ConfigError, SuitError
from device.suit import wire
from device.suit.cose import PublicKey, key_type, verifies
from device.suit.envelope import Envelope, VerifiedManifest, read
from device.suit.identity import VENDOR_ID, Identity, class_id
from device.suit.keys import load_public
from device.suit.plan import DeviceState, ImageOperation, Plan, plan
from device.suit.refusals import Refusal, refuse
from device.suit.sequences import SequenceReader, Step
from device.suit.trust import SUFFIX
from device.suit.values import map_of, wrapped_digest
from device.suit.wire import Command

MAX_SIZE: Final = 65_536
_SLOTS: Final = 256
_BOARD: Final = "native"


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A public key to look for among the signatures, and the name of its file."""

    name: str
    key: PublicKey


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found. `signers` has a name of a key, or None, for every signature; `plan` is None where there
    is none; `problems` are the refusals of a device, the first one first.
    """

    content: bytes
    envelope: Envelope | None
    signers: tuple[str | None, ...]
    plan: Plan | None
    problems: tuple[SuitError, ...]

    @property
    def text(self) -> list[str]:
        """The envelope for people."""
        return outline(self.content)

    def to_map(self) -> dict[str, Any]:
        """What JSON shows."""
        operations = self.plan.operations if self.plan else ()
        return {
            "size": len(self.content),
            "suit": self.envelope.profile.name if self.envelope else None,
            "digest": self.envelope.digest.hex() if self.envelope else None,
            "sequence_number": self.plan.sequence_number if self.plan else None,
            "signers": list(self.signers),
            "images": [_image(operation) for operation in operations],
            "problems": [_problem(error) for error in self.problems],
            "text": self.text,
        }


def inspect(
    content: bytes, keys: Sequence[NamedKey] = (), *, required: bool = False, board: str | None = None
) -> Inspection:
    """Look at an envelope. Where that is `required`, no signature by any of the `keys` is a problem.

    Never raises for what the bytes are.
    """
    try:
        envelope = read(content)
    except SuitError as error:
        return Inspection(content, None, (), None, (error,))
    signers = tuple(_signer(envelope, index, keys) for index in range(len(envelope.blocks)))
    problems = list(_digest_problems(envelope))
    if required and not any(signers):
        names = ", ".join(f"{one.name} ({key_type(one.key).value})" for one in keys)
        problems.append(refuse(Refusal.BAD_SIGNATURE, f"signed by none of {names}", where="authentication"))
    planned: Plan | None = None
    try:
        planned = _planned(envelope, board)
    except SuitError as error:
        problems.append(error)
    return Inspection(content, envelope, signers, planned, tuple(problems))


def keys_of(path: Path) -> list[NamedKey]:
    """The public key in a file, or all of a directory of `*.pem.pub`. Raises ConfigError."""
    paths = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    if not paths:
        raise ConfigError(f"there is no *{SUFFIX} in {path}", code="key", where="--keys")
    return [NamedKey(found.name.removesuffix(SUFFIX), load_public(found)) for found in paths]


def _signer(envelope: Envelope, index: int, keys: Sequence[NamedKey]) -> str | None:
    block = envelope.blocks[index]
    payload = envelope.payload(block)
    return next((one.name for one in keys if verifies(one.key, block, payload, envelope.profile)), None)


def _digest_problems(envelope: Envelope) -> Iterator[SuitError]:
    """The first signature that is over something else than this manifest."""
    for index, block in enumerate(envelope.blocks):
        try:
            digest = wrapped_digest(
                envelope.payload(block), envelope.profile.digest_id, f"signature {index}, payload"
            )
        except SuitError as error:
            yield error
            return
        if digest != envelope.digest:
            yield refuse(
                Refusal.MANIFEST_DIGEST, "the signed digest is not the manifest's", where=f"signature {index}"
            )
            return


def _planned(envelope: Envelope, board: str | None) -> Plan:
    verified = VerifiedManifest(
        manifest=envelope.manifest,
        digest=envelope.digest,
        profile=envelope.profile,
        severed=envelope.severed,
        payloads=envelope.payloads,
    )
    state = DeviceState(
        identity=Identity.of(board) if board else _meant(envelope),
        sequence_number=0,
        slots=_SLOTS,
        slot_size=MAX_SIZE,
        allowed_hosts=None,
        max_components=_SLOTS,
        maximum=usual_maximum(store=2**32 - 1),
    )
    return plan(verified, state)


def _meant(envelope: Envelope) -> Identity:
    """The device that a manifest is for, by the first identifiers that it sets."""
    found: dict[int, bytes] = {}
    with suppress(SuitError):  # the plan says what is wrong, in its own order
        for steps in _sections(envelope):
            for key, value in _identifiers(steps):
                found.setdefault(key, value)
    return Identity(found.get(wire.VENDOR_ID, VENDOR_ID), found.get(wire.CLASS_ID, class_id(_BOARD)))


def _sections(envelope: Envelope) -> Iterator[Sequence[Step]]:
    """The sequences in the order in which they are run, as far as they can be read."""
    manifest = map_of(envelope.manifest, "manifest")
    common = map_of(manifest.get(wire.COMMON), "common")
    components = common.get(wire.COMPONENTS)
    reader = SequenceReader(
        envelope.profile, len(components) if isinstance(components, list) else 0, hosts=None
    )
    if wire.COMMON_SEQUENCE in common:
        yield reader.read(common[wire.COMMON_SEQUENCE], "common", shared=True)
    members = {member: key for key, member in envelope.profile.members.items()}
    for member in wire.RUN_BY_UPDATES:
        key = members.get(member)
        if key is not None and key in manifest:
            yield reader.read(envelope.severed.get(key, manifest[key]), member.value)


def _identifiers(steps: Sequence[Step]) -> Iterator[tuple[int, bytes]]:
    for step in steps:
        match step.command:
            case Command.OVERRIDE_PARAMETERS | Command.SET_PARAMETERS:
                for key in (wire.VENDOR_ID, wire.CLASS_ID):
                    if isinstance(step.argument.get(key), bytes):
                        yield key, step.argument[key]
            case Command.RUN_SEQUENCE:
                yield from _identifiers(step.argument)
            case Command.TRY_EACH:
                for branch in step.argument:
                    yield from _identifiers(branch or ())


def _image(operation: ImageOperation) -> dict[str, Any]:
    grant = operation.capabilities
    return {
        "slot": operation.slot,
        "uri": operation.uri,
        "size": operation.size,
        "digest": operation.digest.hex(),
        "capabilities": grant.to_map() if grant.given else None,
    }


def _problem(error: SuitError) -> dict[str, Any]:
    return {"code": error.code, "where": error.where, "detail": error.detail, "hint": error.hint}
