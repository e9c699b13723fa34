"""The `client` command, also as `python -m client`."""

from __future__ import annotations

from collections.abc import Callable

from device.startup import start


def main() -> None:
    """Entry point of the console script."""
    start(_load, tidies_up=True)


def _load() -> Callable[[], object]:
    from client.cli import main as run

    return run


if __name__ == "__main__":
    main()
