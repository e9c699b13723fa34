"""Slots, stores and the state directory; above all what a cut of the power leaves behind."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from device.errors import ConfigError, StorageError, TooLarge
from device.storage.slots import SlotTable, StoredImage
from device.storage.state import RealDisk, StateDirectory
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


def test_contents_survive_a_restart(tmp_path: Path) -> None:
    with_state(tmp_path, lambda slots: slots.commit({0: OLD, 4: NEW}, 9))
    slots = with_state(tmp_path)
    assert (slots.get(0), slots.get(4), slots.sequence_number) == (OLD, NEW, 9)


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
