"""What a careless or bribed holder of the key could sign, and a device must not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from client.attack.workshop import INSTALL, REPORT, Attack, Draft, Throw, Workshop
from device.suit import cbor, wire
from device.suit.capabilities import Capabilities

_HUGE: Final = 2**31
_NESTED: Final = 5
_MOST_COMPONENTS: Final = 17
"""More than a device can be told to take."""


def _spoilt(change: Callable[[Draft, Workshop], object]) -> Callable[[Workshop], Throw]:
    """Sign the good manifest after a change to its parts."""

    def make(workshop: Workshop) -> Throw:
        draft = workshop.draft()
        change(draft, workshop)
        return workshop.post_signed(draft)

    return make


def _member(key: Any, value: Any) -> Callable[[Workshop], Throw]:
    return _spoilt(lambda draft, _: draft.members.update({key: value}))


def _identity(key: int, value: Any) -> Callable[[Workshop], Throw]:
    return _spoilt(lambda draft, _: draft.identity.update({key: value}))


def _source(key: int, value: Any) -> Callable[[Workshop], Throw]:
    return _spoilt(lambda draft, _: draft.source.update({key: value}))


def _component(*parts: Any) -> Callable[[Workshop], Throw]:
    return _spoilt(lambda draft, _: draft.common.update({wire.COMPONENTS: [list(parts)]}))


def _appended(section: str, *commands: Any) -> Callable[[Workshop], Throw]:
    return _spoilt(lambda draft, _: getattr(draft, section).extend(commands))


def _capabilities(encoded: bytes) -> Callable[[Workshop], Throw]:
    return _source(wire.CAPABILITIES, encoded)


def _without_conditions(draft: Draft, _: Workshop) -> None:
    del draft.shared[2:]


def _without_matches(draft: Draft, _: Workshop) -> None:
    draft.validate.clear()
    del draft.install[4:]


def _empty(draft: Draft, _: Workshop) -> None:
    draft.install.clear()
    draft.validate.clear()


def _fetch_first(draft: Draft, _: Workshop) -> None:
    draft.shared += [*draft.install[:4]]
    draft.install.clear()


def _sever(draft: Draft, _: Workshop) -> None:
    draft.install.clear()
    draft.members[INSTALL] = [2, bytes(32)]


def _climb(draft: Draft, workshop: Workshop) -> None:
    draft.source[wire.URI] = f"{workshop.base}/../i"


def _lengthen(draft: Draft, workshop: Workshop) -> None:
    draft.source[wire.URI] = f"{workshop.base}/".ljust(128, "i")


def _deep(_: Workshop) -> list[Any]:
    """A choice in a choice in a choice, and so on."""
    commands: list[Any] = [wire.VENDOR_MATCH, REPORT]
    for _level in range(_NESTED):
        commands = [wire.TRY_EACH, [cbor.encode(commands)]]
    return commands


STATE: Final = (
    Attack(
        "replay",
        "a number that is installed already",
        "ROLLBACK",
        _spoilt(lambda draft, w: draft.members.update({2: w.number - 1})),
        brief=True,
    ),
    Attack("number zero", "the number before the first", "ROLLBACK", _member(2, 0)),
    Attack("number overrun", "a number beyond 32 bits", "MALFORMED", _member(2, 2**32)),
    Attack("number as truth", "true for 1", "MALFORMED", _member(2, True)),
    Attack("other version", "a manifest version that is not 1", "VERSION", _member(1, 2)),
    Attack(
        "another board",
        "a program for other hardware",
        "CLASS_MISMATCH",
        _identity(wire.CLASS_ID, bytes(16)),
    ),
    Attack(
        "another vendor", "somebody else's devices", "VENDOR_MISMATCH", _identity(wire.VENDOR_ID, bytes(16))
    ),
    Attack("short identity", "a vendor id of 15 bytes", "MALFORMED", _identity(wire.VENDOR_ID, bytes(15))),
)

COMPONENTS: Final = (
    Attack("joined name", "`ram.0` in one part", "UNKNOWN_COMPONENT", _component(b"ram.0")),
    Attack(
        "leading zero",
        "another spelling of a slot",
        "UNKNOWN_COMPONENT",
        _component(b"ram", b"00"),
        brief=True,
    ),
    Attack("upper case", "another spelling of a slot", "UNKNOWN_COMPONENT", _component(b"RAM", b"0")),
    Attack("hidden end", "a NUL in a slot's name", "UNKNOWN_COMPONENT", _component(b"ram", b"0\0")),
    Attack("extra part", "a path below a slot", "UNKNOWN_COMPONENT", _component(b"ram", b"0", b"0")),
    Attack("no such slot", "a slot beyond the last", "UNKNOWN_COMPONENT", _component(b"ram", b"999")),
    Attack("text for bytes", "a name of text", "MALFORMED", _component("ram", "0")),
    Attack("no components", "an empty list", "MALFORMED", _spoilt(lambda d, _: d.common.update({2: []}))),
    Attack(
        "many components",
        "more than a device takes",
        "TOO_MANY_COMPONENTS",
        _spoilt(
            lambda d, _: d.common.update({2: [[b"ram", str(n).encode()] for n in range(_MOST_COMPONENTS)]})
        ),
    ),
)

COMMANDS: Final = (
    Attack("no conditions", "a fetch for whatever device it is", "POLICY", _spoilt(_without_conditions)),
    Attack(
        "no image match", "an image that nobody looks at", "POLICY", _spoilt(_without_matches), brief=True
    ),
    Attack("early fetch", "a fetch in the common sequence", "POLICY", _spoilt(_fetch_first)),
    Attack(
        "nothing to do",
        "a manifest without install section",
        "NOTHING_INSTALLED",
        _spoilt(_empty),
    ),
    Attack(
        "late surprise", "an unknown command, the last one", "UNSUPPORTED", _appended("validate", 99, REPORT)
    ),
    Attack(
        "hidden surprise",
        "the same in a branch that is not taken",
        "UNSUPPORTED",
        _spoilt(
            lambda d, _: d.shared.extend(
                [wire.TRY_EACH, [cbor.encode([1, REPORT]), cbor.encode([99, REPORT])]]
            )
        ),
    ),
    Attack("foreign command", "RIOT's use-before", "UNSUPPORTED", _appended("shared", 4, REPORT)),
    Attack("foreign member", "a run section", "UNSUPPORTED", _member(12, cbor.encode([1, REPORT]))),
    Attack("odd sequence", "a command without argument", "MALFORMED", _appended("validate", 3)),
    Attack("index overrun", "a component that there is not", "MALFORMED", _appended("install", 12, 7)),
    Attack("index as truth", "true for all components", "UNSUPPORTED", _appended("install", 12, True)),
    Attack("second fetch", "two images for one slot", "MALFORMED", _appended("install", 21, 2)),
    Attack("offset", "an offset into a slot", "CONDITION_FAILED", _appended("shared", 5, REPORT)),
    Attack(
        "deep choice",
        "choices nested deeper than four",
        "TOO_COMPLEX",
        _spoilt(lambda d, w: d.shared.extend(_deep(w))),
    ),
    Attack("severed", "a section in place of which is a digest", "UNSUPPORTED", _spoilt(_sever)),
)

LIMITS: Final = (
    Attack(
        "huge image",
        "an image of 2 GiB",
        "STORAGE_EXCEEDED",
        _identity(wire.IMAGE_SIZE, _HUGE),
    ),
    Attack("negative image", "a size below zero", "MALFORMED", _identity(wire.IMAGE_SIZE, -1)),
    Attack(
        "foreign image",
        "an image from another host",
        "URI_FORBIDDEN",
        _source(wire.URI, "coap://192.0.2.66/i"),
    ),
    Attack("climbing image", "a URI with a dot segment", "URI_FORBIDDEN", _spoilt(_climb)),
    Attack("long URI", "a URI of 128 characters", "URI_FORBIDDEN", _spoilt(_lengthen)),
    Attack(
        "all the stack",
        "a stack beyond what the device grants",
        "CAPABILITY",
        _capabilities(Capabilities(stack=4096).encode()),
    ),
    Attack(
        "strange profile",
        "a machine that there is not",
        "CAPABILITY",
        _capabilities(cbor.encode({1: 1, 7: "x"})),
    ),
    Attack(
        "strange grant",
        "a grant that no version knows",
        "UNSUPPORTED",
        _capabilities(cbor.encode({1: 1, 99: 1})),
    ),
    Attack(
        "unsorted grant",
        "helpers that do not ascend",
        "MALFORMED",
        _capabilities(cbor.encode({1: 1, 2: [2, 1]})),
    ),
    Attack(
        "early grant",
        "capabilities in the common sequence",
        "UNSUPPORTED",
        _identity(wire.CAPABILITIES, Capabilities(stack=64).encode()),
    ),
)
