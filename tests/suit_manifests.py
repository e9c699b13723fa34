"""Manifests of both formats, put together command by command: good ones, and every kind of bad one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device.suit import build, cbor, wire
from device.suit.cose import PrivateKey
from device.suit.identity import VENDOR_ID, class_id
from device.suit.wire import Command, Member, WireProfile
from device.vm.asm import assemble

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
BOARD = "native64"
HOST = "fd00::1"
BASE = f"coap://[{HOST}]"
MANIFEST_URL = f"{BASE}/m.signed"

Pairs = Sequence[tuple[Any, Any]]
REPORT = 15

SEVEN = assemble("mov r0, 7\nexit")
EIGHT = assemble("mov r0, 8\nexit")


@dataclass(frozen=True, slots=True)
class Image:
    """An image for a slot, and where it is served."""

    slot: int = 2
    content: bytes = SEVEN
    uri: str = ""

    @property
    def url(self) -> str:
        return self.uri or f"{BASE}/image-{self.slot}.bin"


@dataclass(frozen=True, slots=True)
class Format:
    """One of the formats: commands by what they do, and manifests of them."""

    profile: WireProfile

    def code(self, command: Command | int | Any) -> Any:
        """The integer of a command; integers stay."""
        if not isinstance(command, Command):
            return command
        return next(number for number, found in self.profile.commands.items() if found is command)

    @property
    def setting(self) -> Command:
        """What sets the URI: only what is not yet set, where the format has that."""
        return Command.SET_PARAMETERS if self.profile is wire.RIOT else Command.OVERRIDE_PARAMETERS

    def sequence(self, pairs: Pairs) -> bytes:
        """A sequence, encoded."""
        return cbor.encode([part for command, argument in pairs for part in (self.code(command), argument)])

    def digest(self, content: bytes) -> bytes:
        """A digest parameter."""
        return cbor.encode([self.profile.digest_id, sha256(content).digest()])

    def parameters(self, image: Image, **changes: Any) -> dict[int, Any]:
        """What common sets for an image; None leaves one out. Names: vendor, klass, digest, size."""
        values = {
            "vendor": VENDOR_ID,
            "klass": class_id(BOARD),
            "digest": self.digest(image.content),
            "size": len(image.content),
            **changes,
        }
        numbers = {"vendor": 1, "klass": 2, "digest": 3, "size": 14}
        return {numbers[name]: value for name, value in values.items() if value is not None}

    def shared(self, image: Image, **changes: Any) -> list[tuple[Any, Any]]:
        """The commands of common for an image."""
        return [
            (Command.OVERRIDE_PARAMETERS, self.parameters(image, **changes)),
            (Command.VENDOR_MATCH, REPORT),
            (Command.CLASS_MATCH, REPORT),
        ]

    def install(self, image: Image) -> list[tuple[Any, Any]]:
        """The commands of install for an image."""
        return [
            (self.setting, {wire.URI: image.url}),
            (Command.FETCH, 2),
            (Command.IMAGE_MATCH, REPORT),
        ]

    def common(
        self, images: Sequence[Image] = (Image(),), commands: Pairs | None = None, **extra: Any
    ) -> bytes:
        """The common member. `extra` replaces `components`."""
        groups = [self.shared(image) for image in images]
        sequence = self.sequence(self.grouped(groups) if commands is None else commands)
        components = extra.get("components", [[b"ram", str(image.slot).encode()] for image in images])
        return cbor.encode({wire.COMPONENTS: components, wire.COMMON_SEQUENCE: sequence})

    def grouped(self, groups: Sequence[Pairs]) -> list[tuple[Any, Any]]:
        """Commands of several components one after the other."""
        if len(groups) == 1:
            return list(groups[0])
        return [pair for index, group in enumerate(groups) for pair in ((Command.SET_INDEX, index), *group)]

    def manifest(
        self,
        *images: Image,
        number: int = 7,
        common: bytes | None = None,
        install: Pairs | bytes | None = None,
        validate: Pairs | bytes | None = None,
        members: Mapping[Any, Any] | None = None,
    ) -> bytes:
        """A manifest; `members` replaces members by their integers, None leaves one out."""
        images = images or (Image(),)
        if install is None:
            install = self.grouped([self.install(image) for image in images])
        if validate is None:
            validate = self.grouped([[(Command.IMAGE_MATCH, REPORT)] for _ in images])
        values: dict[Any, Any] = {
            wire.VERSION: 1,
            wire.SEQUENCE_NUMBER: number,
            wire.COMMON: self.common(images) if common is None else common,
            self.profile.key(Member.INSTALL): self._encoded(install),
            self.profile.key(Member.VALIDATE): self._encoded(validate),
            **(members or {}),
        }
        return cbor.encode({key: value for key, value in values.items() if value is not None})

    def _encoded(self, section: Pairs | bytes) -> bytes:
        return section if isinstance(section, bytes) else self.sequence(section)

    def sign(
        self,
        manifest: bytes,
        keys: Iterable[PrivateKey] = (KEY,),
        beside: Mapping[int | str, bytes] | None = None,
    ) -> bytes:
        """The envelope."""
        return build.sign_manifest(manifest, list(keys), self.profile, beside=beside)

    def update(self, *images: Image, number: int = 7, **changes: Any) -> bytes:
        """A signed manifest for images."""
        return self.sign(self.manifest(*images, number=number, **changes))


RIOT, IETF = Format(wire.RIOT), Format(wire.IETF)
FORMATS = pytest.mark.parametrize("form", [RIOT, IETF], ids=["riot", "ietf"])


def member_digest(member: bytes) -> list[Any]:
    """What stands in the manifest for a severed member."""
    return [wire.IETF.digest_id, sha256(cbor2.dumps(member)).digest()]
