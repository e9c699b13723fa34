"""suit_vectors.json against a device: verdict, slots, number, and no fetch before the plan stands.

And envelopes that other implementations signed.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

from client.inspection import inspect
from device.errors import SuitError
from device.suit.envelope import verify
from tests.conformance.suit_cases import FILE, text
from tests.suit_device import device

VECTORS: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["vectors"]


def test_the_vectors_are_what_we_emit() -> None:
    assert FILE.read_text(encoding="utf-8") == text()
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS) > 200


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
async def test_vector(vector: dict[str, Any]) -> None:
    expected = vector["expect"]
    async with device(components=3, envelope=2048) as d:
        d.files |= {url: bytes.fromhex(content) for url, content in vector["files"].items()}
        status = await d.update(bytes.fromhex(vector["envelope"]))
        number, slots = d.state()
        stored = {str(slot): one.image.hex() for slot, one in enumerate(slots) if one is not None}
        assert (status.result, number, stored, [url for url, _ in d.images_asked]) == (
            expected["result"],
            expected["sequence_number"],
            expected["slots"],
            expected["asked"],
        )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_each_vector_is_readable(vector: dict[str, Any]) -> None:
    found = inspect(bytes.fromhex(vector["envelope"]))
    assert found.text
    if vector["expect"]["result"] == "OK":
        assert found.problems == ()
        assert found.plan is not None
        assert sorted(o.slot for o in found.plan.operations) == sorted(map(int, vector["expect"]["slots"]))
        assert "unknown" not in "".join(found.text)


# draft-ietf-suit-manifest, examples 1 and 3, signed with ESP256 by its authors' key.
EXAMPLES = {
    "download and install": (
        "d86ba2025873825824822f58201f2e7acca0dc2786f2fe4eb947f50873a6a3cfaa98866c5b02e621f42074daf2584ad28443a101"
        "28a0f6584099149241cc392690aa15590cc0d97b8bf5084b3efbf2ca82f33179eed6e7370e44517bdd75f5bab97773fca4601e1a"
        "da8a5068619de0c648c1208e5a16141d21035894a50101020103585fa202818141000458568614a40150fa6b4a53d5ad5fdfbe9d"
        "e663e4d41ffe02501492af1425695e48bf429b2d51f2ab45035824822f582000112233445566778899aabbccddeeff0123456789"
        "abcdeffedcba98765432100e1987d0010f020f074382030f1458258614a115781b687474703a2f2f6578616d706c652e636f6d2f"
        "66696c652e62696e1502030f"
    ),
    "A/B images": (
        "d86ba2025873825824822f5820f6d44a62ec906b392500c242e78e908e9cc5057f3f04104a06a8566200da2ee0584ad28443a101"
        "28a0f65840ea86dc90cf2c9e20123d44499b826b2e8f40d6da700bfc8a8f3b52baccbdaab81107d93c7a4a360cc25221adf98f59"
        "6de0aeb856fb5b614bc552443f2c50328e0359010fa5010102030358a4a2028181410004589b8814a20150fa6b4a53d5ad5fdfbe"
        "9de663e4d41ffe02501492af1425695e48bf429b2d51f2ab450f8258348614a10500050514a2035824822f582000112233445566"
        "778899aabbccddeeff0123456789abcdeffedcba98765432100e1987d058368614a10501050514a2035824822f58200123456789"
        "abcdeffedcba987654321000112233445566778899aabbccddeeff0e1a00012c22010f020f074382030f14585b860f8258288614"
        "a10500050514a115781c687474703a2f2f6578616d706c652e636f6d2f66696c65312e62696e58288614a10501050514a115781c"
        "687474703a2f2f6578616d706c652e636f6d2f66696c65322e62696e1502030f"
    ),
}
AUTHORS = EllipticCurvePublicKey.from_encoded_point(
    SECP256R1(),
    bytes.fromhex(
        "048496811aae0baaabd26157189eecda26beaa8bf11b6f3fe6e2b5659c85dbc0ad"
        "3b1f2a4b6c098131c0a36dacd1d78bd381dcdfb09c052db33991db7338b4a896"
    ),
)


@pytest.mark.parametrize("name", EXAMPLES)
async def test_examples_of_the_draft(name: str) -> None:
    """They verify, are readable, and are for another device than ours: it has no component called 00."""
    envelope = bytes.fromhex(EXAMPLES[name])
    assert verify(envelope, [AUTHORS]).signers == (AUTHORS,)
    for index in range(0, len(envelope), 7):
        changed = envelope[:index] + bytes([envelope[index] ^ 1]) + envelope[index + 1 :]
        with pytest.raises(SuitError):
            verify(changed, [AUTHORS])
    assert "sequence number" in "".join(inspect(envelope).text)
    async with device(keys=(AUTHORS,), number=1) as d:
        expected = "ROLLBACK" if name == "download and install" else "UNKNOWN_COMPONENT"
        assert await d.refused(envelope) == expected
