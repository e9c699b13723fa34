"""How a console script begins and ends, whatever happens where its own code cannot see to it.

Importing takes longer than many a command: Ctrl-C in that time, or output that cannot be written, must not
end in a traceback. Only what Python has loaded anyway is imported here.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Final

EXIT_OUTPUT: Final = 2


def start(load: Callable[[], Callable[[], object]], *, tidies_up: bool = False) -> None:
    """Import the program with `load`, and run it.

    Ctrl-C ends the process at once until the program handles the signal itself; one that `tidies_up` gets
    Python's KeyboardInterrupt once it is loaded. Output that cannot be written is an error in one line, with
    exit code 2.
    """
    handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else somebody wants it ignored
    if handled:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    run = load()
    if handled and tidies_up:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        try:
            run()
        finally:
            sys.stdout.flush()  # what is still buffered would fail when the interpreter ends, with code 120
    except BrokenPipeError:
        _discard_output()
    except OSError as error:
        _discard_output()
        print(f"error: Output failed: {error.strerror or error}", file=sys.stderr)
        sys.exit(EXIT_OUTPUT)


def _discard_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
