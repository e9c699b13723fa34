"""Images that are not what was signed, and signed ones whose program may not run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from client.attack.workshop import GOOD, Attack, Throw, Workshop
from device.vm.asm import assemble

_OTHER: Final = assemble("mov r0, 8\nexit")
_ENDLESS: Final = assemble("mov r0, 7\nmov r0, 7")
_OUTWARD: Final = assemble("ja +100\nexit")
_FOREIGN_HELPER: Final = assemble("call 0x7777\nexit")
_FRAME: Final = assemble("mov r10, 0\nexit")
_NO_OPCODE: Final = b"\xff" + bytes(7) + GOOD
_NO_OBJECT: Final = b"\x7fELF" + bytes(60)


def _served(workshop: Workshop, signed: bytes, served: bytes | None) -> Throw:
    """A good manifest for `signed`, while the file server has something else, or nothing."""
    files: Mapping[str, bytes] = {} if served is None else {workshop.file("image"): served}
    return Throw("/suit/manifest", workshop.envelope(workshop.manifest(signed)), files)


def _exchanged(name: str, threat: str, expected: str, served: bytes | None, *, brief: bool = False) -> Attack:
    return Attack(name, threat, expected, lambda w: _served(w, GOOD, served), brief)


def _broken(name: str, threat: str, image: bytes) -> Attack:
    return Attack(name, threat, "PROGRAM", lambda w: _served(w, image, image))


EXCHANGED: Final = (
    _exchanged("no image", "an image that is not there", "TRANSPORT", None),
    _exchanged("cut image", "the last instruction cut off", "IMAGE_SIZE", GOOD[:-8]),
    _exchanged("grown image", "an instruction behind the end", "IMAGE_SIZE", GOOD + GOOD[-8:]),
    _exchanged("endless image", "a file without regard to the size", "IMAGE_SIZE", bytes(60_000)),
    _exchanged("exchanged image", "another program of the same size", "IMAGE_DIGEST", _OTHER, brief=True),
    _exchanged("image bit", "one bit of the image flipped", "IMAGE_DIGEST", b"\xb6" + GOOD[1:]),
)

PROGRAMS: Final = (
    _broken("empty program", "an image without a byte", b""),
    _broken("no end", "a program that runs past its end", _ENDLESS),
    _broken("jump outwards", "a jump beyond the program", _OUTWARD),
    _broken("no opcode", "an instruction that there is not", _NO_OPCODE),
    _broken("foreign helper", "a call of what the device does not offer", _FOREIGN_HELPER),
    _broken("frame pointer", "a write to the read-only register", _FRAME),
    _broken("no object", "a header of ELF with nothing behind it", _NO_OBJECT),
)
