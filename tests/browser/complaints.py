"""What a browser complains of, and which other hosts it asks: a test that hears any of it fails."""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Request, WebError

HERE = ("127.0.0.1", "localhost")

#: A policy that only reports breaks nothing in sight, so the page itself tells.
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", event => console.error(
    `policy: ${event.violatedDirective} (${event.disposition}) by ${event.blockedURI}`
    + ` at ${event.sourceFile}:${event.lineNumber} ${event.sample}`));
"""


class Complaints:
    """Complaints of all browser contexts that it listens to."""

    def __init__(self) -> None:
        self._heard: list[str] = []
        self._allowed: list[str] = []
        self._contexts: list[BrowserContext] = []

    def listen(self, context: BrowserContext) -> None:
        """Listen to a context, from before its first page on."""
        self._contexts.append(context)
        context.add_init_script(TELL_VIOLATIONS)
        context.on("console", self._on_console)
        context.on("weberror", self._on_error)
        context.on("request", self._on_request)

    def allow(self, part: str) -> None:
        """Take complaints that have these words: the test provokes them."""
        self._allowed.append(part)

    def left(self) -> list[str]:
        """Return what was complained of and is not allowed."""
        for page in [page for context in self._contexts for page in context.pages]:
            with contextlib.suppress(Error):
                page.evaluate("0")  # what was said before has come when this is answered
        return [one for one in self._heard if not any(part in one for part in self._allowed)]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            where = message.location
            self._heard.append(f"console: {message.text} ({where['url']}:{where['lineNumber']})")

    def _on_error(self, error: WebError) -> None:
        self._heard.append(f"uncaught: {error.error}")

    def _on_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https") and parts.hostname not in HERE:
            self._heard.append(f"another host: {request.method} {request.url}")
