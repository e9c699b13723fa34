"""Deploying against devices without sockets: numbers, races, refusals, and what counts as success."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.connection import Connection
from client.debuginfo import DebugFiles, file_name
from client.deploy import ATTEMPTS, Deployed, deploy
from client.directory import Target
from client.exchange import Call, Reply
from client.exits import exit_code
from client.image import Packaged, prepare
from client.keys import Signer
from client.manifest import Signed, sign
from client.pipeline import Deployment, deploy_file
from client.release import Order, Publisher
from client.results import Outcome
from client.sequence import next_number, survey
from client.steps import Step
from device.api import DeviceInfo
from device.errors import ConfigError, MicroBpfError, RemoteError, SuitError, TransportError
from device.suit import envelope as envelopes
from device.suit.identity import Identity
from device.suit.plan import DeviceState, plan
from device.suit.refusals import Refusal
from tests.unit.client_fakes import FakeFiles, FakeNetwork, content, path_of, problem

SERVER = "coap://files"
SEVEN = bytes.fromhex("b7000000070000009500000000000000")
EIGHT = bytes.fromhex("b7000000080000009500000000000000")
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


class FakeDevice:
    """A device that verifies and plans for real, and fetches from a FakeFiles at once.

    `before_update` runs before each update, to play somebody else; `busy` triggers are answered 5.03 first.
    With `takes_posts` it has /suit/manifest. The first `lost` requests to `lose` are never answered; with
    `arrives` they are carried out.
    """

    def __init__(self, files: FakeFiles, name: str = "otter", board: str = "native") -> None:
        self.files = files
        self.identity = Identity.of(board)
        self.info = DeviceInfo(
            name=name,
            board=board,
            vendor_id=self.identity.vendor_id,
            class_id=self.identity.class_id,
            slots=5,
            slot_size=4096,
            profiles=("ubpf",),
            engines=("switch",),
            workers=4,
            uptime_ms=1,
            sequence_number=0,
            version="0",
        )
        self.slots: dict[int, dict[str, Any]] = {}
        self.status: dict[str, Any] = {"state": "idle"}
        self.busy = 0
        self.takes_posts = False
        self.lose, self.lost, self.arrives = "", 0, True
        self.before_update: Callable[[FakeDevice], None] = lambda _device: None
        self.after_update: Callable[[FakeDevice], None] = lambda _device: None
        self.triggers: list[str] = []

    def __call__(self, call: Call) -> Reply:
        path = path_of(call)
        if path == self.lose and self.lost:
            self.lost -= 1
            if self.arrives:
                self._answer(call, path)
            raise TransportError("no answer", code="timeout")
        return self._answer(call, path)

    def _answer(self, call: Call, path: str) -> Reply:
        if path == "device":
            return content(self.info.to_map())
        if path == "suit/manifest" and self.takes_posts:
            return self._update(call.payload, None)
        if path == "suit/manifest":
            return problem("4.04", "not-found")
        if path == "suit/status":
            return content(self.status)
        if path.startswith("slots/"):
            number = int(path.rpartition("/")[2])
            return content(self.slots.get(number, {"slot": number, "state": "free"}))
        assert (call.method, path) == ("POST", "suit/trigger")
        return self._trigger(call.payload.decode())

    def _trigger(self, url: str) -> Reply:
        self.triggers.append(url)
        if self.busy:
            self.busy -= 1
            return problem("5.03", "BUSY", max_age=0)
        return self._update(self._fetch(url), url)

    def _update(self, envelope: bytes, url: str | None) -> Reply:
        self.before_update(self)
        self.status = {"state": "idle", "url": url, "result": "OK"}
        try:
            self._install(envelope)
        except SuitError as error:
            self.status |= {"result": error.code, "detail": error.detail, "where": error.where}
        self.after_update(self)
        return Reply("2.01")

    def _install(self, envelope: bytes) -> None:
        verified = envelopes.verify(envelope, [KEY.public_key()])
        info = self.info
        state = DeviceState(self.identity, info.sequence_number, info.slots, info.slot_size, None)
        planned = plan(verified, state)
        operation = planned.operations[0]
        image = self._fetch(operation.uri)
        if sha256(image).digest() != operation.digest:
            raise SuitError("another image", code=Refusal.IMAGE_DIGEST.name)
        self.put(operation.slot, image, planned.sequence_number)

    def _fetch(self, url: str) -> bytes:
        return self.files.files[url.rpartition("/")[2]]

    def put(self, slot: int, image: bytes, number: int) -> None:
        """What a commit leaves."""
        self.info = replace(self.info, sequence_number=number)
        self.slots[slot] = {
            "slot": slot,
            "state": "ready",
            "digest": sha256(image).digest(),
            "sequence_number": number,
        }


class Bed:
    """A file server, devices, and an operator in front of them."""

    def __init__(self, tmp_path: Path, *boards: str) -> None:
        self.files = FakeFiles()
        self.devices = [
            FakeDevice(self.files, f"dev{index}", board) for index, board in enumerate(boards or ("native",))
        ]
        self.targets = [
            Target(device.info.name, f"coap://{device.info.name}", device.info.board, 5, SERVER)
            for device in self.devices
        ]
        self.network = FakeNetwork(
            {"files": self.files, **{device.info.name: device for device in self.devices}}
        )
        self.connection = Connection(self.network)
        self.notes: list[str] = []
        self.steps: list[Step] = []
        self.signer = Signer(tmp_path / "key.pem", KEY)
        self.packaged = program(tmp_path, SEVEN)

    @property
    def device(self) -> FakeDevice:
        return self.devices[0]

    @property
    def publisher(self) -> Publisher:
        return Publisher(self.connection, SERVER, self.signer, self.steps.append, self.notes.append)

    async def deploy(self, **order: Any) -> list[Outcome[Deployed]]:
        deadline_s = order.pop("deadline_s", 5.0)
        placed = Order(self.packaged, **order)
        return await deploy(self.publisher, placed, self.targets, deadline_s=deadline_s)


def program(tmp_path: Path, text: bytes) -> Packaged:
    path = tmp_path / f"p{text[4]}.bin"
    path.write_bytes(text)
    return prepare(path)


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path)


async def test_a_deploy(bed: Bed) -> None:
    (outcome,) = await bed.deploy(slot=2)
    release = outcome.value.release
    tag = sha256(SEVEN).hexdigest()[:8]
    assert bed.device.slots[2]["digest"] == sha256(SEVEN).digest()
    assert (release.sequence_number, release.image_name) == (1, f"program-2-1-{tag}.bin")
    assert release.manifest_url == f"{SERVER}/{release.manifest_name}"
    assert bed.files.puts == [release.image_name, release.manifest_name, "suit_manifest2.signed"]
    assert bed.files.files["suit_manifest2.signed"] == release.envelope
    names = [step.name for step in bed.steps]
    assert names == ["sign", "publish", "publish", "trigger", "install", "confirm"]
    assert outcome.value.attempts == 1


def test_names_are_those_of_the_specification(bed: Bed) -> None:
    made = sign(
        bed.packaged,
        slot=2,
        sequence_number=7,
        board="native64",
        fetch_base="coap://[fd00::1]",
        signer=bed.signer,
    )
    digest = envelopes.verify(made.envelope, [KEY.public_key()]).digest
    assert made.manifest_name == f"suit_manifest2-7-{digest.hex()[:8]}.signed"


async def test_the_number_is_one_more_than_the_highest(tmp_path: Path) -> None:
    bed = Bed(tmp_path, "native", "native")
    bed.devices[0].put(0, EIGHT, 4)
    bed.devices[1].put(0, EIGHT, 9)
    outcomes = await bed.deploy()
    assert [outcome.value.release.sequence_number for outcome in outcomes] == [10, 10]


def test_the_numbers_end(bed: Bed) -> None:
    last = replace(bed.device.info, sequence_number=2**32 - 1)
    with pytest.raises(ConfigError):
        next_number([last])


async def test_one_manifest_per_srv_and_board(tmp_path: Path) -> None:
    bed = Bed(tmp_path, "native", "nucleo-f446re", "native")
    bed.targets[2] = replace(bed.targets[2], srv="coap://elsewhere")
    outcomes = await bed.deploy()
    releases = [outcome.value.release for outcome in outcomes]
    assert [(release.fetch_base, release.board) for release in releases] == [
        (SERVER, "native"),
        (SERVER, "nucleo-f446re"),
        ("coap://elsewhere", "native"),
    ]
    assert len({release.manifest_name for release in releases}) == 3
    assert len({release.image_name for release in releases}) == 1
    assert bed.devices[2].triggers == [releases[2].manifest_url]


async def test_a_fetch_base_stands_in_for_every_srv(bed: Bed) -> None:
    (outcome,) = await bed.deploy(fetch_base="coap://gateway:99")
    assert outcome.value.release.image_url.startswith("coap://gateway:99/program-0-1-")


async def test_a_silent_device_is_its_own_failure_and_stops_no_other(tmp_path: Path) -> None:
    bed = Bed(tmp_path, "native", "native", "native")
    del bed.network.hosts["dev1"]
    told: list[str | None] = []
    outcomes = await deploy(
        bed.publisher, Order(bed.packaged), bed.targets, on_done=lambda outcome: told.append(outcome.device)
    )
    assert [(outcome.device, int(outcome.exit)) for outcome in outcomes] == [
        ("dev0", 0),
        ("dev1", 3),
        ("dev2", 0),
    ]
    assert isinstance(outcomes[1].error, TransportError)
    assert sorted(map(str, told)) == ["dev0", "dev1", "dev2"]
    assert [device.slots[0]["digest"] for device in (bed.devices[0], bed.devices[2])] == [
        sha256(SEVEN).digest()
    ] * 2
    assert bed.devices[1].triggers == []


async def test_a_silent_device_does_not_keep_the_others_from_their_srv(tmp_path: Path) -> None:
    bed = Bed(tmp_path, "native", "native")
    del bed.network.hosts["dev1"]
    bed.targets = [replace(target, srv=None) for target in bed.targets]
    bed.files.links = '</r/1>;ep="dev0";base="coap://dev0";et="micro-bpf";srv="coap://inside"'
    updated, silent = await bed.deploy()
    assert updated.value.release.fetch_base == "coap://inside"
    assert not silent.ok


async def test_where_nobody_answers_nothing_is_published(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    bed.network.hosts = {"files": bed.files}
    source = TestDebugFiles.OBJECT
    outcomes = await deploy_file(bed.publisher, Deployment(source, ["one:5710", "two:5710"]))
    assert [(outcome.device, outcome.ok) for outcome in outcomes] == [
        ("one:5710", False),
        ("two:5710", False),
    ]
    assert bed.files.files == {}


async def test_what_needs_all_devices_names_all_that_are_silent(tmp_path: Path) -> None:
    bed = Bed(tmp_path, "native", "native", "native")
    del bed.network.hosts["dev1"], bed.network.hosts["dev2"]
    with pytest.raises(TransportError, match="2 of 3 devices do not answer: dev1, dev2"):
        await survey(bed.connection, SERVER, bed.targets)


async def test_a_busy_device_is_waited_for(bed: Bed) -> None:
    bed.device.busy = 2
    (outcome,) = await bed.deploy()
    assert outcome.ok
    assert len(bed.device.triggers) == 3
    assert [note for note in bed.notes if "busy" in note] == ["dev0 is busy (no), waiting for it"]


async def test_a_device_that_stays_busy_is_given_up(bed: Bed) -> None:
    bed.device.busy = 100
    (outcome,) = await bed.deploy(deadline_s=0.5)
    assert outcome.error is not None
    assert (outcome.error.code, int(exit_code(outcome.error))) == ("BUSY", 1)


async def test_a_device_that_others_keep_busy_is_given_the_manifest_itself(bed: Bed) -> None:
    bed.device.busy, bed.device.takes_posts = 100, True
    (outcome,) = await bed.deploy()
    assert (outcome.ok, len(bed.device.triggers)) == (True, 2)
    assert bed.device.slots[0]["digest"] == sha256(SEVEN).digest()
    assert "posted the manifest itself" in [step.detail for step in bed.steps]


async def test_an_update_that_gave_way_is_asked_for_again(bed: Bed) -> None:
    def give_way(device: FakeDevice) -> None:
        device.after_update = lambda _device: None
        del device.slots[0]
        device.info = replace(device.info, sequence_number=0)
        device.status |= {"result": "BUSY", "detail": "a signed manifest was posted"}

    bed.device.after_update = give_way
    (outcome,) = await bed.deploy()
    assert (outcome.ok, outcome.value.attempts, len(bed.device.triggers)) == (True, 1, 2)


@pytest.mark.parametrize("arrives", [True, False], ids=["answer", "request"])
@pytest.mark.parametrize("path", ["suit/trigger", "suit/status", "slots/0"])
async def test_what_is_lost_once_ends_nothing(bed: Bed, path: str, arrives: bool) -> None:
    bed.device.lose, bed.device.lost, bed.device.arrives = path, 1, arrives
    (outcome,) = await bed.deploy()
    assert outcome.ok
    assert outcome.value.release.sequence_number == 1


async def test_what_is_always_lost_ends_at_the_deadline(bed: Bed) -> None:
    bed.device.lose, bed.device.lost = "suit/status", 10**9
    (outcome,) = await bed.deploy(deadline_s=0.1)
    assert outcome.error is not None
    assert outcome.error.code == "timeout"


async def test_a_race_that_only_the_winner_tells_of_is_run_again(bed: Bed) -> None:
    """Refused, but by then the device's status is that of the update that won."""

    def somebody_else(device: FakeDevice) -> None:
        device.before_update = lambda _device: None
        device.put(3, EIGHT, 1)
        device.after_update = tell_of_another

    def tell_of_another(device: FakeDevice) -> None:
        device.after_update = lambda _device: None
        device.status = {"state": "idle", "url": "coap://files/other", "result": "OK"}

    bed.device.before_update = somebody_else
    (outcome,) = await bed.deploy()
    assert (outcome.value.release.sequence_number, outcome.value.attempts) == (2, 2)
    assert bed.device.slots[0]["digest"] == sha256(SEVEN).digest()


async def test_a_race_is_run_again_with_a_fresh_number(bed: Bed) -> None:
    def somebody_else(device: FakeDevice) -> None:
        device.before_update = lambda _device: None
        device.put(0, EIGHT, 1)

    bed.device.before_update = somebody_else
    (outcome,) = await bed.deploy()
    assert (outcome.value.release.sequence_number, outcome.value.attempts) == (2, 2)
    assert bed.device.slots[0]["digest"] == sha256(SEVEN).digest()


async def test_a_race_that_is_always_lost_ends(bed: Bed) -> None:
    bed.device.before_update = lambda device: device.put(0, EIGHT, device.info.sequence_number + 1)
    (outcome,) = await bed.deploy()
    assert outcome.error is not None
    assert outcome.error.code == "ROLLBACK"
    assert len(bed.device.triggers) == ATTEMPTS


async def test_a_number_that_was_given_is_not_changed(bed: Bed) -> None:
    bed.device.before_update = lambda device: device.put(0, EIGHT, 7)
    (outcome,) = await bed.deploy(sequence_number=7)
    assert outcome.error is not None
    assert outcome.error.code == "ROLLBACK"
    assert len(bed.device.triggers) == 1


async def test_success_is_what_the_slot_shows(bed: Bed) -> None:
    bed.device.after_update = lambda device: device.put(0, EIGHT, 2)
    (outcome,) = await bed.deploy()
    assert outcome.error is not None
    assert outcome.error.code == "overtaken"


async def test_another_slots_update_in_between_is_no_harm(bed: Bed) -> None:
    def other_slot(device: FakeDevice) -> None:
        device.put(3, EIGHT, 2)
        device.status = {"state": "idle", "url": "coap://files/other", "result": "OK"}

    bed.device.after_update = other_slot
    (outcome,) = await bed.deploy()
    assert outcome.value.release.sequence_number == 1


async def test_the_same_program_and_number_of_another_does_not_count(bed: Bed) -> None:
    bed.device.after_update = lambda device: device.put(0, SEVEN, 2)
    (outcome,) = await bed.deploy()
    assert not outcome.ok


async def test_an_update_that_does_not_end_is_given_up(bed: Bed) -> None:
    def hang(device: FakeDevice) -> None:
        device.status = {"state": "image", "url": device.triggers[-1]}

    bed.device.after_update = hang
    (outcome,) = await bed.deploy(deadline_s=0.2)
    assert isinstance(outcome.error, TransportError)
    assert "image" in outcome.error.detail


async def test_a_foreign_key_is_refused_by_the_device_as_a_matter_of_security(bed: Bed) -> None:
    bed.signer = Signer(Path("foreign.pem"), OTHER_KEY)
    (outcome,) = await bed.deploy()
    assert outcome.error is not None
    assert (outcome.error.code, int(exit_code(outcome.error))) == ("BAD_SIGNATURE", 4)
    assert bed.device.slots == {}


async def test_what_a_foreign_key_left_behind_is_stepped_over(bed: Bed) -> None:
    bed.signer = Signer(Path("foreign.pem"), OTHER_KEY)
    await bed.deploy()
    bed.signer = Signer(Path("key.pem"), KEY)
    (outcome,) = await bed.deploy()
    assert outcome.value.release.sequence_number == 2
    assert outcome.value.attempts == 1


async def test_a_name_that_is_taken_stops_a_number_that_was_given(bed: Bed) -> None:
    bed.signer = Signer(Path("foreign.pem"), OTHER_KEY)
    await bed.deploy(sequence_number=5)
    bed.signer = Signer(Path("key.pem"), KEY)
    with pytest.raises(RemoteError) as taken:
        await bed.deploy(sequence_number=5)
    assert taken.value.code == "name-taken"


async def test_the_same_deploy_twice_finds_its_files(bed: Bed) -> None:
    await bed.deploy(sequence_number=5)
    bed.device.info = replace(bed.device.info, sequence_number=0)
    (outcome,) = await bed.deploy(sequence_number=5)
    assert outcome.ok
    assert [step.detail.endswith("(was there)") for step in bed.steps if step.name == "publish"] == [
        False,
        False,
        True,
        True,
    ]


REHEARSED = [
    ("old number", {"sequence_number": 3}, "ROLLBACK"),
    ("no such slot", {"slot": 7}, "UNKNOWN_COMPONENT"),
    ("a URI that is none", {"fetch_base": "coap://a b"}, "URI_FORBIDDEN"),
]


@pytest.mark.parametrize(("order", "code"), [row[1:] for row in REHEARSED], ids=[row[0] for row in REHEARSED])
async def test_what_the_device_would_refuse_is_not_published(
    bed: Bed, order: dict[str, Any], code: str
) -> None:
    bed.device.put(0, EIGHT, 3)
    with pytest.raises(SuitError) as refused:
        await bed.deploy(**order)
    assert refused.value.code == code
    assert bed.files.files == {}


async def test_an_image_larger_than_a_slot_is_not_published(bed: Bed) -> None:
    bed.device.info = replace(bed.device.info, slot_size=8)
    with pytest.raises(SuitError) as refused:
        await bed.deploy()
    assert refused.value.code == "STORAGE_EXCEEDED"


async def test_a_file_server_that_refuses_ends_it(bed: Bed) -> None:
    bed.network.hosts["files"] = lambda _call: problem("4.13", "too-large", "64 KiB at most")
    with pytest.raises(RemoteError, match="64 KiB"):
        await bed.deploy()
    assert bed.device.triggers == []


async def test_an_alias_that_cannot_be_written_is_a_note(bed: Bed) -> None:
    def server(call: Call) -> Reply:
        return problem("4.03", "forbidden") if "suit_manifest0.signed" in call.url else bed.files(call)

    bed.network.hosts["files"] = server
    (outcome,) = await bed.deploy()
    assert outcome.ok
    assert [note for note in bed.notes if "suit_manifest0.signed" in note]


async def test_updates_of_one_device_come_one_after_the_other(bed: Bed) -> None:
    outcomes = await asyncio.gather(*(bed.deploy(slot=slot) for slot in range(3)))
    numbers = [outcome.value.release.sequence_number for (outcome,) in outcomes]
    assert sorted(numbers) == [1, 2, 3]
    assert len(bed.device.triggers) == 3


async def test_deploys_of_two_operators_never_claim_what_is_not_theirs(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    other = Bed(tmp_path)
    other.network, other.connection, other.targets = bed.network, Connection(bed.network), bed.targets
    other.packaged = program(tmp_path, EIGHT)
    for (mine,), (theirs,) in [await asyncio.gather(bed.deploy(), other.deploy()) for _ in range(5)]:
        shown = [outcome.value.release for outcome in (mine, theirs) if outcome.ok]
        assert all(isinstance(release, Signed) for release in shown)
        assert len({release.sequence_number for release in shown}) == len(shown)
    last = bed.device.slots[0]
    assert last["sequence_number"] == bed.device.info.sequence_number


async def test_the_outcome_of_each_device_is_its_own(tmp_path: Path) -> None:
    bed = Bed(tmp_path, "native", "native")
    told: list[str | None] = []
    bed.devices[1].after_update = lambda device: device.put(0, EIGHT, 50)
    outcomes = await deploy(
        bed.publisher, Order(bed.packaged), bed.targets, on_done=lambda outcome: told.append(outcome.device)
    )
    assert [outcome.ok for outcome in outcomes] == [True, False]
    assert sorted(map(str, told)) == ["dev0", "dev1"]


async def test_a_file_on_a_device_named_by_address_uses_the_srv_of_its_name(bed: Bed, tmp_path: Path) -> None:
    bed.files.links = '</r/1>;ep="dev0";base="coap://10.0.0.1:5683";et="micro-bpf";srv="coap://inside"'
    bed.network.hosts["outside:5710"] = bed.device
    path = tmp_path / "prog.bin"
    path.write_bytes(SEVEN)
    (outcome,) = await deploy_file(bed.publisher, Deployment(path, ["outside:5710"]))
    assert outcome.device == "outside:5710"
    assert outcome.value.release.fetch_base == "coap://inside"
    assert [step.name for step in outcome.value.steps][:2] == ["read", "package"]


async def test_a_device_that_nobody_knows_fetches_from_where_the_operator_publishes(
    bed: Bed, tmp_path: Path
) -> None:
    path = tmp_path / "prog.bin"
    path.write_bytes(SEVEN)
    (outcome,) = await deploy_file(bed.publisher, Deployment(path, ["dev0:5683"]))
    assert outcome.error is None
    assert [note for note in bed.notes if "--fetch-base" in note]


async def test_a_broken_program_reaches_nobody(bed: Bed, tmp_path: Path) -> None:
    path = tmp_path / "broken.bin"
    path.write_bytes(bytes.fromhex("b70a0000000000009500000000000000"))
    bed.files.links = '</r/1>;ep="dev0";base="coap://dev0";et="micro-bpf";srv="coap://files"'
    with pytest.raises(MicroBpfError) as refused:
        await deploy_file(bed.publisher, Deployment(path))
    assert refused.value.extra["findings"][0]["id"] == "reg-r10"
    assert bed.files.files == {}


class TestDebugFiles:
    OBJECT = Path(__file__).parents[2] / "examples" / "objects" / "wild_pointer.o"

    @pytest.fixture
    def packaged(self) -> Packaged:
        return prepare(self.OBJECT)

    async def test_the_cache_comes_first(self, bed: Bed, tmp_path: Path, packaged: Packaged) -> None:
        files = DebugFiles(tmp_path / "debug", bed.connection, SERVER)
        await files.keep(packaged.image, packaged.object)
        name = file_name(packaged.digest)
        assert bed.files.files[name] == packaged.object
        bed.network.hosts.clear()
        assert await files.find(packaged.digest, "elf") == packaged.object

    async def test_the_file_server_comes_second_and_fills_the_cache(
        self, bed: Bed, tmp_path: Path, packaged: Packaged
    ) -> None:
        await DebugFiles(None, bed.connection, SERVER).keep(packaged.image, packaged.object)
        files = DebugFiles(tmp_path / "debug", bed.connection, SERVER)
        fault = await files.source_of({"code": "ILLEGAL_MEM", "insn": 6}, packaged.digest, "elf")
        assert fault["source"] == "wild_pointer.c:16"
        assert fault["function"] == "wild_pointer"
        assert (tmp_path / "debug" / file_name(packaged.digest)).exists()

    @pytest.mark.parametrize("planted", [b"", b"\x7fELF nonsense", "other object"])
    async def test_what_packages_to_something_else_is_not_believed(
        self, bed: Bed, tmp_path: Path, packaged: Packaged, planted: bytes | str
    ) -> None:
        content = self.OBJECT.with_name("hello.o").read_bytes() if isinstance(planted, str) else planted
        bed.files.files[file_name(packaged.digest)] = content
        files = DebugFiles(tmp_path / "debug", bed.connection, SERVER)
        fault = {"code": "ILLEGAL_MEM", "insn": 6}
        assert await files.source_of(fault, packaged.digest, "elf") == fault

    async def test_a_cache_that_cannot_be_written_is_no_error(self, packaged: Packaged) -> None:
        await DebugFiles(Path("/dev/null/debug")).keep(packaged.image, packaged.object)

    async def test_an_image_without_more_to_say_is_not_kept(self, bed: Bed, tmp_path: Path) -> None:
        await DebugFiles(tmp_path / "debug", bed.connection, SERVER).keep(SEVEN, SEVEN)
        assert not (tmp_path / "debug").exists()
        assert bed.files.files == {}
