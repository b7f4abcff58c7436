"""A browser without scripts, in the world: it keeps cookies, follows links and sends forms."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx2

from tests.world import World
from tocsin.store import sessions

_TOKEN = re.compile(r'name="_csrf_token" value="([^"]*)"')


@dataclass(slots=True)
class Browser:
    """One browser of somebody, or of nobody."""

    world: World
    cookies: dict[str, str] = field(default_factory=dict)
    #: What the last page was.
    response: Any = None
    #: What forms send back, of the last page that had one.
    token: str = ""

    @property
    def text(self) -> str:
        """The last page, as its source."""
        return str(self.response.text)

    @property
    def words(self) -> str:
        """What can be read on the last page."""
        body = re.sub(r"(?s)<(script|style|svg).*?</\\1>", " ", self.text.partition("<body")[2])
        return " ".join(html.unescape(re.sub(r"(?s)<[^>]*>", " ", "<" + body)).split())

    def get(self, path: str, **headers: str) -> httpx2.Response:
        """Open a page, where it leads to."""
        response = self._ask("GET", path, **headers)
        for _ in range(5):
            if response.status_code not in (302, 303):
                break
            response = self._ask("GET", response.headers["location"])
        return response

    def post(self, path: str, fields: Any = (), *, follow: bool = True) -> httpx2.Response:
        """Send a form as the last page has it: with its token; then go where that leads."""
        for place in ("/help", "/login"):
            if not self.token:
                self._ask("GET", place)
        rows = list(fields.items()) if isinstance(fields, dict) else list(fields)
        rows.append(("_csrf_token", self.token))
        response = self._ask(
            "POST",
            path,
            content=urlencode(rows).encode(),
            content_type="application/x-www-form-urlencoded",
        )
        if follow and response.status_code == 303:
            return self.get(response.headers["location"])
        return response

    def _ask(self, method: str, path: str, content: bytes = b"", **headers: str) -> Any:
        named = {"accept": "text/html"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            named["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self.response = self.world.ask(method, path, content, named)
        found = _TOKEN.search(self.text)
        self.token = found[1] if found else self.token
        for name, value in self.response.cookies.items():
            self.cookies[name] = value
        for line in self.response.headers.get_list("set-cookie"):
            if "max-age=0" in line.lower():
                self.cookies.pop(line.partition("=")[0], None)
        return self.response


def signed_in(world: World, who: str) -> Browser:
    """Return a browser in which a person is signed in."""
    user = world.user(who)
    key = world.database.run(
        lambda connection: sessions.begin(connection, user.id, "tests", "127.0.0.1", world.now)
    )
    return Browser(world, {"tocsin": key})
