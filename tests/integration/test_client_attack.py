"""`client attack` against a real device: every attack is refused as its row says, and nothing changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from client.attack.table import ATTACKS, CHAPTERS, page_tables, selection
from client.attack.throw import Attacker, Breach, Verdict, together
from client.attack.workshop import Attack, Throw
from client.connection import Connection
from client.directory import Target
from client.sequence import Recipient, survey
from device.node import NodeLimits
from device.suit.keys import load_private
from device.suit.refusals import Refusal
from tests.device_bench import SEVEN, example
from tests.integration.client_testbed import LiveFleet
from tests.integration.update_site import Site, site

PAGE = Path(__file__).parents[2] / "docs" / "security.md"


@pytest.fixture
def no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device takes one update a second; that is not what these tests are about."""
    monkeypatch.setattr("device.server.updates.PER_SOURCE_S", 0.0)


@pytest.fixture
async def attacked(tmp_path: Path, no_rate: None) -> AsyncIterator[tuple[Site, Attacker, Recipient]]:
    async with site(tmp_path) as s, Connection() as connection:
        assert (await s.update(s.publish(example("counter"), 3)))["result"] == "OK"
        target = Target("bench", s.bench.url, "native", 5, s.server)
        (recipient,) = await survey(connection, s.server, [target])
        yield s, Attacker(connection, s.server, load_private(tmp_path / "op.pem")), recipient


async def test_every_attack_is_refused_as_its_row_says(attacked: tuple[Site, Attacker, Recipient]) -> None:
    s, attacker, recipient = attacked
    before = sorted(path.name for path in s.root.iterdir())
    verdicts = [verdict async for verdict in attacker.assault(recipient, ATTACKS)]
    assert [str(verdict.breach) for verdict in verdicts if not verdict.held] == []
    assert [verdict.answer for verdict in verdicts] == [attack.expected for attack in ATTACKS]
    assert sorted(path.name for path in s.root.iterdir()) == before
    # What it held before still runs, and the next good update is taken.
    assert (await s.bench.execute(0)).value["r0_signed"] == 1
    assert (await s.update(s.publish(SEVEN, 4)))["result"] == "OK"


async def test_a_device_that_gives_way_is_told_apart(attacked: tuple[Site, Attacker, Recipient]) -> None:
    """An "attack" that is a good update: the verdict says that it was accepted, and what has changed."""
    _, attacker, recipient = attacked

    def good(workshop: object) -> Throw:
        from client.attack.images import _served
        from client.attack.workshop import GOOD

        return _served(workshop, GOOD, GOOD)  # type: ignore[arg-type]  # it is one

    found: list[Verdict] = []
    attack = Attack("good", "nothing", "BAD_SIGNATURE", good)
    await together(attacker, [recipient], [attack], lambda _, verdict: found.append(verdict))
    (verdict,) = found
    assert (verdict.answer, verdict.unchanged, verdict.held) == ("accepted", False, False)
    assert isinstance(verdict.breach, Breach)
    assert "accepted instead of BAD_SIGNATURE, and the device is not what it was" in verdict.breach.detail


def test_the_verb(tmp_path: Path, no_rate: None) -> None:
    with LiveFleet(tmp_path) as live:
        live.add("otter", "heron")
        results = live.results("attack", "--brief", "-d", "all")
        assert len(results) == len(selection(brief=True))
        assert {entry["device"] for entry in results} == {"otter", "heron"}
        assert all(entry["result"]["held"] for entry in results)
        (one,) = live.results("attack", "--only", "replay", "-d", "otter")
        assert (one["result"]["answer"], one["result"]["unchanged"]) == ("ROLLBACK", True)
        shown = live.client("attack", "--only", "replay", "-d", "otter")
        assert "ROLLBACK" in shown.stdout
        assert "1 of 1 attacks were refused as they must be" in shown.stderr
        live.results("attack", "--only", "nonsense", "-d", "otter", code=2)


def test_a_device_that_takes_one_format_refuses_the_other_as_such(tmp_path: Path, no_rate: None) -> None:
    with LiveFleet(tmp_path) as live:
        live.add("otter", limits=NodeLimits(profiles=("riot",)))
        drafts = [attack for attack in ATTACKS if attack.draft]
        only = [word for attack in drafts for word in ("--only", attack.name)]
        results = live.results("attack", *only, "-d", "otter")
        assert [entry["result"]["answer"] for entry in results] == ["FORMAT"] * len(drafts)
        assert all(entry["result"]["held"] for entry in results)


def test_names_are_unique_and_expectations_exist() -> None:
    names = [attack.name for attack in ATTACKS]
    assert len(set(names)) == len(names) == sum(map(len, CHAPTERS.values()))
    for attack in ATTACKS:
        assert attack.expected in Refusal.__members__ or attack.expected.startswith("4."), attack.name


def test_the_page_lists_them_all() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "\n".join(page_tables()) in text, "write the tables of client.attack.table into docs/security.md"
