"""The fake Sentry for tests: a process of its own, and a hand to let things happen in it."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from tocsin.sentry.client import Place

#: What a token needs to connect and to disconnect.
ALL_SCOPES = (
    "org:read", "org:write", "org:admin", "project:read", "member:read", "event:read",
    "event:write", "alerts:read", "alerts:write",
)  # fmt: skip


@dataclass(slots=True)
class FakeSentry:
    """A hand on a fake Sentry that runs."""

    url: str
    _process: subprocess.Popen[bytes]
    _line: http.client.HTTPConnection

    @classmethod
    def start(cls) -> Self:
        """Start one."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tocsin.fake_sentry", "--end-with-input"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        line = http.client.HTTPConnection("127.0.0.1", said["port"], timeout=60)
        return cls(said["url"], process, line)

    def end(self) -> None:
        """End it."""
        self._line.close()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.kill()
        self._process.wait()

    def do(self, deed: str, **said: Any) -> Any:
        """Let something happen; return what the fake says of it."""
        status, told = self.ask("POST", f"/_control/{deed}", said)
        assert status == 200, told
        return told

    def ask(self, method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
        """Send any request at all."""
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        content = None if body is None else json.dumps(body).encode()
        self._line.request(method, path, body=content, headers=headers)
        answer = self._line.getresponse()
        read = answer.read()
        with contextlib.suppress(ValueError):
            return answer.status, json.loads(read)
        return answer.status, read.decode("utf-8", "replace")

    # -- what tests let happen most

    def token(self, *scopes: str, person: str = "ann", organization: str = "acme") -> str:
        """Return a token of a person, with all scopes if none are named."""
        made = self.do(
            "token",
            person=f"{person}@example.com",
            scopes=list(scopes or ALL_SCOPES),
            organization=organization,
        )
        return str(made["token"])

    def app_token(self, slug: str) -> str:
        """Return a token of an integration, as its page in Sentry makes it."""
        return str(self.do("token", app=slug)["token"])

    def place(self, token: str = "", organization: str = "acme") -> Place:
        """Return where its organisation is."""
        opens = token or self.token(organization=organization)
        return Place(host=self.url, organization=organization, token=opens)

    def issue(self, **said: Any) -> dict[str, Any]:
        """Let something new break; return the issue."""
        return dict(self.do("issue", **said))

    def act(self, issue: str, do: str, by: str = "", **said: Any) -> dict[str, Any]:
        """Let somebody do something to an issue: a person, ``app:SLUG``, or Sentry itself."""
        who = f"{by}@example.com" if by and ":" not in by and "@" not in by else by
        return dict(self.do("act", issue=issue, do=do, by=who or None, **said))

    def state(self, organization: str = "acme") -> dict[str, Any]:
        """Return all that an organisation has."""
        return dict(self.do("state", organization=organization))

    def stop_clock(self, at: datetime) -> None:
        """Let it be this time."""
        self.do("clock", now=at.isoformat())

    def requests(self, *kept: str) -> list[tuple[str, str]]:
        """Return method and path of what its API was asked, of these methods only if named."""
        found = self.do("requests")["requests"]
        return [(one["method"], one["path"]) for one in found if not kept or one["method"] in kept]

    def webhooks(self) -> list[dict[str, Any]]:
        """Return what was sent, also what was dropped."""
        return list(self.do("webhooks")["webhooks"])

    def slugs(self) -> Sequence[str]:
        """Return the integrations of the organisation."""
        return [app["slug"] for app in self.state()["apps"]]


@contextlib.contextmanager
def fake_sentry() -> Iterator[FakeSentry]:
    """Run a fake Sentry for as long as it is needed."""
    made = FakeSentry.start()
    try:
        yield made
    finally:
        made.end()
