"""Key files that are in the way, unreadable, of another kind, or not what their names say."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key

from device.errors import ConfigError
from device.suit import keys, trust


def test_a_public_half_in_the_way_leaves_no_private_one(tmp_path: Path) -> None:
    (tmp_path / "op.pem.pub").write_text("somebody's")
    with pytest.raises(ConfigError) as caught:
        keys.generate(tmp_path / "op.pem")
    assert caught.value.code == "key-exists"
    assert [path.name for path in tmp_path.iterdir()] == ["op.pem.pub"]
    assert (tmp_path / "op.pem.pub").read_text() == "somebody's"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot write"):
        keys.generate(tmp_path / "none" / "op.pem")
    with pytest.raises(ConfigError, match="cannot read"):
        keys.load_public(tmp_path / "none.pem.pub")


def test_a_private_key_is_no_public_one(tmp_path: Path) -> None:
    keys.generate(tmp_path / "op.pem")
    with pytest.raises(ConfigError) as caught:
        keys.load_public(tmp_path / "op.pem")
    assert caught.value.code == "private-key"


def test_keys_of_another_kind(tmp_path: Path) -> None:
    key = generate_private_key(SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "x.pem").write_bytes(private)
    (tmp_path / "x.pem.pub").write_bytes(public)
    with pytest.raises(ConfigError, match="no Ed25519 and no P-256 key"):
        keys.load_private(tmp_path / "x.pem")
    with pytest.raises(ConfigError, match="no Ed25519 and no P-256 key"):
        keys.load_public(tmp_path / "x.pem.pub")


@pytest.mark.parametrize("load", [keys.load_private, keys.load_public], ids=["private", "public"])
@pytest.mark.parametrize("content", [b"", b"no key", bytes(20_000)], ids=["empty", "text", "large"])
def test_what_is_no_key(tmp_path: Path, load: object, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "x")  # type: ignore[operator]  # both take a path
    assert str(tmp_path / "x") in str(caught.value)


def test_a_file_in_the_place_of_the_trust_store(tmp_path: Path) -> None:
    (tmp_path / "trusted").write_text("")
    store, problems = trust.TrustStore.read(tmp_path / "trusted")
    assert (store.names, len(problems)) == ((), 1)
    with pytest.raises(ConfigError, match="cannot read"):
        trust.TrustStore.load(tmp_path / "trusted")


@pytest.mark.parametrize("load", [keys.load_private, keys.load_public], ids=["private", "public"])
def test_a_device_in_the_place_of_a_key(load: object) -> None:
    with pytest.raises(ConfigError, match="is no file"):
        load(Path("/dev/null"))  # type: ignore[operator]  # both take a path


@pytest.mark.parametrize("before", [0, 16_370, 16_384, 40_000], ids=str)
def test_a_private_key_anywhere_in_a_file_of_the_trust_store(tmp_path: Path, before: int) -> None:
    keys.generate(tmp_path / "op.pem")
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    (trusted / "notes.txt").write_bytes(b"\n" * before + (tmp_path / "op.pem").read_bytes())
    with pytest.raises(ConfigError) as caught:
        trust.TrustStore.load(trusted)
    assert caught.value.code == "private-key"
    (trusted / "notes.txt").write_bytes(b"\n" * before)
    assert trust.TrustStore.load(trusted).names == ()


def test_a_file_of_the_trust_store_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.generate(tmp_path / "op.pem")
    (tmp_path / "op.pem").unlink()

    def closed(_path: Path, _mode: str) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", closed)
    store, problems = trust.TrustStore.read(tmp_path)
    assert store.names == ()
    assert [problem.code for problem in problems] == ["file"]
