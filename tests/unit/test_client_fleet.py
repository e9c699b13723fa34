"""Who a command is for, and doing something with all of them."""

from __future__ import annotations

import asyncio

import pytest

from client.connection import Connection
from client.directory import Target, registered
from client.fleet import for_each, group, named, resolve
from client.linkformat import parse_links
from client.locks import Locks
from device.errors import ConfigError, NotFound, TransportError
from tests.unit.client_fakes import FakeFiles, FakeNetwork

SERVER = "coap://files"


def link(name: str, port: int, *, board: str = "native", srv: str = "coap://files") -> str:
    return (
        f'</r/{port}>;ep="{name}";base="coap://10.0.0.1:{port}";et="micro-bpf";board="{board}";'
        f'slots="5";srv="{srv}";rt="core.rd-ep"'
    )


TWO = ",".join([link("otter", 5711), link("heron", 5710, board="nucleo-f446re")])


def network(links: str) -> FakeNetwork:
    return FakeNetwork({"files": FakeFiles(links)})


async def find(links: str, *selectors: str) -> list[Target]:
    async with Connection(network(links)) as connection:
        return await resolve(connection, SERVER, selectors)


async def test_the_directory() -> None:
    async with Connection(network(TWO)) as connection:
        found = await registered(connection, SERVER)
    assert found == [
        Target("heron", "coap://10.0.0.1:5710", "nucleo-f446re", 5, "coap://files"),
        Target("otter", "coap://10.0.0.1:5711", "native", 5, "coap://files"),
    ]


@pytest.mark.parametrize(
    "links",
    [
        "",
        "nothing",
        '</r>;ep="x"',
        '</r>;ep="x";base="http://host"',
        '</r>;ep="x";base="coap://h:99999"',
        '</r>;ep="x";base="coap://h";srv="coap://user@h"',
    ],
)
async def test_what_is_no_device_is_left_out(links: str) -> None:
    async with Connection(network(links)) as connection:
        assert await registered(connection, SERVER) == []


LINKS = [
    ("one", "</a>;x=1;y", [("/a", {"x": "1", "y": ""})]),
    ("quoted comma", '</a>;x="1,2;3",</b>', [("/a", {"x": "1,2;3"}), ("/b", {})]),
    ("escaped quote", r'</a>;x="\"\\"', [("/a", {"x": '"\\'})]),
    ("first counts", "</a>;x=1;x=2", [("/a", {"x": "1"})]),
    ("cut", "</a>,</b", [("/a", {})]),
    ("empty", "", []),
]


@pytest.mark.parametrize(("text", "links"), [row[1:] for row in LINKS], ids=[row[0] for row in LINKS])
def test_link_format(text: str, links: list[tuple[str, dict[str, str]]]) -> None:
    assert [(found.target, found.attributes) for found in parse_links(text)] == links


SELECTIONS: list[tuple[str, str, tuple[str, ...], list[str]]] = [
    ("the only one", link("otter", 5711), (), ["otter"]),
    ("by name", TWO, ("otter",), ["otter"]),
    ("all", TWO, ("all",), ["heron", "otter"]),
    ("named twice", TWO, ("otter", "all", "otter"), ["otter", "heron"]),
    ("by address", TWO, ("10.0.0.9:5710",), ["10.0.0.9:5710"]),
    ("name and address", TWO, ("10.0.0.1:5711", "heron"), ["otter", "heron"]),
]


@pytest.mark.parametrize(
    ("links", "selectors", "names"), [row[1:] for row in SELECTIONS], ids=[row[0] for row in SELECTIONS]
)
async def test_selections(links: str, selectors: tuple[str, ...], names: list[str]) -> None:
    assert [target.name for target in await find(links, *selectors)] == names


REFUSALS: list[tuple[str, str, tuple[str, ...], str]] = [
    ("unknown", TWO, ("badger",), "unknown-device"),
    ("several", TWO, (), "which-device"),
    ("none", "", (), "no-device"),
    ("all of none", "", ("all",), "no-device"),
]


@pytest.mark.parametrize(
    ("links", "selectors", "code"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
async def test_selections_that_mean_nobody(links: str, selectors: tuple[str, ...], code: str) -> None:
    with pytest.raises(ConfigError) as refused:
        await find(links, *selectors)
    assert refused.value.code == code
    assert refused.value.hint or code == "no-device"


async def test_an_address_needs_no_directory_and_a_name_does() -> None:
    async with Connection(FakeNetwork()) as connection:
        assert [target.base for target in await resolve(connection, SERVER, ["h:1"])] == ["coap://h:1"]
        with pytest.raises(TransportError) as error:
            await resolve(connection, SERVER, ["otter"])
    assert "directory" in error.value.detail
    assert "--server" in error.value.hint


def test_two_devices_of_one_name_are_told_apart() -> None:
    twins = [Target("a", "coap://x:1"), Target("a", "coap://x:2"), Target("b", "coap://x:3")]
    assert [target.name for target in named(twins)] == ["a@x:1", "a@x:2", "b"]


def test_groups_are_by_srv_and_board_with_the_largest_last() -> None:
    def target(name: str, srv: str | None) -> Target:
        return Target(name, f"coap://{name}", srv=srv)

    members = [
        (target("a", "coap://one"), "native"),
        (target("b", "coap://two"), "native"),
        (target("c", "coap://one"), "native"),
        (target("d", "coap://one"), "nucleo"),
        (target("e", None), "native"),
    ]
    found = group(members, fetch_base=None, server="coap://mine")
    assert [(g.fetch_base, g.board, [t.name for t in g.targets]) for g in found] == [
        ("coap://mine", "native", ["e"]),
        ("coap://one", "nucleo", ["d"]),
        ("coap://two", "native", ["b"]),
        ("coap://one", "native", ["a", "c"]),
    ]
    overridden = group(members, fetch_base="coap://fetch", server="coap://mine")
    assert [(g.fetch_base, g.board) for g in overridden] == [
        ("coap://fetch", "nucleo"),
        ("coap://fetch", "native"),
    ]


async def test_one_failure_stops_no_other() -> None:
    targets = [Target(name, f"coap://{name}") for name in "abc"]

    async def action(target: Target) -> str:
        if target.name == "b":
            raise NotFound("not here")
        return target.name.upper()

    told: list[str | None] = []
    outcomes = await for_each(targets, action, on_done=lambda _target, outcome: told.append(outcome.device))
    assert [(o.device, o.ok, o.result) for o in outcomes] == [
        ("a", True, "A"),
        ("b", False, None),
        ("c", True, "C"),
    ]
    assert sorted(map(str, told)) == ["a", "b", "c"]


async def test_at_most_so_many_at_a_time() -> None:
    running = most = 0

    async def action(_target: Target) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await for_each([Target(str(i), f"coap://{i}") for i in range(20)], action, limit=4)
    assert most == 4


async def test_updates_of_one_device_wait_for_each_other_and_others_do_not() -> None:
    locks = Locks()
    order: list[str] = []

    async def hold(name: str, *devices: str) -> bool:
        async with locks.hold(devices) as waited:
            order.append(f"{name} in")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            order.append(f"{name} out")
            return waited

    waited = await asyncio.gather(hold("1", "a", "b"), hold("2", "b", "a"), hold("3", "c"))
    assert tuple(waited) == (False, True, False)
    assert order.index("1 out") < order.index("2 in")
    assert order.index("3 in") < order.index("1 out")
