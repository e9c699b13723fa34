"""The two wire formats as tables: which integer means what (suit.md sections 1, 3 and 4).

    riot  draft-ietf-suit-manifest-09, as RIOT's sys/suit and suit-tool have it
    ietf  draft-ietf-suit-manifest-37

One processor reads both. What a table does not name is refused, and nothing falls back from one to the other:
several integers mean different things in the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from device.suit.refusals import Refusal, refuse

# Envelope
AUTHENTICATION: Final = 2
MANIFEST: Final = 3

# Manifest, where both agree
VERSION: Final = 1
SEQUENCE_NUMBER: Final = 2
COMMON: Final = 3

# Common
COMPONENTS: Final = 2
COMMON_SEQUENCE: Final = 4


class Member(Enum):
    """What a member of the manifest is for."""

    VERSION = "version"
    SEQUENCE_NUMBER = "sequence number"
    COMMON = "common"
    REFERENCE = "reference URI"
    FETCH = "payload fetch"
    INSTALL = "install"
    VALIDATE = "validate"
    TEXT = "text"
    LOAD = "load"
    INVOKE = "invoke"


RUN_BY_UPDATES: Final = (Member.FETCH, Member.INSTALL, Member.VALIDATE)
"""The sections that an update runs after common, in their order."""

OPAQUE: Final = frozenset({Member.TEXT, Member.LOAD, Member.INVOKE})
"""Members that an update looks at only as far as that they are byte strings."""


class Command(Enum):
    """What a command does, whatever its integer."""

    VENDOR_MATCH = "condition vendor identifier"
    CLASS_MATCH = "condition class identifier"
    IMAGE_MATCH = "condition image match"
    OFFSET_MATCH = "condition component offset"
    ABORT = "condition abort"
    SET_INDEX = "directive set component index"
    TRY_EACH = "directive try each"
    SET_PARAMETERS = "directive set parameters"
    OVERRIDE_PARAMETERS = "directive override parameters"
    FETCH = "directive fetch"
    WRITE = "directive write"
    COPY = "directive copy"
    RUN_SEQUENCE = "directive run sequence"


IMAGE_OPERATIONS: Final = frozenset({Command.FETCH, Command.WRITE, Command.COPY})
REPORTED: Final = IMAGE_OPERATIONS | {
    Command.VENDOR_MATCH,
    Command.CLASS_MATCH,
    Command.IMAGE_MATCH,
    Command.OFFSET_MATCH,
    Command.ABORT,
}
"""Commands whose argument is a reporting policy."""


# Commands that both profiles have, and the integers of those that one has
VENDOR_MATCH: Final = 1
CLASS_MATCH: Final = 2
IMAGE_MATCH: Final = 3
COMPONENT_OFFSET_MATCH: Final = 5
ABORT: Final = 14
SET_COMPONENT_INDEX: Final = 12
TRY_EACH: Final = 15
WRITE: Final = 18
SET_PARAMETERS: Final = 19
OVERRIDE_PARAMETERS: Final = 20
FETCH: Final = 21
COPY: Final = 22
RIOT_RUN_SEQUENCE: Final = 30
IETF_RUN_SEQUENCE: Final = 32

# Parameters
VENDOR_ID: Final = 1
CLASS_ID: Final = 2
IMAGE_DIGEST: Final = 3
COMPONENT_OFFSET: Final = 5
IMAGE_SIZE: Final = 14
CONTENT: Final = 18
URI: Final = 21
SOURCE_COMPONENT: Final = 22
CAPABILITIES: Final = -512

INTEGRATED: Final = "#"
"""How the URI of a payload in the envelope begins, where the profile has those."""

_BOTH: Final = {
    VENDOR_MATCH: Command.VENDOR_MATCH,
    CLASS_MATCH: Command.CLASS_MATCH,
    IMAGE_MATCH: Command.IMAGE_MATCH,
    SET_COMPONENT_INDEX: Command.SET_INDEX,
    TRY_EACH: Command.TRY_EACH,
    OVERRIDE_PARAMETERS: Command.OVERRIDE_PARAMETERS,
    FETCH: Command.FETCH,
}
_BOTH_PARAMETERS: Final = frozenset({VENDOR_ID, CLASS_ID, IMAGE_DIGEST, IMAGE_SIZE, URI, CAPABILITIES})


class KeyType(Enum):
    """The kinds of keys that sign updates."""

    ED25519 = "Ed25519"
    P256 = "P-256"


@dataclass(frozen=True, slots=True)
class WireProfile:
    """One format. `detached`: the signed digest stands beside the signatures and not inside each.

    `algorithms` are the values of a protected header by the kind of key that they need, the publisher's
    first. `several`: the index may be true or an array, identifiers may be tagged, sequences may end in nil,
    URIs may name payloads in the envelope. `severable` are the members that may lie in the envelope.
    """

    name: str
    tag: int | None
    detached: bool
    digest_id: int
    algorithms: Mapping[int, KeyType]
    members: Mapping[int, Member]
    commands: Mapping[int, Command]
    parameters: frozenset[int]
    severable: frozenset[int] = frozenset()
    several: bool = False

    def key(self, member: Member) -> int:
        """The integer of a member of the manifest."""
        return next(key for key, named in self.members.items() if named is member)

    def algorithm(self, kind: KeyType) -> int:
        """What the publisher writes for a key."""
        return next(number for number, needs in self.algorithms.items() if needs is kind)


RIOT: Final = WireProfile(
    name="riot",
    tag=None,
    detached=False,
    digest_id=2,
    algorithms=MappingProxyType({-8: KeyType.ED25519, -7: KeyType.P256}),
    members=MappingProxyType(
        {
            VERSION: Member.VERSION,
            SEQUENCE_NUMBER: Member.SEQUENCE_NUMBER,
            COMMON: Member.COMMON,
            9: Member.INSTALL,
            10: Member.VALIDATE,
        }
    ),
    commands=MappingProxyType(
        {
            **_BOTH,
            COMPONENT_OFFSET_MATCH: Command.OFFSET_MATCH,
            SET_PARAMETERS: Command.SET_PARAMETERS,
            RIOT_RUN_SEQUENCE: Command.RUN_SEQUENCE,
        }
    ),
    parameters=_BOTH_PARAMETERS | {COMPONENT_OFFSET},
)

IETF: Final = WireProfile(
    name="ietf",
    tag=107,
    detached=True,
    digest_id=-16,
    algorithms=MappingProxyType(
        {-19: KeyType.ED25519, -8: KeyType.ED25519, -9: KeyType.P256, -7: KeyType.P256}
    ),
    members=MappingProxyType(
        {
            VERSION: Member.VERSION,
            SEQUENCE_NUMBER: Member.SEQUENCE_NUMBER,
            COMMON: Member.COMMON,
            4: Member.REFERENCE,
            7: Member.VALIDATE,
            8: Member.LOAD,
            9: Member.INVOKE,
            16: Member.FETCH,
            20: Member.INSTALL,
            23: Member.TEXT,
        }
    ),
    commands=MappingProxyType(
        {
            **_BOTH,
            ABORT: Command.ABORT,
            WRITE: Command.WRITE,
            COPY: Command.COPY,
            IETF_RUN_SEQUENCE: Command.RUN_SEQUENCE,
        }
    ),
    parameters=_BOTH_PARAMETERS | {CONTENT, SOURCE_COMPONENT},
    severable=frozenset({16, 20, 23}),
    several=True,
)

WIRE_PROFILES: Final = MappingProxyType({profile.name: profile for profile in (RIOT, IETF)})

_IETF_START: Final = b"\xd8\x6b"
_MAP: Final = 5


def detect(envelope: bytes) -> WireProfile:
    """The profile that the first bytes are of. Raises SuitError FORMAT, MALFORMED for no bytes at all."""
    if not envelope:
        raise refuse(Refusal.MALFORMED, "the envelope is empty", where="envelope")
    if envelope.startswith(_IETF_START):
        return IETF
    if envelope[0] >> 5 == _MAP:
        return RIOT
    raise refuse(
        Refusal.FORMAT, f"begins with {envelope[:2].hex(' ')}, no SUIT envelope of ours", where="envelope"
    )
