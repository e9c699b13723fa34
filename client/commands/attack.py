"""`attack`: throw forgeries at a device of one's own, and see each refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from client.commands import loop
from client.commands.keys import key_options, signer_of
from client.commands.options import (
    connect,
    device_options,
    framed,
    output_options,
    slot_option,
    timeout_option,
)
from client.escape import escape
from client.results import Outcome
from client.text import table
from client.ui import Ui

if TYPE_CHECKING:
    from client.attack.throw import Verdict
    from client.attack.workshop import Attack
    from client.keys import Signer


@click.command("attack", epilog="Example: client attack -d calm-otter")
@slot_option(text="RAM slot that the forgeries are for; it keeps its program.")
@click.option("--brief", is_flag=True, help="A selection: one of each kind.")
@click.option("--only", "names", metavar="NAME", multiple=True, help="This attack alone; repeatable.")
@key_options
@device_options
@timeout_option
@output_options
@framed
def attack_command(
    ui: Ui,
    slot: int,
    brief: bool,
    names: tuple[str, ...],
    keys: tuple[str, ...],
    pass_file: Path | None,
    devices: tuple[str, ...],
    server: str,
    timeout: float,
) -> int:
    """Throw forged, stale, truncated, oversized and malformed updates at a device of your own.

    Each row names the refusal that the attack must meet, and what happened. Slots and sequence number
    stay as they are. The operator's key is needed for what only its holder could sign. A device takes one
    update a second: several devices (-d all) share the attacks. The exit code is 1 when one did not hold.
    """
    from client.attack.table import selection
    from device.errors import ConfigError

    attacks = selection(names, brief=brief)
    if not attacks:
        raise ConfigError(f"no attack is called {names[0]!r}", code="argument", where="--only")
    signer = signer_of(ui, keys, pass_file)
    found = loop.run(ui, _attack(ui, attacks, signer, slot, devices, server, timeout))
    outcomes = [Outcome(device, verdict, verdict.breach) for device, verdict in found]
    held = sum(verdict.held for _, verdict in found)
    ui.note(f"{held} of {len(found)} attacks were refused as they must be")
    return ui.table(outcomes, _rows([verdict for _, verdict in found]))


async def _attack(
    ui: Ui,
    attacks: tuple[Attack, ...],
    signer: Signer,
    slot: int,
    devices: tuple[str, ...],
    server: str,
    timeout: float,
) -> list[tuple[str, Verdict]]:
    from client.addresses import base_url
    from client.attack.throw import Attacker, together
    from client.fleet import resolve
    from client.sequence import Recipient, survey

    found: dict[str, tuple[str, Verdict]] = {}
    async with connect(timeout) as connection:
        base = base_url(server)
        recipients = await survey(connection, base, await resolve(connection, base, devices))
        with ui.progress("attacking") as progress:
            progress.start(len(attacks))

            def told(recipient: Recipient, verdict: Verdict) -> None:
                found[verdict.attack.name] = (recipient.target.name, verdict)
                progress.advance()

            await together(Attacker(connection, base, signer.private_key, slot), recipients, attacks, told)
    return [found[attack.name] for attack in attacks]


def _rows(verdicts: list[Verdict]) -> list[str]:
    rows = [
        (
            verdict.attack.name,
            verdict.attack.threat,
            verdict.attack.expected,
            verdict.answer if verdict.held else f"{verdict.answer} (!)",
            escape(verdict.detail)[:60],
        )
        for verdict in verdicts
    ]
    return table(("ATTACK", "TRIES", "EXPECTED", "ANSWER", "BECAUSE"), rows)
