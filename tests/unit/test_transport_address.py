"""Addresses and URLs: what is read, what is refused, and that reading and writing agree."""

from __future__ import annotations

import socket

import pytest
from aiocoap import Code

from device.errors import ConfigError, TransportError
from device.transport import Authority, parse_authority, parse_url, source_address
from device.transport.exchange import transport_url

LOOPBACK = socket.if_indextoname(1)


@pytest.mark.parametrize(
    ("text", "host", "port", "url"),
    [
        ("localhost", "localhost", 5683, "coap://localhost"),
        ("fileserver:5684", "fileserver", 5684, "coap://fileserver:5684"),
        ("192.0.2.7", "192.0.2.7", 5683, "coap://192.0.2.7"),
        ("192.0.2.7:1", "192.0.2.7", 1, "coap://192.0.2.7:1"),
        ("[::1]", "::1", 5683, "coap://[::1]"),
        ("[2001:DB8:0::1]:65535", "2001:db8::1", 65535, "coap://[2001:db8::1]:65535"),
        ("::1", "::1", 5683, "coap://[::1]"),
        ("fd00::2:5710", "fd00::2:5710", 5683, "coap://[fd00::2:5710]"),
        (f"[fe80::1%{LOOPBACK}]:7", f"fe80::1%{LOOPBACK}", 7, f"coap://[fe80::1%25{LOOPBACK}]:7"),
        ("[fe80::1%1]", f"fe80::1%{LOOPBACK}", 5683, f"coap://[fe80::1%25{LOOPBACK}]"),
    ],
)
def test_an_authority_is_read_and_written(text: str, host: str, port: int, url: str) -> None:
    authority = parse_authority(text)
    assert (authority.host, authority.port, authority.url) == (host, port, url)
    assert parse_authority(authority.hostinfo) == authority
    assert parse_url(authority.url).authority == authority


@pytest.mark.parametrize(
    "text",
    [
        "", ":5683", "host:", "host:0", "host:65536", "host:99999999999", "host:-1", "host:+1", "host: 1",
        "host:\u0661",
        "ho st", "host/path", "user@host", "[::1", "[]:1", "[::1]x", "[localhost]", "[192.0.2.7]", "[::1]:",
        "300.1.1.1", "1.2.3", "[fe80::1%4000000]", "a" * 254, "h\x00st", "host:1:2", "[v7.x]",
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_authority_is_named(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_authority(text)
    assert caught.value.code == "bad-address"
    assert repr(text) in caught.value.detail


@pytest.mark.parametrize(
    ("text", "path", "query"),
    [
        ("coap://host", (), ()),
        ("coap://host/", (), ()),
        ("coap://host/a/b", ("a", "b"), ()),
        ("coap://host/a/", ("a", ""), ()),
        ("coap://host//a", ("", "a"), ()),
        ("coap://host/%C3%A9%2Fx?k=v&l", ("é/x",), ("k=v", "l")),
        ("coap://[::1]:7/x?a=1%262", ("x",), ("a=1&2",)),
    ],
)
def test_a_url_is_read_and_written(text: str, path: tuple[str, ...], query: tuple[str, ...]) -> None:
    url = parse_url(text)
    assert (url.path, url.query) == (path, query)
    assert parse_url(str(url)) == url


@pytest.mark.parametrize(
    "text",
    [
        "", "host/x", "http://host/x", "coaps://host/x", "coap:/host", "coap://", "coap:///x", "coap://host/x#f",
        "coap://u@host/x", "coap://u:p@host/x", "coap://host/a b", "coap://host/%ff",
        "coap://host/" + "a" * 256,
        "coap://host:x/", "coap://[::1/x", "coap://host/\x00", "COAP //host",
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_url_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_url(text)
    with pytest.raises(TransportError) as caught:
        transport_url(text)
    assert caught.value.code == "address"


def test_a_name_is_sent_as_uri_host_and_an_address_is_not() -> None:
    assert parse_url("coap://Host/x").message(Code.GET).opt.uri_host == "host"
    assert parse_url("coap://[::1]/x").message(Code.GET).opt.uri_host is None
    assert parse_url("coap://192.0.2.7/x").message(Code.GET).opt.uri_host is None


def test_the_source_address_is_ours() -> None:
    assert source_address(Authority("127.0.0.1")) == "127.0.0.1"
    with pytest.raises(ConfigError, match="not known"):
        source_address(Authority("no-such-host.invalid"))
