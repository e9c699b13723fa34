"""What a device makes of the commands of both formats: every directive, condition and parameter."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import cbor2
import pytest

from device.errors import SuitError
from device.suit import wire
from device.suit.capabilities import Capabilities, Maximum
from device.suit.envelope import verify
from device.suit.identity import Identity, class_id
from device.suit.plan import DeviceState, Plan, plan
from device.suit.wire import Command, Member
from tests.suit_manifests import (
    BASE,
    BOARD,
    EIGHT,
    FORMATS,
    HOST,
    IETF,
    KEY,
    REPORT,
    RIOT,
    SEVEN,
    Format,
    Image,
    member_digest,
)

P = {"ubpf": frozenset({1, 2, 3, 0x10, 0x13}), "sming": frozenset({1, 0x100})}
STATE = DeviceState(
    Identity.of(BOARD),
    6,
    5,
    4096,
    allowed_hosts=(HOST,),
    max_components=3,
    maximum=Maximum(P, "ubpf", budget=1_000_000),
)
ONE, TWO = Image(2, SEVEN), Image(3, EIGHT)
MATCH = (Command.IMAGE_MATCH, REPORT)
VENDOR, CLASS = (Command.VENDOR_MATCH, REPORT), (Command.CLASS_MATCH, REPORT)
OVERRIDE = Command.OVERRIDE_PARAMETERS


def planned(envelope: bytes, state: DeviceState = STATE) -> Plan:
    return plan(verify(envelope, [KEY.public_key()]), state)


def refused(envelope: bytes, state: DeviceState = STATE) -> SuitError:
    with pytest.raises(SuitError) as caught:
        planned(envelope, state)
    return caught.value


def uris(found: Plan) -> list[tuple[int, str]]:
    return [(operation.slot, operation.uri) for operation in found.operations]


@FORMATS
def test_two_components(form: Format) -> None:
    found = planned(form.update(ONE, TWO))
    assert [(o.slot, o.uri, o.size, o.digest) for o in found.operations] == [
        (image.slot, image.url, len(image.content), sha256(image.content).digest()) for image in (ONE, TWO)
    ]


def attempts(form: Format, *branches: Any) -> tuple[Command, list[Any]]:
    """A try-each; None is nil."""
    return Command.TRY_EACH, [branch if branch is None else form.sequence(branch) for branch in branches]


def sets(form: Format, name: str) -> tuple[Command, dict[int, str]]:
    return OVERRIDE, {wire.URI: f"{BASE}/{name}"}


@FORMATS
class TestTryEach:
    def test_the_first_branch_whose_conditions_hold_is_taken(self, form: Format) -> None:
        other = (OVERRIDE, {wire.CLASS_ID: class_id("native")})
        ours = (OVERRIDE, {wire.CLASS_ID: class_id(BOARD)})
        install = [
            attempts(
                form,
                [other, CLASS, sets(form, "wrong"), (Command.FETCH, 2)],
                [ours, CLASS, sets(form, "right"), (Command.FETCH, 2)],
                [ours, CLASS, sets(form, "late"), (Command.FETCH, 2)],
            ),
            MATCH,
        ]
        assert uris(planned(form.update(install=install))) == [(2, f"{BASE}/right")]

    def test_what_a_failed_branch_did_is_undone(self, form: Format) -> None:
        """It fetches, and its class condition holds, before it fails."""
        other = (OVERRIDE, {wire.VENDOR_ID: bytes(16)})
        failing = [CLASS, sets(form, "a"), (Command.FETCH, 2), other, VENDOR]
        install = [
            attempts(form, failing, [sets(form, "b"), (Command.FETCH, 2)]),
            MATCH,
        ]
        assert uris(planned(form.update(install=install))) == [(2, f"{BASE}/b")]
        without = form.common(commands=form.shared(ONE)[:2])
        assert refused(form.update(common=without, install=install)).code == "POLICY"

    def test_it_fails_like_its_last_branch(self, form: Format) -> None:
        vendor = [(OVERRIDE, {wire.VENDOR_ID: bytes(16)}), VENDOR]
        klass = [(OVERRIDE, {wire.CLASS_ID: bytes(16)}), CLASS]
        assert refused(form.update(install=[attempts(form, vendor, klass)])).code == "CLASS_MISMATCH"
        assert refused(form.update(install=[attempts(form, klass, vendor)])).code == "VENDOR_MISMATCH"

    def test_what_is_no_failed_condition_refuses_the_manifest(self, form: Format) -> None:
        install = [attempts(form, [(Command.FETCH, 2)], form.install(ONE)[:2]), MATCH]
        assert refused(form.update(install=install)).code == "MALFORMED"

    @pytest.mark.parametrize(
        ("bad", "code"),
        [
            ((99, 0), "UNSUPPORTED"),
            ((Command.FETCH, 16), "MALFORMED"),
            ((OVERRIDE, {99: 0}), "UNSUPPORTED"),
            ((OVERRIDE, {wire.URI: "coap://[fd00::9]/x"}), "URI_FORBIDDEN"),
            ((Command.SET_INDEX, 1), "MALFORMED"),
            (MATCH, "UNSUPPORTED"),
        ],
        ids=["command", "policy", "parameter", "host", "index", "image match"],
    )
    def test_a_branch_that_is_not_taken_is_read_too(self, form: Format, bad: Any, code: str) -> None:
        install = [attempts(form, form.install(ONE)[:2], [bad]), MATCH]
        assert refused(form.update(install=install)).code == code

    def test_deeper_than_four_is_too_complex(self, form: Format) -> None:
        def nested(depth: int) -> Any:
            inner = form.install(ONE)[:2] if depth == 1 else [nested(depth - 1)]
            return attempts(form, inner, [VENDOR])

        assert uris(planned(form.update(install=[nested(4), MATCH]))) == [(2, ONE.url)]
        assert refused(form.update(install=[nested(5), MATCH])).code == "TOO_COMPLEX"

    @pytest.mark.parametrize("value", [[], None, [None], {}, b"", [1], [b"\x80"], [b"\xff", b""]])
    def test_what_is_none(self, form: Format, value: Any) -> None:
        assert refused(form.update(install=[(Command.TRY_EACH, value)])).code == "MALFORMED"


def test_nil_succeeds_where_the_format_has_it() -> None:
    failing = [(OVERRIDE, {wire.CLASS_ID: bytes(16)}), CLASS]
    install = [attempts(IETF, failing, failing, None), *IETF.install(ONE)]
    assert uris(planned(IETF.update(install=install))) == [(2, ONE.url)]
    misplaced = [attempts(IETF, failing, None, failing), *IETF.install(ONE)]
    assert refused(IETF.update(install=misplaced)).code == "MALFORMED"
    assert refused(IETF.update(install=[attempts(IETF, failing, None)])).code == "MALFORMED"
    assert refused(RIOT.update(install=[attempts(RIOT, failing, None)])).code == "MALFORMED"
    assert refused(IETF.update(install=[attempts(IETF, failing)])).code == "MALFORMED"


@FORMATS
def test_run_sequence_gives_the_index_back(form: Format) -> None:
    inner = form.sequence([(Command.SET_INDEX, 1), *form.install(TWO)])
    install = [(Command.RUN_SEQUENCE, inner), *form.install(ONE)]
    found = planned(form.update(ONE, TWO, install=install))
    assert uris(found) == [(3, TWO.url), (2, ONE.url)]  # in the order in which they are fetched


@FORMATS
def test_a_condition_that_fails_in_a_sequence_that_is_run_ends_the_outer_one(form: Format) -> None:
    failing = form.sequence([(OVERRIDE, {wire.CLASS_ID: bytes(16)}), CLASS])
    run = (Command.RUN_SEQUENCE, failing)
    assert refused(form.update(install=[run, *form.install(ONE)])).code == "CLASS_MISMATCH"
    install = [attempts(form, [run], form.install(ONE)[:2]), MATCH]
    assert uris(planned(form.update(install=install))) == [(2, ONE.url)]


@pytest.mark.parametrize("index", [True, [0, 1], [1, 0]], ids=["all", "both", "the other way round"])
def test_several_indices_at_once(index: Any) -> None:
    groups = IETF.grouped([IETF.shared(ONE)[:1], IETF.shared(TWO)[:1]])
    common = IETF.common([ONE, TWO], [*groups, (Command.SET_INDEX, index), VENDOR, CLASS])
    install = [
        *((Command.SET_INDEX, 0), sets(IETF, "a"), (Command.SET_INDEX, 1), sets(IETF, "b")),
        *((Command.SET_INDEX, index), (Command.FETCH, 2), MATCH),
    ]
    found = planned(IETF.update(common=common, install=install, validate=[(Command.SET_INDEX, True), MATCH]))
    assert sorted(uris(found)) == [(2, f"{BASE}/a"), (3, f"{BASE}/b")]


@pytest.mark.parametrize(
    ("form", "index", "code"),
    [
        (RIOT, True, "UNSUPPORTED"),
        (RIOT, [0], "MALFORMED"),
        (RIOT, False, "MALFORMED"),
        (RIOT, 1, "MALFORMED"),
        (RIOT, -1, "MALFORMED"),
        (RIOT, None, "MALFORMED"),
        (IETF, False, "MALFORMED"),
        (IETF, [], "MALFORMED"),
        (IETF, [0, 0], "MALFORMED"),
        (IETF, [0, 1], "MALFORMED"),
        (IETF, [True], "MALFORMED"),
        (IETF, 1, "MALFORMED"),
        (IETF, "0", "MALFORMED"),
    ],
)
def test_indices_that_are_none(form: Format, index: Any, code: str) -> None:
    assert refused(form.update(install=[(Command.SET_INDEX, index), *form.install(ONE)])).code == code


def test_running_for_many_components_is_bounded() -> None:
    """Four sequences deep, each for all of sixteen components: that would be 16^4 commands."""
    images = [Image(slot, SEVEN) for slot in range(16)]
    inner: list[Any] = [VENDOR]
    for _ in range(4):
        inner = [(Command.SET_INDEX, True), (Command.RUN_SEQUENCE, IETF.sequence(inner))]
    state = DeviceState(Identity.of(BOARD), 6, 16, 4096, allowed_hosts=None, max_components=16)
    assert refused(IETF.update(*images, install=inner), state).code == "TOO_COMPLEX"


class TestOperations:
    def test_write(self) -> None:
        install = [(OVERRIDE, {wire.CONTENT: SEVEN}), (Command.WRITE, 2), MATCH]
        (operation,) = planned(IETF.update(install=install)).operations
        assert (operation.content, operation.source, operation.name) == (SEVEN, None, "content")

    def test_copy(self) -> None:
        same = Image(3, SEVEN)
        install = [
            *IETF.install(ONE),
            *((Command.SET_INDEX, 1), (OVERRIDE, {wire.SOURCE_COMPONENT: 0}), (Command.COPY, 2), MATCH),
        ]
        first, second = planned(IETF.update(ONE, same, install=install)).operations
        assert (first.source, second.source, second.content) == (None, 2, None)
        assert second.name == first.name
        assert refused(IETF.update(ONE, same, install=install[3:] + install[:3])).code == "MALFORMED"

    def test_a_copy_from_nowhere(self) -> None:
        install = [(OVERRIDE, {wire.SOURCE_COMPONENT: 1}), (Command.COPY, 2), MATCH]
        assert refused(IETF.update(install=install)).code == "MALFORMED"

    def test_an_integrated_payload(self) -> None:
        image = Image(2, SEVEN, "#prog")
        envelope = IETF.sign(IETF.manifest(image), beside={"#prog": SEVEN, "#other": b"x"})
        (operation,) = planned(envelope).operations
        assert (operation.content, operation.name) == (SEVEN, "prog")
        error = refused(IETF.sign(IETF.manifest(image), beside={"#progg": SEVEN}))
        assert (error.code, "no payload #prog" in error.detail) == ("TRANSPORT", True)
        assert refused(RIOT.update(image)).code == "URI_FORBIDDEN"

    @FORMATS
    @pytest.mark.parametrize(
        "missing", [wire.IMAGE_DIGEST, wire.IMAGE_SIZE, wire.URI], ids=["digest", "size", "uri"]
    )
    def test_what_a_fetch_needs(self, form: Format, missing: int) -> None:
        names = {wire.IMAGE_DIGEST: "digest", wire.IMAGE_SIZE: "size"}
        changes = {names[missing]: None} if missing in names else {}
        common = form.common(commands=form.shared(ONE, **changes))
        install = form.install(ONE)[0 if changes else 1 :]
        assert refused(form.update(common=common, install=install)).code == "MALFORMED"

    @FORMATS
    def test_one_image_for_each_component(self, form: Format) -> None:
        twice = [*form.install(ONE)[:2], (Command.FETCH, 2), MATCH]
        assert refused(form.update(install=twice)).code == "MALFORMED"

    @FORMATS
    @pytest.mark.parametrize("key", [wire.IMAGE_DIGEST, wire.IMAGE_SIZE])
    def test_what_was_fetched_stays_what_it_is(self, form: Format, key: int) -> None:
        value = {wire.IMAGE_DIGEST: form.digest(b"x"), wire.IMAGE_SIZE: 1}[key]
        same = form.parameters(ONE)[key]
        assert planned(form.update(validate=[(OVERRIDE, {key: same}), MATCH])).operations
        assert refused(form.update(validate=[(OVERRIDE, {key: value}), MATCH])).code == "MALFORMED"


def test_only_what_is_not_yet_set() -> None:
    install = [
        (Command.SET_PARAMETERS, {wire.URI: f"{BASE}/first"}),
        (Command.SET_PARAMETERS, {wire.URI: f"{BASE}/second"}),
        *((Command.FETCH, 2), MATCH),
    ]
    assert uris(planned(RIOT.update(install=install))) == [(2, f"{BASE}/first")]
    install[1] = (OVERRIDE, {wire.URI: f"{BASE}/second"})
    assert uris(planned(RIOT.update(install=install))) == [(2, f"{BASE}/second")]


FOREIGN: list[tuple[str, Format, Any, str]] = [
    *((f"riot command {n}", RIOT, (n, 15), "UNSUPPORTED") for n in (4, 6, 13, 14, 18, 22, 23, 24, 25)),
    *((f"riot command {n}", RIOT, (n, 15), "UNSUPPORTED") for n in (26, 27, 28, 29, 31, 32, -1, 0)),
    *((f"ietf command {n}", IETF, (n, 15), "UNSUPPORTED") for n in (4, 5, 6, 13, 19, 23, 24, 25)),
    *((f"ietf command {n}", IETF, (n, 15), "UNSUPPORTED") for n in (26, 27, 28, 29, 30, 31, -1, 0)),
    *((f"riot parameter {n}", RIOT, (OVERRIDE, {n: 1}), "UNSUPPORTED") for n in (4, 12, 13, 18, 22, 24, -1)),
    *((f"ietf parameter {n}", IETF, (OVERRIDE, {n: 1}), "UNSUPPORTED") for n in (4, 5, 12, 13, 24, -1, -511)),
    ("riot offset condition", RIOT, (Command.OFFSET_MATCH, 15), "CONDITION_FAILED"),
    ("ietf abort", IETF, (Command.ABORT, 15), "CONDITION_FAILED"),
    ("text command", IETF, ("1", 15), "MALFORMED"),
    ("true command", IETF, (True, 15), "MALFORMED"),
    ("policy true", IETF, (Command.VENDOR_MATCH, True), "MALFORMED"),
    ("policy 16", IETF, (Command.FETCH, 16), "MALFORMED"),
    ("no parameters", IETF, (OVERRIDE, {}), "MALFORMED"),
    ("content as text", IETF, (OVERRIDE, {wire.CONTENT: "x"}), "MALFORMED"),
    ("source 1 of one", IETF, (OVERRIDE, {wire.SOURCE_COMPONENT: 1}), "MALFORMED"),
    ("uri as bytes", IETF, (OVERRIDE, {wire.URI: b"x"}), "MALFORMED"),
    ("uri with a space in the name", IETF, (OVERRIDE, {wire.URI: "#a b"}), "URI_FORBIDDEN"),
    ("uri with a long name", IETF, (OVERRIDE, {wire.URI: "#" + "a" * 127}), "URI_FORBIDDEN"),
    ("class as a number", IETF, (OVERRIDE, {wire.CLASS_ID: cbor2.CBORTag(112, b"1")}), "MALFORMED"),
    ("vendor as a number of text", IETF, (OVERRIDE, {wire.VENDOR_ID: cbor2.CBORTag(112, "1")}), "MALFORMED"),
    ("riot vendor as a number", RIOT, (OVERRIDE, {wire.VENDOR_ID: cbor2.CBORTag(112, b"1")}), "MALFORMED"),
    ("size 2^32", RIOT, (OVERRIDE, {wire.IMAGE_SIZE: 2**32}), "MALFORMED"),
]


@pytest.mark.parametrize(("name", "form", "pair", "code"), FOREIGN, ids=[row[0] for row in FOREIGN])
def test_what_a_format_does_not_have_last(name: str, form: Format, pair: Any, code: str) -> None:
    assert refused(form.update(validate=[MATCH, pair])).code == code


@pytest.mark.parametrize(
    ("pair", "reason"), [((99, 15), 5), ((OVERRIDE, {99: 1}), 8)], ids=["command", "parameter"]
)
@FORMATS
def test_reasons_for_a_report(form: Format, pair: Any, reason: int) -> None:
    assert refused(form.update(validate=[MATCH, pair])).extra.get("report_reason", 5) == reason


def test_a_vendor_by_its_number_is_none_of_ours() -> None:
    vendor = (OVERRIDE, {wire.VENDOR_ID: cbor2.CBORTag(112, b"\x12\x34")})
    assert refused(IETF.update(install=[vendor, VENDOR, *IETF.install(ONE)])).code == "VENDOR_MISMATCH"


MEMBERS: list[tuple[str, Format, dict[Any, Any], str]] = [
    ("riot reference", RIOT, {4: "coap://x"}, "UNSUPPORTED"),
    *((f"riot member {n}", RIOT, {n: b""}, "UNSUPPORTED") for n in (5, 7, 8, 11, 12, 13, 14, 16, 20, 23)),
    *((f"ietf member {n}", IETF, {n: b""}, "UNSUPPORTED") for n in (5, 10, 11, 12, 13, 14, 15, 24, -1)),
    ("ietf reference", IETF, {4: "https://anywhere/at all"}, ""),
    ("ietf reference as bytes", IETF, {4: b"x"}, "MALFORMED"),
    ("ietf text, load, invoke", IETF, {23: b"\xff", 8: b"\xff", 9: b"\xff"}, ""),
    ("ietf invoke as a list", IETF, {9: [-16, bytes(32)]}, "MALFORMED"),
    ("ietf load as text", IETF, {8: "x"}, "MALFORMED"),
    ("text key", IETF, {"x": b""}, "MALFORMED"),
    ("common as a digest", IETF, {3: [-16, bytes(32)]}, "MALFORMED"),
    ("riot install severed", RIOT, {9: [2, bytes(32)]}, "UNSUPPORTED"),
    ("version 2", IETF, {1: 2}, "VERSION"),
    ("version true", IETF, {1: True}, "MALFORMED"),
    ("no version", IETF, {1: None}, "MALFORMED"),
    ("number 6", IETF, {2: 6}, "ROLLBACK"),
    ("number 2^32", IETF, {2: 2**32}, "MALFORMED"),
    ("no install", IETF, {20: None, 7: None}, "NOTHING_INSTALLED"),
    ("payload fetch instead", IETF, {16: IETF.sequence(IETF.install(ONE)), 20: None}, ""),
    ("payload fetch and install", IETF, {16: IETF.sequence(IETF.install(ONE))}, "MALFORMED"),
]


@pytest.mark.parametrize(("name", "form", "members", "code"), MEMBERS, ids=[row[0] for row in MEMBERS])
def test_members(name: str, form: Format, members: dict[Any, Any], code: str) -> None:
    envelope = form.update(members=members)
    if code:
        assert refused(envelope).code == code
    else:
        assert uris(planned(envelope)) == [(2, ONE.url)]


GOOD = cbor2.loads(IETF.update()[2:])
BLOCKS = cbor2.loads(GOOD[2])


def tagged(value: Any) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(107, value), canonical=True)


def authenticated(*listed: Any) -> bytes:
    return tagged({2: cbor2.dumps(list(listed), canonical=True), 3: GOOD[3]})


SHAPES: list[tuple[str, bytes, str]] = [
    ("good", authenticated(*BLOCKS), ""),
    ("an array", tagged([]), "MALFORMED"),
    ("another tag inside", tagged(cbor2.CBORTag(107, GOOD)), "MALFORMED"),
    ("authentication as text", tagged({2: "x", 3: GOOD[3]}), "MALFORMED"),
    ("authentication of a map", tagged({2: b"\xa0", 3: GOOD[3]}), "MALFORMED"),
    ("manifest as text", tagged({2: GOOD[2], 3: "x"}), "MALFORMED"),
    ("payload as text", tagged({**GOOD, "#x": "x"}), "MALFORMED"),
    ("delegation", tagged({**GOOD, 1: b""}), "MALFORMED"),
    ("no digest", authenticated(), "UNSIGNED"),
    ("a digest alone", authenticated(BLOCKS[0]), "UNSIGNED"),
    ("a block alone", authenticated(BLOCKS[1]), "MALFORMED"),
    ("a block that is no bytes", authenticated(BLOCKS[0], 1), "MALFORMED"),
    ("a block without its tag", authenticated(BLOCKS[0], BLOCKS[1][1:]), "MALFORMED"),
    ("a block of three", authenticated(BLOCKS[0], b"\xd2\x83\x40\xa0\xf6"), "MALFORMED"),
    ("a block of a map", authenticated(BLOCKS[0], b"\xd2\xa0"), "MALFORMED"),
    ("a block with COSE_Mac0's tag", authenticated(BLOCKS[0], b"\xd1" + BLOCKS[1][1:]), "UNSUPPORTED"),
    ("no components", IETF.update(common=cbor2.dumps({4: b"\x80"})), "MALFORMED"),
    ("components as a map", IETF.update(common=cbor2.dumps({2: {}})), "MALFORMED"),
    ("components empty", IETF.update(common=cbor2.dumps({2: []})), "MALFORMED"),
    ("a component twice", IETF.update(common=cbor2.dumps({2: [[b"ram", b"2"]] * 2})), "MALFORMED"),
    ("dependencies", IETF.update(common=cbor2.dumps({1: {}, 2: [[b"ram", b"2"]]})), "UNSUPPORTED"),
    ("dependency prefixes", IETF.update(common=cbor2.dumps({2: [[b"ram", b"2"]], 3: []})), "UNSUPPORTED"),
    ("common of an array", IETF.update(common=b"\x80"), "MALFORMED"),
    ("no shared sequence", IETF.update(common=cbor2.dumps({2: [[b"ram", b"2"]]})), "POLICY"),
    ("install of a map", IETF.update(members={20: b"\xa0"}), "MALFORMED"),
]


@pytest.mark.parametrize(("name", "envelope", "code"), SHAPES, ids=[row[0] for row in SHAPES])
def test_shapes(name: str, envelope: bytes, code: str) -> None:
    if code:
        assert refused(envelope).code == code
    else:
        assert planned(envelope).operations


class TestSevered:
    INSTALL = IETF.sequence(IETF.install(ONE))
    KEY = wire.IETF.key(Member.INSTALL)

    def envelope(self, came: dict[int | str, bytes], **members: Any) -> bytes:
        there = {self.KEY: member_digest(self.INSTALL)}
        return IETF.sign(IETF.manifest(members={**there, **members}), beside=came)

    def test_it_is_taken_from_the_envelope(self) -> None:
        assert uris(planned(self.envelope({self.KEY: self.INSTALL}))) == [(2, ONE.url)]

    def test_another_one_is_refused(self) -> None:
        changed = self.INSTALL.replace(b"image-2", b"image-3")
        assert changed != self.INSTALL
        assert refused(self.envelope({self.KEY: changed})).code == "SEVERED_DIGEST"

    def test_absent_it_counts_as_missing(self) -> None:
        assert refused(self.envelope({})).code == "MALFORMED"  # the match in validate has no image
        manifest = IETF.manifest(members={self.KEY: member_digest(self.INSTALL), 7: None})
        assert refused(IETF.sign(manifest)).code == "NOTHING_INSTALLED"

    def test_in_both_places(self) -> None:
        assert refused(IETF.sign(IETF.manifest(), beside={self.KEY: self.INSTALL})).code == "MALFORMED"

    def test_of_what_the_manifest_does_not_have(self) -> None:
        assert refused(self.envelope({self.KEY: self.INSTALL, 16: b"\x80"})).code == "MALFORMED"

    @pytest.mark.parametrize(
        "digest", [[-16, bytes(31)], [2, bytes(32)], [-43, bytes(48)], [-16], "x"], ids=str
    )
    def test_digests_that_are_none(self, digest: Any) -> None:
        manifest = IETF.manifest(members={self.KEY: digest})
        assert refused(IETF.sign(manifest, beside={self.KEY: self.INSTALL})).code == "MALFORMED"

    def test_text_is_compared_though_nobody_reads_it(self) -> None:
        manifest = IETF.manifest(members={23: member_digest(b"text")})
        assert planned(IETF.sign(manifest)).operations
        assert planned(IETF.sign(manifest, beside={23: b"text"})).operations
        assert refused(IETF.sign(manifest, beside={23: b"TEXT"})).code == "SEVERED_DIGEST"


def granting(form: Format, value: Any, section: str = "install") -> bytes:
    """An update whose install sets the capabilities parameter."""
    raw = value if isinstance(value, bytes) else cbor2.dumps(value)
    setting = (form.setting, {wire.URI: ONE.url, wire.CAPABILITIES: raw})
    install = [setting, *form.install(ONE)[1:]]
    if section == "common":
        return form.update(common=form.common(commands=[*form.shared(ONE), setting]))
    if section == "twice":
        install = [(OVERRIDE, {wire.CAPABILITIES: raw}), *install]
    if section == "late":
        install = [*form.install(ONE), (OVERRIDE, {wire.CAPABILITIES: raw})]
    return form.update(install=install)


EXAMPLE = bytes.fromhex("a80101028201130319020004 1a000186a0 0510 0603 0764 75627066 08f5".replace(" ", ""))


@FORMATS
def test_the_capabilities_of_the_worked_example(form: Format) -> None:
    (operation,) = planned(granting(form, EXAMPLE)).operations
    assert operation.capabilities == Capabilities((1, 0x13), 512, 100_000, 16, 3, "ubpf", True)
    assert operation.capabilities.encode() == EXAMPLE


GRANTS: list[tuple[str, Any, str]] = [
    ("nothing", {1: 1}, ""),
    ("no helper at all", {1: 1, 2: []}, ""),
    ("the most", {1: 1, 3: 512, 4: 1_000_000, 5: 256, 6: 3}, ""),
    ("another profile has other helpers", {1: 1, 2: [0x100], 7: "sming"}, ""),
    ("a helper of another profile", {1: 1, 2: [0x100]}, "CAPABILITY"),
    ("a helper that the device lacks", {1: 1, 2: [0x99]}, "CAPABILITY"),
    ("budget over the maximum", {1: 1, 4: 1_000_001}, "CAPABILITY"),
    ("stack of 24", {1: 1, 3: 24}, "CAPABILITY"),
    ("stack of 520", {1: 1, 3: 520}, "CAPABILITY"),
    ("stack of 33", {1: 1, 3: 33}, "MALFORMED"),
    ("store over the maximum", {1: 1, 5: 257}, "CAPABILITY"),
    ("layout 4", {1: 1, 6: 4}, "CAPABILITY"),
    ("unknown profile", {1: 1, 7: "other"}, "CAPABILITY"),
    ("version 2", {1: 2}, "UNSUPPORTED"),
    ("unknown key", {1: 1, 9: 1}, "UNSUPPORTED"),
    ("text key", {1: 1, "x": 1}, "UNSUPPORTED"),
    ("no version", {2: [1]}, "MALFORMED"),
    ("helpers descending", {1: 1, 2: [2, 1]}, "MALFORMED"),
    ("helpers twice", {1: 1, 2: [1, 1]}, "MALFORMED"),
    ("helper 65536", {1: 1, 2: [65_536]}, "MALFORMED"),
    ("helpers as a map", {1: 1, 2: {}}, "MALFORMED"),
    ("budget 0", {1: 1, 4: 0}, "MALFORMED"),
    ("budget 2^32", {1: 1, 4: 2**32}, "MALFORMED"),
    ("profile as bytes", {1: 1, 7: b"ubpf"}, "MALFORMED"),
    ("jit 1", {1: 1, 8: 1}, "MALFORMED"),
    ("an array", [1], "MALFORMED"),
    ("no item", b"\xff", "MALFORMED"),
    ("bytes after it", b"\xa1\x01\x01\x00", "MALFORMED"),
]


@FORMATS
@pytest.mark.parametrize(("name", "value", "code"), GRANTS, ids=[row[0] for row in GRANTS])
def test_capabilities(form: Format, name: str, value: Any, code: str) -> None:
    if code:
        assert refused(granting(form, value)).code == code
    else:
        assert planned(granting(form, value)).operations[0].capabilities.to_map() is not None


@FORMATS
@pytest.mark.parametrize(
    ("section", "code"), [("common", "UNSUPPORTED"), ("twice", "MALFORMED"), ("late", "MALFORMED")]
)
def test_where_capabilities_may_not_be(form: Format, section: str, code: str) -> None:
    assert refused(granting(form, EXAMPLE, section)).code == code
