"""Structured logs: for people on a terminal, as JSON elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog


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
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
