"""The file server never leaves its root: a test for each trick, over real UDP, each a clean 4.xx."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from aiocoap import Code

from device.api import Problem
from device.errors import NotFound
from fileserver.store import FileStore
from tests.peers import ask_path, exchange_raw, file_server

SECRET = b"outside"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a file in it, and beside it what must not be read."""
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(SECRET)
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "file").write_bytes(b"inside")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "relative").symlink_to("../secret")
    (root / "folder-link").symlink_to(tmp_path / "outside")
    (root / "sub" / "up").symlink_to("..")
    (root / "inner-link").symlink_to("sub/file")
    (root / "dangling").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    return root


TRICKS: dict[str, tuple[str, ...]] = {
    "empty segment first": ("", "etc", "passwd"),
    "two empty segments": ("", "", "etc", "passwd"),
    "empty segment in the middle": ("sub", "", "file"),
    "absolute in one segment": ("/etc/passwd",),
    "double slash in one segment": ("//etc/passwd",),
    "parent": ("..", "secret"),
    "parent in the middle": ("sub", "..", "..", "secret"),
    "parent at the end": ("sub", ".."),
    "parent after a missing folder": ("nothing", "..", "..", "secret"),
    "current": (".", "sub", "file"),
    "current at the end": ("sub", "."),
    "only dots": ("...", "secret"),
    "encoded slash": ("sub/file",),
    "encoded slash and parent": ("sub/../../secret",),
    "encoded parent": ("../secret",),
    "percent in the name": ("%2e%2e", "secret"),
    "backslash": ("..\\secret",),
    "backslash absolute": ("\\etc\\passwd",),
    "NUL": ("sub", "file\x00"),
    "NUL and a suffix": ("sub", "file\x00.txt"),
    "NUL alone": ("\x00",),
    "line feed": ("sub", "file\n"),
    "escape": ("\x1b[2J",),
    "delete": ("file\x7f",),
    "C1 control": ("file\x9b",),
    "right-to-left override": ("file\u202etxt",),
    "line separator": ("file\u2028",),
    "tilde": ("~", "secret"),
    "hidden file": (".hidden",),
    "temporary file": (".upload-00",),
    "overlong name": ("a" * 255,),
    "overlong name in UTF-8": ("é" * 127,),
    "deep path": ("a",) * 40,
    "deep parents": ("..",) * 40,
    "symbolic link to outside": ("link",),
    "relative link to outside": ("relative",),
    "linked folder outside": ("folder-link", "secret"),
    "linked folder as listing": ("folder-link", ""),
    "linked parent": ("sub", "up", "up", "secret"),
    "linked parent back in": ("sub", "up", "sub", "file"),
    "link within the root": ("inner-link",),
    "dangling link": ("dangling",),
    "link to itself": ("loop",),
    "below a file": ("sub", "file", "x"),
    "file with a slash": ("sub", "file", ""),
    "FIFO": ("fifo",),
    "socket": ("socket",),
    "only empty segments": ("", "", ""),
}


@pytest.mark.parametrize("trick", TRICKS)
async def test_no_trick_reads_writes_or_deletes_outside(root: Path, trick: str) -> None:
    before = snapshot(root.parent)
    async with file_server(root) as (context, url, log):
        for code in (Code.GET, Code.PUT, Code.DELETE):
            answer = await ask_path(context, url, TRICKS[trick], code, b"x" if code == Code.PUT else b"")
            if trick in CREATES and code != Code.GET:
                continue
            assert answer.code.dotted.startswith("4."), (code, answer.code)
            assert SECRET not in answer.payload
            found = Problem.from_payload(answer.payload, answer.opt.content_format)
            assert found is not None, "no problem details"
        assert not any("Error" in line for line in log), log
    assert snapshot(root.parent) == before


# A plain name, though it looks like a trick: PUT makes exactly that file, and DELETE removes it again.
CREATES = {"percent in the name", "tilde"}


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """Every path below a folder with its content."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path)] = str(path.readlink())
        elif path.is_file():
            found[str(path)] = path.read_bytes()
        else:
            found[str(path)] = "folder or other"
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device file")
async def test_a_device_file_is_not_opened(root: Path) -> None:
    try:
        os.mknod(root / "zero", 0o666 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this machine does not let us make a device file")
    async with file_server(root) as (context, url, _):
        assert (await ask_path(context, url, ("zero",))).code == Code.NOT_FOUND
        assert (await ask_path(context, url, ("zero",), Code.PUT, b"x")).code == Code.FORBIDDEN


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_file_that_may_not_be_read_is_forbidden(root: Path) -> None:
    (root / "closed").write_bytes(b"x")
    (root / "closed").chmod(0)
    async with file_server(root) as (context, url, _):
        assert (await ask_path(context, url, ("closed",))).code == Code.FORBIDDEN


@pytest.mark.parametrize(
    "path",
    [
        b"\xb2\xff\xfe",
        b"\xb3\xed\xa0\x80",
        b"\xbd\xf3" + b"a" * 256,
        b"\xbe\x03\x00" + b"a" * 1037,
        b"\xb2\xc0\xaf",
    ],
    ids=["not UTF-8", "surrogate", "256 bytes", "1037 bytes", "overlong slash"],
)
async def test_a_path_that_coap_does_not_allow_is_reset(root: Path, path: bytes) -> None:
    async with file_server(root) as (_, url, _):
        port = int(url.rpartition(":")[2])
        answer = await asyncio.to_thread(exchange_raw, port, b"\x40\x01\x12\x34" + path)
        assert answer == b"\x70\x00\x12\x34"


def test_a_folder_swapped_for_a_link_while_it_is_walked_leads_nowhere(root: Path) -> None:
    """A race: one thread swaps a folder and a link to outside, the other reads through it."""
    (root / "swap").mkdir()
    (root / "swap" / "secret").write_bytes(b"inside")
    stop = threading.Event()

    def swapper() -> None:
        while not stop.is_set():
            (root / "swap").rename(root / "aside")
            (root / "swap").symlink_to(root.parent / "outside")
            (root / "swap").unlink()
            (root / "aside").rename(root / "swap")

    store = FileStore(root)
    thread = threading.Thread(target=swapper)
    thread.start()
    tries = read = 0
    try:
        # On a busy machine the folder may be away at each look: unless it was read once, nothing is tested.
        while tries < 3000 or not read:
            tries += 1
            with suppress(NotFound):
                assert store.read(("swap", "secret")) == b"inside"
                read += 1
    finally:
        stop.set()
        thread.join()
        store.close()
