"""One thread that stops compiled programs: those that were killed, and those past their deadline.

The machine executes without the interpreter lock and without a look at anything, so somebody else has to
stop it. A stop that comes before the machine has begun is lost, hence it is repeated until the run has ended.
"""

from __future__ import annotations

from threading import Event, Lock, Thread, current_thread
from typing import Final, Protocol

POLL_S: Final = 0.01
"""How often runs are looked at: a tenth of what a kill may take (engines.md)."""
_IDLE_POLLS: Final = 100


class Watched(Protocol):
    """A machine, as the watchdog sees it."""

    @property
    def running(self) -> bool:
        """Whether a run is on."""

    def stop_if_due(self) -> None:
        """Stop the run if it is to stop. Called from the watchdog's thread; raises nothing."""


class Watchdog:
    """Looks at its machines every `poll_s` seconds while one of them runs, and sleeps otherwise.

    The thread starts with the first machine and ends with `close`. Starting a run costs no lock: it only
    makes sure that the watchdog is awake, by `wake` when it `sleeps`.
    """

    def __init__(self, poll_s: float = POLL_S) -> None:
        self.sleeps = True
        self._poll_s = poll_s
        self._awake = Event()
        self._closed = Event()
        self._lock = Lock()
        self._machines: tuple[Watched, ...] = ()
        self._thread: Thread | None = None

    def add(self, machine: Watched) -> None:
        """Watch a machine."""
        with self._lock:
            self._machines = (*self._machines, machine)
            if self._thread is None:
                self._thread = Thread(target=self._watch, name="jit-watchdog", daemon=True)
                self._thread.start()

    def remove(self, machine: Watched) -> None:
        """Watch it no longer."""
        with self._lock:
            self._machines = tuple(other for other in self._machines if other is not machine)

    def wake(self) -> None:
        """A run begins; `running` of its machine is true already."""
        self.sleeps = False
        self._awake.set()

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._awake.set()
        if self._thread is not None and self._thread is not current_thread():
            self._thread.join()

    def _watch(self) -> None:
        while not self._closed.is_set():
            self._awake.wait()
            self._patrol()
            # A run that found it awake did so before this, so it is seen running below.
            self.sleeps = True
            self._awake.clear()
            if self._closed.is_set() or self._any_running():
                self.wake()

    def _patrol(self) -> None:
        """Look until nothing has run for a while."""
        quiet = 0
        while quiet < _IDLE_POLLS and not self._closed.wait(self._poll_s):
            for machine in self._machines:
                machine.stop_if_due()
            quiet = 0 if self._any_running() else quiet + 1

    def _any_running(self) -> bool:
        return any(machine.running for machine in self._machines)
