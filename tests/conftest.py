"""What the whole run of tests stands on."""

from __future__ import annotations

import signal

from hypothesis import settings


def pytest_configure() -> None:
    """Judge no example by its time: the machine may be busy. And let Ctrl-C reach what tests start.

    A shell without job control has its background jobs ignore SIGINT, and what they start inherits that.
    """
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
