"""The extra regions of a run request, in both encodings (api.md, "Run request")."""

from __future__ import annotations

import cbor2
import pytest

from device.api import CBOR, JSON, ExecRequest, RegionSpec, decode_body


@pytest.mark.parametrize(
    ("payload", "content_format"),
    [
        pytest.param(cbor2.dumps({"regions": [{"bytes": b"\x01\x02", "writable": True}]}), CBOR, id="CBOR"),
        pytest.param(b'{"regions": [{"bytes": "0102", "writable": true}]}', JSON, id="JSON"),
    ],
)
def test_a_region_is_decoded(payload: bytes, content_format: int) -> None:
    request = ExecRequest.from_map(decode_body(payload, content_format))
    assert request.regions == (RegionSpec(b"\x01\x02", writable=True),)
