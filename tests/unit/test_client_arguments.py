"""What people write on the command line."""

from __future__ import annotations

import pytest

from client.addresses import authority, base_url, is_address
from client.arguments import helper_ids, hex_bytes, number, region, store_changes
from device.api import RegionSpec
from device.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"), [("", b""), ("00ff", b"\0\xff"), ("0x00ff", b"\0\xff"), ("00 ff", b"\0\xff")]
)
def test_hex(text: str, value: bytes) -> None:
    assert hex_bytes(text, "--context") == value


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("00", RegionSpec(b"\0", writable=True)),
        ("00:ro", RegionSpec(b"\0", writable=False)),
        ("00:rw", RegionSpec(b"\0", writable=True)),
    ],
)
def test_regions(text: str, spec: RegionSpec) -> None:
    assert region(text) == spec


@pytest.mark.parametrize(
    ("text", "ids"), [(None, None), ("", ()), ("0x01,19", (1, 19)), ("1 2, 0x13", (1, 2, 0x13))]
)
def test_helper_lists(text: str | None, ids: tuple[int, ...] | None) -> None:
    assert helper_ids(text) == ids


@pytest.mark.parametrize(
    ("texts", "changes"),
    [
        ((), {}),
        (("1=2",), {"1": 2}),
        (("0x10=0xff", "3="), {"16": 255, "3": None}),
        (("1=-1",), {"1": 0xFFFFFFFF}),
    ],
)
def test_store_changes(texts: tuple[str, ...], changes: dict[str, int | None]) -> None:
    assert store_changes(texts) == changes


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: hex_bytes("0", "--context"),
        lambda: hex_bytes("zz", "--context"),
        lambda: region("00:x"),
        lambda: helper_ids("printf"),
        lambda: number("", "--seq"),
        lambda: store_changes(["1"]),
        lambda: store_changes(["a=1"]),
        lambda: store_changes(["1=4294967296"]),
        lambda: base_url("http://host"),
        lambda: base_url("coap://"),
        lambda: base_url("coap://user@host"),
        lambda: base_url("coap://host?x=1"),
        lambda: base_url("host:port"),
    ],
)
def test_what_cannot_be_meant_is_a_readable_refusal(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ConfigError) as refused:
        wrong()
    assert refused.value.detail


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost", "coap://localhost"),
        ("coap://localhost:5683/", "coap://localhost"),
        ("10.0.0.1:5710", "coap://10.0.0.1:5710"),
        ("[::1]:5710", "coap://[::1]:5710"),
        ("::1", "coap://[::1]"),
        ("coap://host/sub/", "coap://host/sub"),
    ],
)
def test_base_urls(text: str, url: str) -> None:
    assert base_url(text) == url


@pytest.mark.parametrize(
    ("selector", "address"),
    [
        ("calm-otter", False),
        ("host:1", True),
        ("10.0.0.1", True),
        ("::1", True),
        ("coap://x", True),
        ("host", False),
    ],
)
def test_names_and_addresses(selector: str, address: bool) -> None:
    assert is_address(selector) is address


def test_authority() -> None:
    assert authority("coap://10.0.0.1:5710") == "10.0.0.1:5710"
