"""Pass phrases: where they come from, and that an empty one never passes for one."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from client.cli import cli
from client.keys import load_signer, read_passphrase
from device.errors import ConfigError

SAID: list[tuple[str, bytes, bytes]] = [
    ("a line", b"open sesame\n", b"open sesame"),
    ("no end of line", b"open sesame", b"open sesame"),
    ("lines of another system", b"open sesame\r\n", b"open sesame"),
    ("only the first counts", b"open\nsesame\n", b"open"),
    ("spaces belong to it", b" open \n", b" open "),
]

EMPTY = [("empty file", b""), ("empty line", b"\n"), ("empty line of another system", b"\r\nlater\n")]


@pytest.mark.parametrize(("content", "said"), [row[1:] for row in SAID], ids=[row[0] for row in SAID])
def test_the_first_line_is_the_pass_phrase(tmp_path: Path, content: bytes, said: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert read_passphrase(path) == said


@pytest.mark.parametrize("content", [row[1] for row in EMPTY], ids=[row[0] for row in EMPTY])
@pytest.mark.parametrize("verb", ["keygen", "publish"])
def test_an_empty_pass_phrase_is_refused_and_makes_no_key(tmp_path: Path, content: bytes, verb: str) -> None:
    secret, key = tmp_path / "secret", tmp_path / "key.pem"
    secret.write_bytes(content)
    arguments = {
        "keygen": ["keygen", "--to", str(key)],
        "publish": ["publish", __file__, "--seq", "1", "--key", str(key)],
    }
    result = CliRunner().invoke(cli, [*arguments[verb], "--pass-file", str(secret)])
    assert result.exit_code == 2
    assert f"the pass phrase in {secret} is empty" in result.stderr
    assert not key.exists()


def test_what_a_pass_file_encrypts_is_encrypted(tmp_path: Path) -> None:
    secret, key = tmp_path / "secret", tmp_path / "key.pem"
    secret.write_text("open sesame\n")
    assert CliRunner().invoke(cli, ["keygen", "--to", str(key), "--pass-file", str(secret)]).exit_code == 0
    with pytest.raises(ConfigError, match="pass phrase"):
        load_signer(key)
    assert load_signer(key, passphrase=b"open sesame").path == key
