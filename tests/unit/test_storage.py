"""Slots, stores and the state directory; above all what a cut of the power leaves behind."""

from __future__ import annotations

import errno
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from device.errors import ConfigError, StorageError, TooLarge
from device.storage.disk import RealDisk
from device.storage.slots import SlotTable, StoredImage
from device.storage.state import StateDirectory
from device.storage.stores import MemoryStore


def image(content: bytes, number: int) -> StoredImage:
    return StoredImage(content, hashlib.sha256(content).digest(), "program.bin", number)


OLD, NEW = image(b"old program", 1), image(b"new program", 2)


class PowerCutError(BaseException):
    """Not an error that code could handle: nothing runs any more."""


class DyingDisk(RealDisk):
    """Carries out `operations` operations and dies in the next: a write leaves half of the bytes."""

    def __init__(self, operations: int) -> None:
        self.left = operations

    def _step(self) -> None:
        if self.left == 0:
            raise PowerCutError
        self.left -= 1

    def write(self, path: Path, content: bytes) -> None:
        if self.left == 0:
            path.write_bytes(content[: len(content) // 2])
        self._step()
        super().write(path, content)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)

    def sync(self, folder: Path) -> None:
        self._step()
        super().sync(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with_state(tmp_path, lambda slots: slots.commit({0: OLD}, 1))
    return tmp_path


def with_state(path: Path, action: object = None) -> SlotTable:
    """The slots as a device finds them that starts on this directory."""
    state = StateDirectory(path)
    try:
        slots = SlotTable(backing=state)
        if callable(action):
            action(slots)
        return slots
    finally:
        state.close()


def cut_after(path: Path, operations: int) -> bool:
    """Commit the new image with a disk that dies; whether the commit came to its end."""
    state = StateDirectory(path, disk=DyingDisk(operations))
    try:
        SlotTable(backing=state).commit({0: NEW}, 2)
    except PowerCutError:
        return False
    finally:
        state.close()
    return True


class FailingDisk(RealDisk):
    """Raises in operation `first` (from 0), or in all from there on; a write leaves half of the bytes."""

    def __init__(self, first: int, *, for_ever: bool) -> None:
        self.first = first
        self.for_ever = for_ever
        self.done = 0
        self.failed: list[str] = []

    def _step(self, what: str) -> None:
        number, self.done = self.done, self.done + 1
        if number == self.first or (self.for_ever and number > self.first):
            self.failed.append(what)
            raise OSError(errno.ENOSPC, "No space left on device")

    def write(self, path: Path, content: bytes) -> None:
        path.write_bytes(content[: len(content) // 2])
        self._step("write")
        super().write(path, content)

    def rename(self, source: Path, target: Path) -> None:
        self._step("rename")
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._step("remove")
        super().remove(path)

    def sync(self, folder: Path) -> None:
        self._step(f"sync {folder.name}")
        super().sync(folder)


POINTS = range(12)


@pytest.mark.parametrize("operations", POINTS)
def test_power_cut_leaves_the_old_or_the_new_and_the_update_can_be_repeated(
    folder: Path, operations: int
) -> None:
    done = cut_after(folder, operations)
    slots = with_state(folder)
    found = (slots.get(0), slots.sequence_number)
    assert found in [(OLD, 1), (NEW, 2)]
    if done:
        assert found == (NEW, 2)
    if found == (OLD, 1):
        with_state(folder, lambda slots: slots.commit({0: NEW}, 2))
        assert with_state(folder).get(0) == NEW


@pytest.mark.parametrize("first", POINTS)
@pytest.mark.parametrize("second", POINTS)
def test_two_power_cuts(folder: Path, first: int, second: int) -> None:
    cut_after(folder, first)
    if with_state(folder).sequence_number == 1:
        cut_after(folder, second)
    slots = with_state(folder)
    assert (slots.get(0), slots.sequence_number) in [(OLD, 1), (NEW, 2)]


def test_the_points_reach_the_end(folder: Path) -> None:
    assert cut_after(folder, max(POINTS))


def commit_with(disk: FailingDisk, folder: Path) -> tuple[SlotTable, bool, list[str]]:
    """Commit the new image with a disk that fails: the table then, whether it was refused, the warnings."""
    said: list[str] = []
    state = StateDirectory(folder, disk=disk, warn=said.append)
    slots = SlotTable(backing=state)
    try:
        slots.commit({0: NEW}, 2)
    except StorageError:
        return slots, True, said
    finally:
        state.close()
    return slots, False, said


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("operation", range(8))
def test_what_the_disk_refuses_leaves_memory_and_disk_agreed(
    folder: Path, operation: int, for_ever: bool
) -> None:
    disk = FailingDisk(operation, for_ever=for_ever)
    slots, refused, said = commit_with(disk, folder)
    expected = (OLD, 1) if refused else (NEW, 2)
    assert (slots.get(0), slots.sequence_number) == expected
    again = with_state(folder)
    assert (again.get(0), again.sequence_number) == expected
    # Before the record is in place it is a refusal, afterwards at most a warning.
    assert refused == (operation < 5)
    assert bool(said) == (operation == 5)
    if refused:
        with_state(folder, lambda slots: slots.commit({0: NEW}, 2))
    assert with_state(folder).get(0) == NEW
    if not for_ever:
        assert list(folder.rglob("*.new")) == []


def test_the_failures_are_in_every_operation(folder: Path) -> None:
    """Image, its folder, record, its folder, old image: what the numbers above stand for."""
    failed = []
    for operation in range(7):
        copy = folder / f"copy{operation}"
        with_state(copy, lambda slots: slots.commit({0: OLD}, 1))
        disk = FailingDisk(operation, for_ever=False)
        commit_with(disk, copy)
        failed += [name.replace(copy.name, "state") for name in disk.failed]
    assert failed == ["write", "rename", "sync images", "write", "rename", "sync state", "remove"]


def test_images_of_a_record_that_may_come_back_are_kept(folder: Path) -> None:
    former = (folder / "record").read_bytes()
    _, refused, said = commit_with(FailingDisk(5, for_ever=False), folder)
    assert not refused
    assert "may not outlive a power cut" in said[0]
    (folder / "record").write_bytes(former)  # the power is cut, and the rename was not on the disk
    slots = with_state(folder)
    assert (slots.get(0), slots.sequence_number) == (OLD, 1)


def test_a_folder_in_the_place_of_an_image(folder: Path) -> None:
    (folder / "images" / NEW.digest.hex()).mkdir()
    with pytest.raises(StorageError, match="cannot write images") as caught:
        with_state(folder, lambda slots: slots.commit({0: NEW}, 2))
    assert (caught.value.where, "space" in caught.value.hint) == (str(folder), True)
    assert with_state(folder).sequence_number == 1


def test_folders_that_are_made_are_made_durable(tmp_path: Path) -> None:
    synced: list[Path] = []

    class Noting(RealDisk):
        def sync(self, folder: Path) -> None:
            synced.append(folder)
            super().sync(folder)

    StateDirectory(tmp_path / "new" / "device-1", disk=Noting()).close()
    assert set(synced) == {tmp_path, tmp_path / "new", tmp_path / "new" / "device-1"}
    synced.clear()
    StateDirectory(tmp_path / "new" / "device-1", disk=Noting()).close()
    assert synced == []


def test_a_released_image_is_read_back(folder: Path) -> None:
    """What is saved afterwards leaves it where it is; a file that is damaged or gone is told."""
    state = StateDirectory(folder)
    slots = SlotTable(backing=state)
    before = slots.get(0)
    assert before is not None
    slots.release(0)
    slots.release(0)
    slots.commit({1: NEW}, 7)
    left = slots.get(0)
    assert left is not None
    assert (left.image, left.size, left.digest) == (b"", len(before.image), before.digest)
    assert slots.read(left) == before.image
    file = folder / "images" / left.digest.hex()
    file.write_bytes(b"damaged")
    with pytest.raises(StorageError, match="is damaged"):
        slots.read(left)
    file.unlink()
    with pytest.raises(StorageError, match="cannot read an image"):
        slots.read(left)
    state.close()


def test_without_a_state_directory_a_released_image_is_gone() -> None:
    slots = SlotTable()
    slots.commit({1: NEW}, 7)
    assert slots.read(NEW) == NEW.image
    slots.release(1)
    left = slots.get(1)
    assert left is not None
    assert (slots.read(left), left.size) == (None, len(NEW.image))


def test_fewer_slots_than_before_lose_nothing(tmp_path: Path) -> None:
    with_state(tmp_path, lambda slots: slots.commit({0: OLD, 4: OLD}, 1))
    state = StateDirectory(tmp_path)
    slots = SlotTable(2, backing=state)
    assert (slots.beyond, slots.get(4)) == ((4,), None)
    slots.commit({1: NEW}, 2)
    slots.clear(0)
    state.close()
    slots = with_state(tmp_path)
    assert [slots.get(number) for number in range(5)] == [None, NEW, None, None, OLD]
    assert slots.beyond == ()


def test_contents_survive_a_restart(tmp_path: Path) -> None:
    with_state(tmp_path, lambda slots: slots.commit({0: OLD, 4: NEW}, 9))
    slots = with_state(tmp_path)
    assert (slots.get(0), slots.get(4), slots.sequence_number) == (OLD, NEW, 9)


@pytest.mark.parametrize("capabilities", [None, bytes.fromhex("a201010280")], ids=["none", "no helper"])
def test_signed_capabilities_survive_a_restart(tmp_path: Path, capabilities: bytes | None) -> None:
    granted = replace(OLD, capabilities=capabilities)
    with_state(tmp_path, lambda slots: slots.commit({0: granted}, 9))
    assert with_state(tmp_path).get(0) == granted


def test_an_emptied_slot_keeps_the_number(folder: Path) -> None:
    with_state(folder, lambda slots: slots.clear(0))
    slots = with_state(folder)
    assert (slots.get(0), slots.sequence_number) == (None, 1)
    assert list((folder / "images").iterdir()) == []


def test_replaced_images_are_removed(folder: Path) -> None:
    with_state(folder, lambda slots: slots.commit({0: NEW}, 2))
    assert [path.name for path in (folder / "images").iterdir()] == [NEW.digest.hex()]


def test_a_damaged_image_empties_its_slot_and_is_reported(folder: Path) -> None:
    (folder / "images" / OLD.digest.hex()).write_bytes(b"something else")
    said: list[str] = []
    state = StateDirectory(folder, warn=said.append)
    try:
        slots = SlotTable(backing=state)
        assert (slots.get(0), slots.sequence_number) == (None, 1)
        assert "damaged" in said[0]
    finally:
        state.close()


@pytest.mark.parametrize("damage", [b"", b"\n{}", b"x" * 64 + b"\n{}"])
def test_a_damaged_record_is_a_start_up_error(folder: Path, damage: bytes) -> None:
    (folder / "record").write_bytes(damage)
    with pytest.raises(ConfigError, match="damaged"):
        with_state(folder)


@pytest.mark.parametrize(
    "body",
    [
        *("nope", "[]", "{}", '{"version":1}', '{"version":1,"sequence_number":"x","slots":[]}'),
        '{"version":1,"sequence_number":1,"slots":[[]]}',
        '{"version":1,"sequence_number":1,"slots":[{"slot":0,"digest":"../../x","name":"","sequence_number":1}]}',
        '{"version":2}',
    ],
)
def test_a_record_of_something_else_is_a_start_up_error(folder: Path, body: str) -> None:
    checksum = hashlib.sha256(body.encode()).hexdigest()
    (folder / "record").write_text(f"{checksum}\n{body}")
    with pytest.raises(ConfigError, match="the record") as caught:
        with_state(folder)
    assert caught.value.hint


def test_a_directory_belongs_to_one_device(folder: Path) -> None:
    state = StateDirectory(folder)
    try:
        with pytest.raises(ConfigError, match="another device"):
            StateDirectory(folder)
    finally:
        state.close()
    StateDirectory(folder).close()


def test_a_file_in_the_way_is_a_start_up_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        StateDirectory(tmp_path / "taken")


def test_the_name_is_kept(folder: Path) -> None:
    state = StateDirectory(folder)
    assert state.load_name() is None
    state.save_name("calm-otter")
    state.close()
    again = StateDirectory(folder)
    assert again.load_name() == "calm-otter"
    again.close()


def test_a_folder_in_the_place_of_the_record_is_a_start_up_error(folder: Path) -> None:
    (folder / "record").unlink()
    (folder / "record").mkdir()
    state = StateDirectory(folder)
    with pytest.raises(ConfigError, match="the record cannot be read"):
        state.load()
    state.close()
    state.close()  # once more does no harm


def test_a_name_that_is_no_text_is_a_start_up_error(folder: Path) -> None:
    (folder / "name").write_bytes(b"\xff")
    state = StateDirectory(folder)
    with pytest.raises(ConfigError, match="the name cannot be read"):
        state.load_name()
    state.close()


def test_an_image_that_is_gone_empties_its_slot_and_is_reported(folder: Path) -> None:
    (folder / "images" / OLD.digest.hex()).unlink()
    said: list[str] = []
    state = StateDirectory(folder, warn=said.append)
    slots = SlotTable(backing=state)
    state.close()
    assert (slots.get(0), slots.sequence_number) == (None, 1)
    assert "is gone" in said[0]


class TestSlotTable:
    @pytest.mark.parametrize(
        ("slot", "size", "number"),
        [(5, 8, 1), (-1, 8, 1), (0, 4097, 1), (0, 8, 0)],
        ids=["no slot", "negative", "too large", "number does not advance"],
    )
    def test_what_cannot_be_committed_changes_nothing(self, slot: int, size: int, number: int) -> None:
        slots = SlotTable()
        with pytest.raises(StorageError):
            slots.commit({1: OLD, slot: image(bytes(size), number)}, number)
        assert (slots.get(1), slots.sequence_number) == (None, 0)

    def test_two_slots_at_once(self) -> None:
        slots = SlotTable()
        slots.commit({0: OLD, 1: NEW}, 3)
        assert (slots.get(0), slots.get(1), slots.sequence_number) == (OLD, NEW, 3)


class TestMemoryStore:
    def test_fetch_creates_nothing(self) -> None:
        store = MemoryStore(1)
        assert store.fetch(1) is None
        assert store.entries() == {}

    def test_full(self) -> None:
        store = MemoryStore(2)
        assert store.store(2, 20)
        assert store.store(1, 10)
        assert not store.store(3, 30)
        assert store.store(1, 11)
        assert list(store.entries().items()) == [(1, 11), (2, 20)]

    def test_update_is_all_or_nothing(self) -> None:
        store = MemoryStore(2)
        store.update({1: 1, 2: 2})
        store.update({1: None, 3: 3})
        assert store.entries() == {2: 2, 3: 3}
        with pytest.raises(TooLarge):
            store.update({2: 9, 4: 4})
        assert store.entries() == {2: 2, 3: 3}

    def test_threads(self) -> None:
        store = MemoryStore(8)
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(lambda key: store.store(key, key), range(64)))
        assert sum(taken) == len(store.entries()) == 8

    def test_every_operation_is_whole_however_many_run(self) -> None:
        """Each entry is that of one writer, and a change of several keys is seen whole or not at all."""
        store = MemoryStore(4)
        torn: list[dict[int, int]] = []

        def write(number: int) -> None:
            for turn in range(200):
                store.update({1: number, 2: number} if turn % 2 else {1: None, 2: None})
                store.store(3, number)
                seen = store.entries()
                if seen.get(1) != seen.get(2) or not 0 <= (store.fetch(3) or 0) < 8:
                    torn.append(seen)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))
        assert torn == []
