"""The file server over real UDP: reading, writing, conditions, limits, and who may do it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiocoap import Code, Message

from device.api import Problem
from device.errors import ConfigError, RemoteError, TransportError
from device.resource import etag_of
from device.transport import LAN, download, parse_url, upload
from device.transport.exchange import exchange
from fileserver.access import parse_networks
from fileserver.server import Config, FileServer
from fileserver.store import StoreLimits
from tests.peers import ask, file_server

KEY = (
    b"-----BEGIN PRIVATE KEY-----\n"
    b"MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"
    b"-----END PRIVATE KEY-----\n"
)


def problem(answer: Message) -> Problem:
    found = Problem.from_payload(answer.payload, answer.opt.content_format)
    assert found is not None, answer.payload
    return found


# Reading


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 4096, 65536])
@pytest.mark.parametrize("block_size", [64, 1024])
async def test_a_file_of_any_size_arrives(tmp_path: Path, size: int, block_size: int) -> None:
    content = bytes(index * 7 % 256 for index in range(size))
    (tmp_path / "f.bin").write_bytes(content)
    async with file_server(tmp_path) as (context, url, _):
        assert await download(context, f"{url}/f.bin", limit=size, block_size=block_size) == content


async def test_an_answer_says_etag_size_and_format(tmp_path: Path) -> None:
    (tmp_path / "f.signed").write_bytes(b"x" * 3000)
    async with file_server(tmp_path) as (context, url, _):
        target = parse_url(f"{url}/f.signed")
        first = await exchange(context, target.message(Code.GET, size2=0), timeout_s=5, timing=LAN)
        assert (first.opt.etag, first.opt.size2) == (etag_of(b"x" * 3000), 3000)
        assert (first.opt.content_format, first.opt.block2) == (60, (0, True, 6))
        small = await exchange(
            context, target.message(Code.GET, block2=(1, False, 0)), timeout_s=5, timing=LAN
        )
        assert (len(small.payload), small.opt.etag) == (16, first.opt.etag)
        again = target.message(Code.GET)
        again.opt.etags = [first.opt.etag]
        assert (await exchange(context, again, timeout_s=5, timing=LAN)).code == Code.VALID


@pytest.mark.parametrize("kept", [True, False], ids=["answer kept", "answer forgotten"])
async def test_a_file_replaced_between_blocks_is_never_mixed(tmp_path: Path, kept: bool) -> None:
    file = tmp_path / "f.bin"
    file.write_bytes(b"a" * 4096)
    async with file_server(tmp_path) as (context, url, _):

        def replace(received: int, announced: int | None) -> None:
            if received == 2048:
                (tmp_path / "new").write_bytes(b"b" * 4096)
                (tmp_path / "new").rename(file)

        options: dict[str, Any] = {"limit": 4096, "block_size": 1024, "progress": replace}
        if kept:
            assert await download(context, f"{url}/f.bin", **options) == b"a" * 4096
            return
        first = parse_url(f"{url}/f.bin").message(Code.GET, block2=(0, False, 6))
        before = await exchange(context, first, timeout_s=5, timing=LAN)
        replace(2048, None)
        # Other options make it another transfer: nothing is kept for it, as after a restart of the server.
        later = parse_url(f"{url}/f.bin").message(Code.GET, block2=(2, False, 6), uri_query=["x"])
        after = await exchange(context, later, timeout_s=5, timing=LAN)
        assert after.payload == b"b" * 1024
        assert after.opt.etag != before.opt.etag


async def test_a_client_notices_a_replaced_file_when_the_server_restarted(tmp_path: Path) -> None:
    file = tmp_path / "f.bin"
    file.write_bytes(b"a" * 4096)
    server = FileServer(Config(tmp_path, "127.0.0.1", 0), lambda _: None)
    await server.start()
    port = server.port
    async with file_server(tmp_path) as (context, _, _):
        restarted = FileServer(Config(tmp_path, "127.0.0.1", port), lambda _: None)
        restart: list[asyncio.Task[None]] = []

        async def swap() -> None:
            await server.stop()
            file.write_bytes(b"b" * 4096)
            await restarted.start()

        def progress(received: int, _: int | None) -> None:
            if received == 1024:
                restart.append(asyncio.create_task(swap()))

        with pytest.raises(TransportError) as caught:
            await download(
                context, f"coap://127.0.0.1:{port}/f.bin", limit=4096, block_size=64, progress=progress
            )
        assert caught.value.code in ("changed", "unreachable")
        await restart[0]
        await restarted.stop()


async def test_a_folder_lists_what_can_be_served(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"xyz")
    (tmp_path / ".hidden").write_bytes(b"x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "übung 1.txt").write_bytes(b"x")
    (tmp_path / "link").symlink_to("/etc/passwd")
    async with file_server(tmp_path) as (context, url, _):
        root = await ask(context, f"{url}/")
        assert root.payload == b'</a.bin>;ct="42";sz="3",</sub/>;ct="40"'
        assert root.opt.content_format == 40
        for path in ("sub", "sub/"):
            listed = await ask(context, f"{url}/{path}")
            assert listed.payload.decode() == '</sub/%C3%BCbung%201.txt>;ct="0";sz="1"'
        assert await download(context, f"{url}/sub/%C3%BCbung%201.txt", limit=9) == b"x"
        assert (await ask(context, f"{url}/", accept=60)).code == Code.NOT_ACCEPTABLE


async def test_a_long_listing_comes_in_blocks(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"file-{number:04}.bin").write_bytes(b"")
    async with file_server(tmp_path) as (context, url, _):
        assert (await ask(context, f"{url}/")).payload.count(b"<") == 300


async def test_well_known_core_names_what_there_is(tmp_path: Path) -> None:
    async with file_server(tmp_path) as (context, url, _):
        listed = (await ask(context, f"{url}/.well-known/core")).payload.decode()
        for part in (
            "</resourcedirectory/>",
            "</endpoint-lookup/>",
            "</resource-lookup/>",
            'rt="core.rd"',
            "</>",
        ):
            assert part in listed
        only = await ask(context, f"{url}/.well-known/core?rt=core.rd")
        assert only.payload.startswith(b"</resourcedirectory/>")


# Writing


async def test_put_creates_and_does_not_replace(tmp_path: Path) -> None:
    async with file_server(tmp_path) as (context, url, log):
        created = await upload(context, f"{url}/a/b/c.bin", b"one")
        assert (created.code, created.opt.etag) == (Code.CREATED, etag_of(b"one"))
        assert (tmp_path / "a/b/c.bin").read_bytes() == b"one"
        for careful in (False, True):
            refused = await upload(context, f"{url}/a/b/c.bin", b"two", if_none_match=careful)
            assert refused.code == Code.PRECONDITION_FAILED
            assert problem(refused).code == "precondition-failed"
        assert (tmp_path / "a/b/c.bin").read_bytes() == b"one"
        assert log == ["127.0.0.1 created /a/b/c.bin, 3 bytes"]
        assert [item.name for item in (tmp_path / "a/b").iterdir()] == ["c.bin"], "a temporary file is left"


@pytest.mark.parametrize(
    ("if_match", "code"),
    [(b"", "2.04"), (etag_of(b"one"), "2.04"), (etag_of(b"two"), "4.12"), (b"x", "4.12")],
    ids=["any", "the right one", "another", "nonsense"],
)
async def test_put_with_if_match_replaces(tmp_path: Path, if_match: bytes, code: str) -> None:
    (tmp_path / "f").write_bytes(b"one")
    async with file_server(tmp_path) as (context, url, _):
        assert (await upload(context, f"{url}/f", b"new", if_match=if_match)).code.dotted == code
        assert (tmp_path / "f").read_bytes() == (b"new" if code == "2.04" else b"one")
        missing = await upload(context, f"{url}/missing", b"new", if_match=if_match)
        assert missing.code == Code.PRECONDITION_FAILED
        assert not (tmp_path / "missing").exists()


async def test_a_write_that_would_fail_is_refused_at_its_first_block(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"one")
    async with file_server(tmp_path) as (context, url, _):
        first = parse_url(f"{url}/f").message(Code.PUT, b"x" * 64, block1=(0, True, 2), if_none_match=True)
        answer = await exchange(context, first, timeout_s=5, timing=LAN)
        assert answer.code == Code.PRECONDITION_FAILED


async def test_delete_removes_the_file_and_the_folders_it_leaves_empty(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "other").write_bytes(b"")
    async with file_server(tmp_path) as (context, url, _):
        await upload(context, f"{url}/kept/a/b/f", b"x")
        wrong = parse_url(f"{url}/kept/a/b/f").message(Code.DELETE)
        wrong.opt.if_match = [b"wrong"]
        assert (await exchange(context, wrong, timeout_s=5, timing=LAN)).code == Code.PRECONDITION_FAILED
        assert (await ask(context, f"{url}/kept/a/b/f", Code.DELETE)).code == Code.DELETED
        assert not (tmp_path / "kept" / "a").exists()
        assert (tmp_path / "kept").exists()
        assert (await ask(context, f"{url}/kept/a/b/f", Code.DELETE)).code == Code.NOT_FOUND
        assert (await ask(context, f"{url}/kept", Code.DELETE)).code == Code.NOT_FOUND


@pytest.mark.parametrize("path", ["f", "sub"])
async def test_a_folder_and_a_file_do_not_take_each_others_place(tmp_path: Path, path: str) -> None:
    (tmp_path / "f").write_bytes(b"one")
    (tmp_path / "sub").mkdir()
    async with file_server(tmp_path) as (context, url, _):
        target = f"{url}/f/below" if path == "f" else f"{url}/sub"
        assert (await upload(context, target, b"x", if_match=None)).code == Code.CONFLICT


@pytest.mark.parametrize("first", [".well-known", "resourcedirectory", "endpoint-lookup", "resource-lookup"])
async def test_no_file_lies_below_the_directory(tmp_path: Path, first: str) -> None:
    (tmp_path / first).mkdir()
    (tmp_path / first / "x").write_bytes(b"x")
    async with file_server(tmp_path) as (context, url, _):
        for path in (f"{first}/y", f"{first}/a/b", f"{first}/"):
            answer = await ask(context, f"{url}/{path}", Code.PUT, b"x")
            assert answer.code in (Code.FORBIDDEN, Code.METHOD_NOT_ALLOWED)
        assert (await ask(context, f"{url}/{first}/x")).code == Code.NOT_FOUND
        assert (await ask(context, f"{url}/{first}/x", Code.DELETE)).code in (Code.FORBIDDEN, Code.NOT_FOUND)
        assert [item.name for item in (tmp_path / first).iterdir()] == ["x"]


# Limits


async def test_a_file_over_the_limit_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async with file_server(tmp_path) as (context, url, _):
        assert (await upload(context, f"{url}/fits", b"x" * 65536)).code == Code.CREATED
        answer = await upload(context, f"{url}/over", b"x" * 65537)
        assert (answer.code, answer.opt.size1) == (Code.REQUEST_ENTITY_TOO_LARGE, 65536)
        assert not (tmp_path / "over").exists()


async def test_the_server_is_full_by_bytes_and_by_number(tmp_path: Path) -> None:
    limits = StoreLimits(file_bytes=100, total_bytes=250, files=4)
    async with file_server(tmp_path, store=limits) as (context, url, _):

        async def put(path: str, size: int, **options: Any) -> str:
            return str((await upload(context, f"{url}/{path}", b"x" * size, **options)).code.dotted)

        assert [await put(name, 100) for name in "abc"] == ["2.01", "2.01", "4.13"]
        assert await put("a", 50, if_match=b"") == "2.04"
        assert await put("c", 100) == "2.01"
        assert await put("d/e/f", 0) == "4.13", "two folders and a file are three more than one"
        assert not (tmp_path / "d").exists()
        assert [await put(name, 0) for name in "de"] == ["2.01", "4.13"]
        (tmp_path / "d").unlink()  # removed by hand: the server looks again before it refuses
        assert await put("e", 0) == "2.01"
        await ask(context, f"{url}/a", Code.DELETE)
        assert await put("f", 50) == "2.01"


async def test_what_lies_there_at_the_start_counts(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"x" * 200)
    async with file_server(tmp_path, store=StoreLimits(total_bytes=250)) as (context, url, _):
        assert (await upload(context, f"{url}/more", b"x" * 51)).code == Code.REQUEST_ENTITY_TOO_LARGE
        assert (await upload(context, f"{url}/more", b"x" * 50)).code == Code.CREATED


async def test_a_file_longer_than_what_is_served_is_forbidden(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 65537)
    async with file_server(tmp_path) as (context, url, _):
        with pytest.raises(RemoteError) as caught:
            await download(context, f"{url}/big", limit=1 << 20)
        assert caught.value.status == "4.03"


async def test_an_unfinished_upload_of_a_killed_server_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".upload-0123").write_bytes(b"x")
    async with file_server(tmp_path):
        assert list((tmp_path / "sub").iterdir()) == []


async def test_many_uploads_of_one_name_have_one_winner(tmp_path: Path) -> None:
    async with file_server(tmp_path) as (context, url, _):
        bodies = [bytes([number]) * 3000 for number in range(10)]
        answers = await asyncio.gather(
            *(upload(context, f"{url}/f?{number}", body) for number, body in enumerate(bodies))
        )
        codes = sorted(answer.code.dotted for answer in answers)
        assert codes == ["2.01"] + ["4.12"] * 9
        assert (tmp_path / "f").read_bytes() in bodies


# Who


async def test_only_the_named_networks_write_and_everybody_reads(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"one")
    async with file_server(tmp_path, writers=parse_networks(["10.0.0.0/8", "::1"])) as (context, url, _):
        for code in (Code.PUT, Code.DELETE):
            refused = await ask(context, f"{url}/f", code, b"x" if code == Code.PUT else b"")
            assert refused.code == Code.FORBIDDEN
            assert "--write-from" in problem(refused).hint
        assert await download(context, f"{url}/f", limit=3) == b"one"


@pytest.mark.parametrize(
    ("networks", "host", "allowed"),
    [
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "11.1.2.3", False),
        (["10.0.0.1/8"], "10.9.9.9", True),
        (["any"], "203.0.113.9", True),
        (["any"], "2001:db8::9", True),
        (["192.0.2.7"], "192.0.2.8", False),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["::/0"], "10.0.0.1", False),
        ([], "127.0.0.1", False),
        (["any"], "not an address", False),
    ],
)
def test_networks(networks: list[str], host: str, allowed: bool) -> None:
    assert parse_networks(networks).allows(host) is allowed


@pytest.mark.parametrize("text", ["", "10.0.0.0/33", "host", "1.2.3", "::1/129"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_networks([text])


# Private keys


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        (KEY, True),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----", True),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", True),
        (b"-----BEGIN PGP PRIVATE KEY BLOCK-----", True),
        (b"x" * 1020 + KEY, True),
        (b"x" * 65000 + KEY, True),
        (b"-----BEGIN PUBLIC KEY-----", False),
        (b"a text about a PRIVATE KEY", False),
    ],
    ids=["PKCS#8", "OpenSSH", "encrypted", "PGP", "over a block's border", "at the end", "public", "text"],
)
async def test_a_private_key_is_neither_taken_nor_served(
    tmp_path: Path, content: bytes, refused: bool
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    async with file_server(root) as (context, url, _):
        answer = await upload(context, f"{url}/sub/key.pem", content)
        assert answer.code == (Code.FORBIDDEN if refused else Code.CREATED)
        assert (root / "sub").exists() is not refused
    (root / "sub").mkdir(exist_ok=True)
    (root / "sub" / "key.pem").write_bytes(content)
    server = FileServer(Config(root, "127.0.0.1", 0), lambda _: None)
    if not refused:
        await server.start()
        await server.stop()
        return
    with pytest.raises(ConfigError) as caught:
        await server.start()
    assert caught.value.code == "private-key"
    assert caught.value.where.endswith("sub/key.pem")


async def test_a_key_in_a_long_file_is_found_across_a_border(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * ((1 << 20) - 10) + KEY)
    with pytest.raises(ConfigError, match="private key"):
        await FileServer(Config(tmp_path, "127.0.0.1", 0), lambda _: None).start()
