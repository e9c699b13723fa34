"""Pass phrases: where they come from, and that an empty one never passes for one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from client.cli import cli
from client.commands.keys import ask_passphrase
from client.keys import generate, load_signer, read_passphrase
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


def encrypted(tmp_path: Path) -> Path:
    key = tmp_path / "locked.pem"
    generate(key, b"open sesame")
    return key


PROMPTS: list[tuple[str, list[str]]] = [
    ("signing", ["publish", __file__, "--seq", "1", "--key"]),
    ("making a key", ["keygen", "--encrypt", "--to"]),
]


@pytest.mark.parametrize("arguments", [row[1] for row in PROMPTS], ids=[row[0] for row in PROMPTS])
@pytest.mark.parametrize("stdin", ["empty", "closed"])
def test_without_a_terminal_the_pass_phrase_is_asked_of_a_file(
    tmp_path: Path, arguments: list[str], stdin: str
) -> None:
    key = encrypted(tmp_path) if arguments[0] == "publish" else tmp_path / "new.pem"
    command = [sys.executable, "-m", "client", *arguments, str(key)]
    shell = ["sh", "-c", 'exec "$@" <&-', "sh"] if stdin == "closed" else []
    done = subprocess.run(
        [*shell, *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # no terminal to fall back on either
    )
    assert done.returncode == 2
    assert "there is no terminal to ask for it [passphrase]" in done.stderr
    assert "--pass-file" in done.stderr
    assert "internal" not in done.stderr


def test_ctrl_c_at_the_prompt_is_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_text: str) -> str:
        raise KeyboardInterrupt

    key = encrypted(tmp_path)
    monkeypatch.setattr("click.termui.hidden_prompt_func", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ask_passphrase(f"Pass phrase of {key}")


def test_what_is_said_at_the_prompt_opens_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda _text: "open sesame")
    assert ask_passphrase("Pass phrase") == b"open sesame"
