"""The six fields of a pull and its configuration word, as µBPF's tools write them (suit.md section 11)."""

from __future__ import annotations

import pytest

from device.errors import MalformedRequest
from device.execution.access import Access, Point, Source
from device.server.configuration import Configuration, helpers_of
from device.server.pull import PullRequest
from device.vm.program import Layout

USUAL = "fe80cc9a73fffe4a47f6|suit_manifest0.signed|6|1c0||1"


def test_the_usual_pull() -> None:
    asked = PullRequest.of(USUAL)
    assert asked.url == "coap://[fe80::cc9a:73ff:fe4a:47f6%256]/suit_manifest0.signed"
    assert (asked.manifest, asked.erase) == ("suit_manifest0.signed", True)
    assert asked.configuration == Configuration(0, Layout.EXTENDED, Point.RUNTIME, Source.REQUEST)
    assert asked.access == Access()


HOSTS = {
    "32 digits": ("20010db8000000000000000000000001", "[2001:db8::1]"),
    "first and rest": ("fd000001", "[fd00::1]"),
    "first alone": ("fd00", "[fd00::]"),
    "seven groups": ("fd00000200030004000500060007", "[fd00:0:2:3:4:5:6:7]"),
    "upper case": ("FE800001", "[fe80::1%256]"),
    "brackets": ("[fd00::1]", "[fd00::1]"),
    "brackets and port": ("[fd00::1]:5700", "[fd00::1]:5700"),
    "link-local in brackets": ("[fe80::1]:5700", "[fe80::1%256]:5700"),
    "IPv4": ("192.0.2.1", "192.0.2.1"),
    "IPv4 and port": ("192.0.2.1:5700", "192.0.2.1:5700"),
    "name": ("server.example", "server.example"),
    "name and port": ("server:1", "server:1"),
}


@pytest.mark.parametrize(("written", "authority"), HOSTS.values(), ids=HOSTS)
def test_hosts(written: str, authority: str) -> None:
    assert PullRequest.of(f"{written}|m|6|0||0").url == f"coap://{authority}/m"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "fields"),
        ("a|b|c", "fields"),
        (f"{USUAL}|", "fields"),
        ("|m|6|0||0", "ip"),
        ("fe8|m|6|0||0", "ip"),
        (f"{'fe80' * 9}|m|6|0||0", "ip"),
        ("host/x|m|6|0||0", "ip"),
        ("a@b|m|6|0||0", "ip"),
        ("[fe80|m|6|0||0", "ip"),
        ("[1:2:3]|m|6|0||0", "ip"),
        ("[fe80::1%256]|m|6|0||0", "ip"),
        ("host:x|m|6|0||0", "ip"),
        ("host||6|0||0", "manifest"),
        (f"host|{'m' * 64}|6|0||0", "manifest"),
        ("host|m||0||0", "netif"),
        ("host|m|-1|0||0", "netif"),
        ("host|m|eth0|0||0", "netif"),
        ("host|m|6|||0", "config"),
        ("host|m|6|xyz||0", "config"),
        ("host|m|6|0x1c0||0", "config"),
        ("host|m|6|10000||0", "config"),
        ("host|m|6|1000||0", "config"),
        ("host|m|6|200||0", "config"),
        ("host|m|6|0|0||", "fields"),
        ("host|m|6|0|0|1", "helpers"),
        ("host|m|6|0|01 2|1", "helpers"),
        ("host|m|6|0|0g|1", "helpers"),
        ("host|m|6|0||2", "erase"),
        ("host|m|6|0||", "erase"),
    ],
)
def test_what_is_wrong_is_named(text: str, where: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        PullRequest.of(text)
    assert caught.value.where == where


@pytest.mark.parametrize("path", ["../x", "a/./b", "a%2eb", "a?b", "a#b", "a b", "a\\b"])
def test_paths_keep_to_the_policy(path: str) -> None:
    with pytest.raises(MalformedRequest):
        PullRequest.of(f"host|{path}|6|0||0")


WORDS = {
    "0": Configuration(0, Layout.TEXT, Point.AHEAD_OF_TIME, Source.REQUEST),
    "1": Configuration(0, Layout.TEXT, Point.AHEAD_OF_TIME, Source.REQUEST, femto=True),
    "1e": Configuration(15, Layout.TEXT, Point.AHEAD_OF_TIME, Source.REQUEST),
    "20": Configuration(0, Layout.FEMTO, Point.AHEAD_OF_TIME, Source.REQUEST),
    "60": Configuration(0, Layout.ELF, Point.AHEAD_OF_TIME, Source.REQUEST),
    "80": Configuration(0, Layout.TEXT, Point.LOAD_TIME, Source.REQUEST),
    "100": Configuration(0, Layout.TEXT, Point.PRE_FLIGHT, Source.REQUEST),
    "200": Configuration(0, Layout.TEXT, Point.AHEAD_OF_TIME, Source.BINARY),
    "400": Configuration(0, Layout.TEXT, Point.AHEAD_OF_TIME, Source.REQUEST, jit=True),
    "0C00": Configuration(0, Layout.TEXT, Point.AHEAD_OF_TIME, Source.REQUEST, jit=True, recompile=True),
}


@pytest.mark.parametrize(("text", "said"), WORDS.items(), ids=WORDS)
def test_bits(text: str, said: Configuration) -> None:
    assert Configuration.of(text) == said


def test_lists() -> None:
    assert helpers_of("0113ff") == (1, 0x13, 0xFF)
    assert helpers_of("") == ()
    assert PullRequest.of("host|m|6|80|01|0").access == Access((1,), Source.REQUEST, Point.LOAD_TIME)
    assert PullRequest.of("host|m|6|80||0").access == Access((), Source.REQUEST, Point.LOAD_TIME)
    assert PullRequest.of("host|m|6|2c0||0").access == Access((), Source.BINARY, Point.LOAD_TIME)
