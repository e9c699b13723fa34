"""aiocoap's and asyncio's own reports, one line each: a peer must not be able to print tracebacks here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

LOGGER: Final = "micro_bpf.coap"
"""Name of the logger that aiocoap's contexts of this project report to; errors only, unless set otherwise."""


class OneLine(logging.Filter):
    """Turns a traceback into the type and text of its exception."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true: records are rewritten, not dropped."""
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            record.msg = f"{record.getMessage()} ({type(error).__name__}: {error})"
            record.args = ()
        record.exc_info = None
        record.exc_text = None
        return True


class CoapLog(logging.LoggerAdapter[logging.Logger]):
    """The logger as aiocoap calls it.

    A request that fails after its sender gave up is logged by aiocoap with an argument that loggers do not
    have, which loses a task; it is nobody's error any more.
    """

    def error(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Log an error, or what is none any more."""
        if "exception" in kwargs:
            del kwargs["exception"]
            self.info(msg, *args, **kwargs)
        else:
            super().error(msg, *args, **kwargs)

    def getChild(self, suffix: str) -> CoapLog:  # noqa: N802  # as loggers have it
        """The log of a part."""
        return CoapLog(self.logger.getChild(suffix), {})


def coap_logger() -> logging.Logger:
    """The logger for a context, with the filter in place."""
    logger = logging.getLogger(LOGGER)
    if not any(isinstance(item, OneLine) for item in logger.filters):
        logger.addFilter(OneLine())
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.ERROR)
    return logger


def report_loop_errors(loop: asyncio.AbstractEventLoop, log: Callable[[str], None]) -> None:
    """Send what asyncio would print with a traceback (callbacks, lost tasks) to `log`, a line each."""

    def report(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        reason = f" ({type(error).__name__}: {error})" if error is not None else ""
        log(f"{context.get('message', 'unhandled error')}{reason}")

    loop.set_exception_handler(report)
