"""Updates that others made, as bytes: verdict, slots, number, and what was fetched and when.

    riot_vectors.json   RIOT's gen_key.py, gen_manifest.py and suit-tool (create, sign, sever)
    ietf_vectors.json   the current draft's layout, written with cbor2 alone and signed by pycose

Nothing of this project took part in making them, so they cannot be made anew here: what was expected was
written down beside each from suit.md, and `how` says what made it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from client.inspection import inspect
from device.errors import SuitError
from device.suit import build, keys
from device.suit.envelope import verify
from device.suit.plan import DeviceState, plan
from tests.suit_device import device
from tests.suit_manifests import BOARD
from tests.unit.test_suit import STATE

FOLDER = Path(__file__).parent
FILES: dict[str, dict[str, Any]] = {
    name: json.loads((FOLDER / f"{name}_vectors.json").read_text(encoding="utf-8"))
    for name in ("riot", "ietf")
}
VECTORS = [(name, vector) for name, file in FILES.items() for vector in file["vectors"]]
EACH = pytest.mark.parametrize(
    ("peer", "vector"), VECTORS, ids=[f"{name}: {vector['name']}" for name, vector in VECTORS]
)


def trusted(peer: str) -> tuple[Any, ...]:
    """The public keys of a file of vectors."""
    return tuple(load_pem_public_key(pem.encode()) for pem in FILES[peer]["keys"].values())


def test_there_are_several_hundred_of_each_kind() -> None:
    assert [len(FILES[name]["vectors"]) for name in ("riot", "ietf")] == [224, 214]
    results = {vector["expect"]["result"] for _, vector in VECTORS}
    assert len(results) > 20
    assert all(file["board"] == BOARD for file in FILES.values())


@EACH
async def test_what_a_device_makes_of_it(peer: str, vector: dict[str, Any]) -> None:
    file = FILES[peer]
    async with device(
        keys=trusted(peer), components=file["components"], envelope=file["envelope_limit"]
    ) as d:
        d.files |= {url: bytes.fromhex(content) for url, content in vector["files"].items()}
        status = await d.update(bytes.fromhex(vector["envelope"]))
        number, slots = d.state()
        found = {
            "result": status.result,
            "sequence_number": number,
            "slots": {str(slot): one.image.hex() for slot, one in enumerate(slots) if one is not None},
            "asked": [url for url, _ in d.images_asked],
        }
    assert found == vector["expect"], (status.where, status.detail)


@EACH
def test_it_is_readable(peer: str, vector: dict[str, Any]) -> None:
    found = inspect(bytes.fromhex(vector["envelope"]))
    assert found.text
    if vector["expect"]["result"] == "OK":
        assert found.problems == ()
        assert found.plan is not None


PUBLISHED = [vector for vector in FILES["riot"]["vectors"] if "published" in vector]


@pytest.mark.parametrize("vector", PUBLISHED, ids=lambda vector: vector["name"])
def test_ours_are_the_same_bytes_as_riots(vector: dict[str, Any], tmp_path: Path) -> None:
    """What RIOT's tools make of some images, and its devices take, is what our publisher makes of them."""
    pem = tmp_path / "riot.pem"
    pem.write_text(FILES["riot"]["private"]["a"], encoding="ascii")
    images = [
        build.Image(slot, uri, bytes.fromhex(vector["expect"]["slots"][str(slot)]))
        for slot, uri in vector["published"]["images"]
    ]
    first, *further = images
    number = vector["published"]["seq"]
    described = build.Description(BOARD, first.slot, number, first.uri, first.image, further=tuple(further))
    signed = build.sign_manifest(build.build_manifest(described), [keys.load_private(pem)])
    assert signed.hex() == vector["envelope"]


def test_keys_of_riots_tools(tmp_path: Path) -> None:
    file = FILES["riot"]
    for name, passphrase in (("a", None), ("locked", file["passphrase"].encode())):
        path = tmp_path / f"{name}.pem"
        path.write_text(file["private"][name], encoding="ascii")
        made = load_pem_public_key(file["keys"][name].encode())
        assert keys.load_private(path, passphrase).public_key() == made


# Examples 2 and 5 of draft-ietf-suit-manifest, signed with ESP256 by its authors' key: one with its severed
# members beside it, one for two components. Examples 1 and 3 are in test_suit_vectors.py.
AUTHORS = EllipticCurvePublicKey.from_encoded_point(
    SECP256R1(),
    bytes.fromhex(
        "048496811aae0baaabd26157189eecda26beaa8bf11b6f3fe6e2b5659c85dbc0ad"
        "3b1f2a4b6c098131c0a36dacd1d78bd381dcdfb09c052db33991db7338b4a896"
    ),
)
SECURE_BOOT = bytes.fromhex(
    "d86ba4025873825824822f58206a5197ed8f9dccf733d1c89a359441708e070b4c6dcb9a1c2c82c6165f609b90584ad28443a1"
    "0128a0f6584057c963cd2821b99f7b0d2760265a57cadc9f341d5946b596385689721d659503fce306c592d8fd8aa71e05a063"
    "bd7cabce6dcf91ca325e44f16c5ae00380df1b0358d1a80101020203585fa202818141000458568614a40150fa6b4a53d5ad5f"
    "dfbe9de663e4d41ffe02501492af1425695e48bf429b2d51f2ab45035824822f582000112233445566778899aabbccddeeff01"
    "23456789abcdeffedcba98765432100e1987d0010f020f047468747470733a2f2f6769742e696f2f4a4a596f6a074382030f09"
    "4382170214822f5820cfa90c5c58595e7f5119a72f803fd0370b3e6abbec6315cd38f63135281bc49817822f5820302196d452"
    "bce5e8bfeaf71e395645ede6d365e63507a081379721eeecf0000714583c8614a1157832687474703a2f2f6578616d706c652e"
    "636f6d2f766572792f6c6f6e672f706174682f746f2f66696c652f66696c652e62696e1502030f1759020ba165656e2d5553a2"
    "0179019d2323204578616d706c6520323a2053696d756c74616e656f757320446f776e6c6f61642c20496e7374616c6c617469"
    "6f6e2c2053656375726520426f6f742c2053657665726564204669656c64730a0a2020202054686973206578616d706c652063"
    "6f766572732074686520666f6c6c6f77696e672074656d706c617465733a0a202020200a202020202a20436f6d706174696269"
    "6c69747920436865636b20287b7b74656d706c6174652d636f6d7061746962696c6974792d636865636b7d7d290a202020202a"
    "2053656375726520426f6f7420287b7b74656d706c6174652d7365637572652d626f6f747d7d290a202020202a204669726d77"
    "61726520446f776e6c6f616420287b7b6669726d776172652d646f776e6c6f61642d74656d706c6174657d7d290a202020200a"
    "2020202054686973206578616d706c6520616c736f2064656d6f6e7374726174657320736576657261626c6520656c656d656e"
    "747320287b7b6f76722d736576657261626c657d7d292c20616e64207465787420287b7b6d616e69666573742d646967657374"
    "2d746578747d7d292e814100a2036761726d2e636f6d0578525468697320636f6d706f6e656e7420697320612064656d6f6e73"
    "74726174696f6e2e205468652064696765737420697320612073616d706c65207061747465726e2c206e6f742061207265616c"
    "206f6e652e"
)
TWO_IMAGES = bytes.fromhex(
    "d86ba2025873825824822f582015ce60f77657e4531dc329155f8b0ed78f94bdc6d165b2665473693dcc34f470584ad28443a1"
    "0128a0f65840c0933c7918517d1141e1b91b734fbbb8cad5ebbd20e29e8d13e9150787486c957f31ba7301c792667aad370d28"
    "e07579dd27defe9a6642e2aba233262f41ceee03590101a601010205035895a202828141008141010458898c0c0014a40150fa"
    "6b4a53d5ad5fdfbe9de663e4d41ffe02501492af1425695e48bf429b2d51f2ab45035824822f582000112233445566778899aa"
    "bbccddeeff0123456789abcdeffedcba98765432100e1987d0010f020f0c0114a2035824822f58200123456789abcdeffedcba"
    "987654321000112233445566778899aabbccddeeff0e1a00012c220749880c00030f0c01030f0945840c00170214584f900c00"
    "14a115781c687474703a2f2f6578616d706c652e636f6d2f66696c65312e62696e1502030f0c0114a115781c687474703a2f2f"
    "6578616d706c652e636f6d2f66696c65322e62696e1502030f"
)
INSTALL, TEXT = 20, 23


def planned(envelope: bytes) -> str:
    """What a device says that would take this number; it has no component called 00."""
    state = DeviceState(STATE.identity, 1, STATE.slots, STATE.slot_size, ("example.com",), max_components=3)
    with pytest.raises(SuitError) as caught:
        plan(verify(envelope, [AUTHORS]), state)
    return str(caught.value.code)


def without(envelope: bytes, *members: int) -> bytes:
    """An envelope without some members: nobody signs which of the severed ones come along."""
    tagged = cbor2.loads(envelope)
    kept = {key: value for key, value in tagged.value.items() if key not in members}
    return cbor2.dumps(cbor2.CBORTag(tagged.tag, kept), canonical=True)


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        pytest.param(SECURE_BOOT, "UNKNOWN_COMPONENT", id="with everything"),
        pytest.param(without(SECURE_BOOT, TEXT), "UNKNOWN_COMPONENT", id="without its text"),
        pytest.param(without(SECURE_BOOT, INSTALL, TEXT), "UNKNOWN_COMPONENT", id="without both"),
        pytest.param(SECURE_BOOT[:-1] + b"!", "SEVERED_DIGEST", id="another text"),
        pytest.param(SECURE_BOOT.replace(b"file.bin", b"file.exe"), "SEVERED_DIGEST", id="another install"),
        pytest.param(TWO_IMAGES, "UNKNOWN_COMPONENT", id="two images"),
    ],
)
def test_severed_members_of_the_drafts_authors(envelope: bytes, code: str) -> None:
    assert planned(envelope) == code
    assert "sequence number" in "".join(inspect(envelope).text)
