"""The directory's rules without a network: names, lifetimes, bounds, and reading link-format."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.errors import Forbidden, MalformedRequest, NotFound, Unavailable
from fileserver.directory import Directory
from fileserver.links import parse_links
from fileserver.parameters import Parameters, parameters_of


class Setting:
    """A directory with a clock of its own and numbered ids."""

    def __init__(self, capacity: int = 10) -> None:
        self.now = 0.0
        self.changes = 0
        self.log: list[str] = []
        self._ids = iter(range(10_000))
        self.directory = Directory(
            capacity=capacity,
            clock=lambda: self.now,
            random_id=lambda: str(next(self._ids)),
            changed=self._changed,
            log=self.log.append,
        )

    def _changed(self) -> None:
        self.changes += 1

    def add(self, query: str, host: str = "10.0.0.1", links: str = "") -> str:
        parameters = parameters_of(query.split("&"))
        return self.directory.register(host, f"coap://{host}", parameters, parse_links(links, most=10)).id

    def names(self, *query: str) -> list[str]:
        return [dict(link.attr_pairs)["ep"] for link in self.directory.endpoints(query)]


def test_a_live_name_belongs_to_the_first_who_took_it() -> None:
    s = Setting()
    first = s.add("ep=a&lt=60")
    with pytest.raises(Forbidden) as caught:
        s.add("ep=a&lt=60", host="10.0.0.2")
    assert caught.value.code == "name-taken"
    s.now = 59.9
    with pytest.raises(Forbidden):
        s.add("ep=a&lt=60", host="10.0.0.2")
    s.now = 60
    second = s.add("ep=a&lt=60", host="10.0.0.2")
    assert first != second
    assert s.names() == ["a"]


def test_the_same_name_in_another_sector_is_another_endpoint() -> None:
    s = Setting()
    assert s.add("ep=a") != s.add("ep=a&d=x", host="10.0.0.2")


def test_registering_again_keeps_the_location_and_replaces_the_rest() -> None:
    s = Setting()
    first = s.add("ep=a&lt=60&board=one", links="</x>")
    s.now = 30
    assert s.add("ep=a&lt=60&slots=5") == first
    registration = s.directory.get(first)
    assert (registration.attributes, registration.links) == ({"slots": ["5"]}, [])
    s.now = 89
    assert s.names() == ["a"]


def test_an_update_renews_and_changes() -> None:
    s = Setting()
    ident = s.add("ep=a&lt=60&board=one", links="</x>")
    before = s.changes
    s.now = 50
    s.directory.update("10.0.0.1", ident, {})
    assert s.changes == before, "a plain renewal is no news"
    s.directory.update("10.0.0.1", ident, {"base": ["coap://[::1]:7"], "lt": ["10"]})
    assert s.changes == before + 1
    assert [link.href for link in s.directory.resources([])] == ["coap://[::1]:7/x"]
    s.now = 61
    assert s.names() == []
    assert s.log[-1].startswith("a is gone")


@pytest.mark.parametrize("what", ["update", "remove"])
def test_only_its_own_host_changes_a_registration(what: str) -> None:
    s = Setting()
    ident = s.add("ep=a")
    with pytest.raises(Forbidden):
        s.directory.remove("10.0.0.2", ident) if what == "remove" else s.directory.update(
            "10.0.0.2", ident, {}
        )
    with pytest.raises(NotFound):
        s.directory.remove("10.0.0.1", "other")
    s.directory.remove("10.0.0.1", ident)
    assert s.names() == []


def test_the_directory_is_bounded_and_renewals_always_fit() -> None:
    s = Setting(capacity=3)
    for name in "abc":
        s.add(f"ep={name}&lt=60")
    with pytest.raises(Unavailable):
        s.add("ep=d")
    s.add("ep=a&lt=90")
    s.now = 60
    s.add("ep=d")
    assert s.names() == ["a", "d"]


@pytest.mark.parametrize(
    "query",
    [
        "lt=60",
        "ep=",
        "ep=a&ep=b",
        "ep=" + "a" * 64,
        "ep=a\x00",
        'ep=a"b',
        "ep=a\\",
        "ep=a\u202eb",
        "ep=a&d=\n",
        "ep=a&lt=0",
        "ep=a&lt=-1",
        "ep=a&lt=x",
        "ep=a&lt=90001",
        "ep=a&lt=1e3",
        "ep=a&lt=99999999999",
        "ep=a&lt=1&lt=2",
        "ep=a&base=host",
        "ep=a&base=http://x",
        "ep=a&base=coap://h/path",
        "ep=a&base=coap://h?q",
        "ep=a&base=",
        "ep=a&base=coap://" + "a" * 250,
        "ep=a&href=x",
        "ep=a&rt=x",
        "ep=a&page=1",
        "ep=a&na me=x",
        "ep=a&=x",
        "ep=a&x=" + "y" * 256,
        "ep=a&x=\x1b[2J",
        "ep=a&" + "&".join(f"x{n}=1" for n in range(17)),
        "ep=a&flag",
        "ep=a&" + "n" * 64 + "=1",
    ],
    ids=repr,
)
def test_what_is_no_registration_is_refused(query: str) -> None:
    s = Setting()
    with pytest.raises(MalformedRequest):
        s.add(query)
    assert len(s.directory) == 0


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ((), ["a", "b", "c"]),
        (("et=micro-bpf",), ["a", "b"]),
        (("et=micro-bpf", "board=two"), ["b"]),
        (("ep=a",), ["a"]),
        (("board=*",), ["a", "b"]),
        (("board=t*",), ["b"]),
        (("rt=temp",), ["c"]),
        (("href=/resourcedirectory/1",), ["b"]),
        (("href=coap://10.0.0.1/sensor",), ["c"]),
        (("rt=core.rd-ep",), ["a", "b", "c"]),
        (("nothing=x",), []),
        (("page=0", "count=2"), ["a", "b"]),
        (("page=1", "count=2"), ["c"]),
        (("page=9", "count=2"), []),
        (("count=1", "et=micro-bpf"), ["a"]),
    ],
)
def test_endpoint_lookup(query: tuple[str, ...], names: list[str]) -> None:
    s = Setting()
    s.add("ep=a&et=micro-bpf&board=one")
    s.add("ep=b&et=micro-bpf&board=two")
    s.add("ep=c", links='</sensor>;rt="temp light"')
    assert s.names(*query) == names


def test_resource_lookup() -> None:
    s = Setting()
    s.add("ep=a&base=coap://h:7", links='</x>;rt="one",</y>;rt="two"')
    s.add("ep=b", links='</x>;rt="one"')
    assert [link.href for link in s.directory.resources(["rt=one"])] == ["coap://h:7/x", "coap://10.0.0.1/x"]
    assert [link.href for link in s.directory.resources(["ep=a"])] == ["coap://h:7/x", "coap://h:7/y"]
    assert [link.href for link in s.directory.resources(["ep=a", "rt=two"])] == ["coap://h:7/y"]


@pytest.mark.parametrize("query", ["page=1", "page=x&count=1", "count=-1", "flag", "&".join(["x=1"] * 17)])
def test_what_is_no_lookup_is_refused(query: str) -> None:
    with pytest.raises(MalformedRequest):
        Setting().directory.endpoints(query.split("&"))


def test_a_full_directory_is_searched_in_time() -> None:
    s = Setting(capacity=2000)
    links = ",".join(f'</r{n}>;rt="t{n}"' for n in range(10))
    for number in range(2000):
        s.add(f"ep=d{number}&et=micro-bpf&board=b{number}", links=links)
    started = time.perf_counter()
    assert s.names("board=b1999") == ["d1999"]
    assert time.perf_counter() - started < 5


# Reading link-format


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("", []),
        ("</x>", [("/x", [])]),
        ("<>", [("", [])]),
        ("</a>,</b>", [("/a", []), ("/b", [])]),
        (' </a> ;  rt="x" , </b>\n', [("/a", [("rt", "x")]), ("/b", [])]),
        (
            '</s>;obs;ct=4;title="a \\"b\\", c;<d>"',
            [("/s", [("obs", None), ("ct", "4"), ("title", 'a "b", c;<d>')])],
        ),
        ("</s>;sz=", [("/s", [("sz", "")])]),
        ('<coap://[::1]:7/x?a=b>;rt="a b"', [("coap://[::1]:7/x?a=b", [("rt", "a b")])]),
    ],
)
def test_link_format_is_read(text: str, links: list[tuple[str, list[tuple[str, str | None]]]]) -> None:
    found = parse_links(text, most=9)
    assert [(link.href, [tuple(pair) for pair in link.attr_pairs]) for link in found] == links


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "<",
        "</a",
        "</a></b>",
        "</a>,",
        ",",
        "</a>;",
        "</a>;=x",
        '</a>;t="',
        '</a>;t="\\',
        "</a>;t=\x00",
        "</a b>",
        '</a">',
        "</a>,,</b>",
        "</a>;a;b x",
        "<\n>",
        ",".join(["<a>"] * 10),
    ],
    ids=repr,
)
def test_what_is_no_link_format_is_refused(text: str) -> None:
    with pytest.raises(MalformedRequest):
        parse_links(text, most=9)


@pytest.mark.parametrize(
    "text", ["<" + " " * 8000, "</a>" + ";" * 8000, '</a>;t="' + "\\" * 7999, " ," * 4000]
)
def test_hostile_links_take_no_time(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(MalformedRequest):
        parse_links(text, most=256)
    assert time.perf_counter() - started < 5


@given(st.text(alphabet='<>;,="\\ /ab\n', max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    with suppress(MalformedRequest):
        assert len(parse_links(text, most=5)) <= 5


@given(
    st.dictionaries(st.text(max_size=9), st.lists(st.text(max_size=9), min_size=1, max_size=2), max_size=4)
)
def test_no_parameters_raise_anything_else(parameters: Parameters) -> None:
    directory = Directory()
    try:
        directory.register("10.0.0.1", "coap://10.0.0.1", {"ep": ["a"], **parameters}, [])
    except MalformedRequest:
        assert len(directory) == 0
