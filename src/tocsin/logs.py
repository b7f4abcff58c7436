"""Structured logs: for people on a terminal, as JSON elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any, TextIO, cast

import structlog

from tocsin.core.text import visible


class _Lossy:
    """A stream whose writers need not care: a line that cannot be written is lost.

    The disk of the log may be full, or whoever read it gone; nobody may miss a page for that.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if that can be."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that can be."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def _visible(_logger: object, _name: str, event: structlog.typing.EventDict) -> Any:
    """Let a terminal show what others wrote, and obey none of it."""
    return {
        key: visible(value) if isinstance(value, str) else value for key, value in event.items()
    }


def configure(log_format: str | None, stream: TextIO | None = None) -> None:
    """Log to ``stream`` (standard error), as ``console`` or ``json``; None chooses."""
    out = stream or sys.stderr
    chosen = log_format or ("console" if out.isatty() else "json")
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=out.isatty())
        if chosen == "console"
        else structlog.processors.JSONRenderer()
    )
    # Their lines name whole URLs, and a URL's path may be a secret.
    for library in ("httpx2", "httpcore2"):
        logging.getLogger(library).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _visible,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Lossy(out))),
        cache_logger_on_first_use=True,
    )
