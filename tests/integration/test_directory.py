"""The device directory on the file server, over real UDP."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiocoap import Code, Message
from aiocoap.util.linkformat import parse

from device.transport import CoapContext, parse_url
from fileserver import server as server_module
from tests.peers import ask, file_server

QUERY = "ep=dev-1&lt=60&et=micro-bpf&board=native&slots=5&srv=coap://fileserver&base=coap://10.0.0.9:5710"
LINKS = b'</device>;ct="60",</slots>;ct="60";obs'


async def register(
    context: CoapContext, url: str, query: str = QUERY, links: bytes = LINKS, path: str = "resourcedirectory/"
) -> Message:
    return await ask(context, f"{url}/{path}?{query}", Code.POST, links, content_format=40)


async def test_a_device_is_registered_found_renewed_and_withdrawn(tmp_path: Path) -> None:
    async with file_server(tmp_path) as (context, url, log):
        made = await register(context, url)
        assert made.code == Code.CREATED
        location = f"{url}/" + "/".join(made.opt.location_path)

        for path in ("endpoint-lookup/", "endpoint-lookup"):
            found = await ask(context, f"{url}/{path}?et=micro-bpf", accept=40)
            assert found.opt.content_format == 40
            (link,) = parse(found.payload.decode()).links
            assert dict(link.attr_pairs) == {
                "ep": "dev-1",
                "base": "coap://10.0.0.9:5710",
                "et": "micro-bpf",
                "board": "native",
                "slots": "5",
                "srv": "coap://fileserver",
                "rt": "core.rd-ep",
            }
            assert link.href == "/" + "/".join(made.opt.location_path)
        assert (await ask(context, f"{url}/endpoint-lookup/?et=other")).payload == b""
        resources = await ask(context, f"{url}/resource-lookup/?ct=60")
        assert b"<coap://10.0.0.9:5710/slots>" in resources.payload

        assert (await ask(context, location)).payload == LINKS
        assert (await ask(context, location, Code.POST)).code == Code.CHANGED
        again = await register(context, url, path="resourcedirectory")
        assert again.opt.location_path == made.opt.location_path
        assert (await ask(context, location, Code.DELETE)).code == Code.DELETED
        for code in (Code.GET, Code.POST, Code.DELETE):
            assert (await ask(context, location, code)).code == Code.NOT_FOUND
        assert (await ask(context, f"{url}/endpoint-lookup/")).payload == b""
        assert log[0] == "dev-1 registered at coap://10.0.0.9:5710 for 60 s"
        assert log[-1] == "dev-1 withdrew"


async def test_a_live_name_is_not_given_to_another_address(tmp_path: Path) -> None:
    async with file_server(tmp_path, bind="::") as (context, url, _):
        other = url.replace("127.0.0.1", "[::1]")
        made = await register(context, url)
        location = "/".join(made.opt.location_path)
        assert (await register(context, other)).code == Code.FORBIDDEN
        assert (await ask(context, f"{other}/{location}", Code.POST)).code == Code.FORBIDDEN
        assert (await ask(context, f"{other}/{location}", Code.DELETE)).code == Code.FORBIDDEN
        assert (await ask(context, f"{other}/{location}")).code == Code.CONTENT
        assert (await ask(context, f"{url}/{location}", Code.DELETE)).code == Code.DELETED
        assert (await register(context, other)).code == Code.CREATED


async def test_without_base_the_source_is_it(tmp_path: Path) -> None:
    async with file_server(tmp_path) as (context, url, _):
        await register(context, url, "ep=a")
        (link,) = parse((await ask(context, f"{url}/endpoint-lookup/")).payload.decode()).links
        assert dict(link.attr_pairs)["base"].startswith("coap://127.0.0.1:")


async def test_who_is_not_renewed_disappears_and_observers_hear_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "EXPIRY_INTERVAL_S", 0.1)
    async with file_server(tmp_path) as (context, url, log):
        watching = context.request(parse_url(f"{url}/endpoint-lookup/").message(Code.GET, observe=0))
        assert (await asyncio.wait_for(watching.response, 5)).payload == b""
        notifications = aiter(watching.observation)
        await register(context, url, "ep=short&lt=1")
        assert b'ep="short"' in (await asyncio.wait_for(anext(notifications), 5)).payload
        assert (await asyncio.wait_for(anext(notifications), 5)).payload == b""
        assert log[-1] == "short is gone: it was not renewed"
        watching.observation.cancel()


async def test_a_directory_longer_than_a_block_arrives(tmp_path: Path) -> None:
    async with file_server(tmp_path, registrations=100) as (context, url, _):
        codes = {(await register(context, url, f"ep=dev-{n}&et=micro-bpf")).code.dotted for n in range(100)}
        assert codes == {"2.01"}
        full = await register(context, url, "ep=more")
        assert (full.code, full.opt.max_age) == (Code.SERVICE_UNAVAILABLE, 30)
        found = await ask(context, f"{url}/endpoint-lookup/?et=micro-bpf")
        assert len(parse(found.payload.decode()).links) == 100


@pytest.mark.parametrize(
    ("query", "links", "options", "code"),
    [
        ("lt=60", b"", {}, "4.00"),
        ("ep=a&lt=x", b"", {}, "4.00"),
        ("ep=a", b"not links", {}, "4.00"),
        ("ep=a", b"\xff", {}, "4.00"),
        ("ep=a", b"</x>", {"content_format": 60}, "4.15"),
        ("ep=a", b"<" + b"a" * 8192 + b">", {}, "4.13"),
        ("ep=a", b",".join([b"</x>"] * 257), {}, "4.00"),
        ("ep=a", b"", {}, "2.01"),
    ],
    ids=["no name", "no lifetime", "no links", "no text", "format", "too long", "too many", "without links"],
)
async def test_what_is_no_registration(
    tmp_path: Path, query: str, links: bytes, options: dict[str, int], code: str
) -> None:
    async with file_server(tmp_path) as (context, url, _):
        answer = await ask(context, f"{url}/resourcedirectory/?{query}", Code.POST, links, **options)
        assert answer.code.dotted == code


@pytest.mark.parametrize(
    ("path", "code", "answer"),
    [
        ("resourcedirectory/", Code.GET, "4.05"),
        ("resourcedirectory/", Code.PUT, "4.05"),
        ("resourcedirectory/none", Code.GET, "4.04"),
        ("resourcedirectory/a/b", Code.GET, "4.04"),
        ("endpoint-lookup/", Code.POST, "4.05"),
        ("endpoint-lookup/x", Code.GET, "4.04"),
        ("endpoint-lookup/?page=1", Code.GET, "4.00"),
        (".well-known/rd", Code.POST, "4.05"),
    ],
)
async def test_what_the_directory_does_not_offer(tmp_path: Path, path: str, code: Code, answer: str) -> None:
    async with file_server(tmp_path) as (context, url, _):
        assert (await ask(context, f"{url}/{path}", code)).code.dotted == answer


async def test_an_update_may_change_and_not_rename(tmp_path: Path) -> None:
    async with file_server(tmp_path) as (context, url, _):
        location = f"{url}/" + "/".join((await register(context, url)).opt.location_path)
        assert (await ask(context, f"{location}?base=coap://h:9", Code.POST)).code == Code.CHANGED
        assert b'base="coap://h:9"' in (await ask(context, f"{url}/endpoint-lookup/")).payload
        for query in ("ep=x", "d=x", "lt=0"):
            assert (await ask(context, f"{location}?{query}", Code.POST)).code == Code.BAD_REQUEST
        assert (await ask(context, location, Code.POST, b"</x>")).code == Code.REQUEST_ENTITY_TOO_LARGE
