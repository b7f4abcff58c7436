"""The fake Sentry over HTTP."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tocsin.fake_sentry import api, setup_api
from tocsin.fake_sentry.asked import Asked
from tocsin.fake_sentry.control import Control
from tocsin.fake_sentry.faults import Faults, broken_body, without
from tocsin.fake_sentry.life import Life
from tocsin.fake_sentry.sender import Sender
from tocsin.fake_sentry.things import Json, Refusal, Token, World

_ORG = "/organizations/(?P<org>[^/]+)"
_PROJECT = "/projects/(?P<org>[^/]+)/(?P<project>[^/]+)"
_ISSUE = f"{_ORG}/issues/(?P<issue>[^/]+)"
_EVENT = f"{_PROJECT}/events/(?P<event>[^/]+)"
_APP = "/sentry-apps/(?P<slug>[^/]+)"
_RULE = f"{_PROJECT}/rules/(?P<rule>[^/]+)"
_LINKS = "/sentry-app-installations/(?P<uuid>[^/]+)/external-issues"

Handler = Callable[..., api.Told]

#: Method, path and who answers.
_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "", api.root),
    ("GET", _ORG, api.organization),
    ("GET", f"{_ORG}/projects", api.projects),
    ("GET", f"{_ORG}/members", api.members),
    ("GET", f"{_ORG}/issues", api.issues),
    ("GET", _ISSUE, api.show_issue),
    ("PUT", _ISSUE, api.change_issue),
    ("GET", f"{_ISSUE}/(?:notes|comments)", api.list_notes),
    ("POST", f"{_ISSUE}/(?:notes|comments)", api.add_note),
    ("GET", f"{_ISSUE}/events/(?P<which>latest|oldest|recommended)", api.latest_event),
    ("GET", f"{_EVENT}/owners", api.owners),
    ("GET", f"{_EVENT}/committers", api.committers),
    ("POST", _LINKS, api.link_issue),
    ("DELETE", f"{_LINKS}/(?P<link>[^/]+)", api.unlink_issue),
    ("GET", f"{_ORG}/sentry-apps", setup_api.list_apps),
    ("GET", f"{_ORG}/sentry-app-installations", setup_api.list_installations),
    ("POST", "/sentry-apps", setup_api.create_app),
    ("GET", _APP, setup_api.show_app),
    ("PUT", _APP, setup_api.change_app),
    ("DELETE", _APP, setup_api.delete_app),
    ("POST", f"{_APP}/rotate-secret", setup_api.rotate_secret),
    ("POST", f"{_APP}/api-tokens", setup_api.app_tokens),
    ("GET", f"{_PROJECT}/rules", setup_api.list_rules),
    ("POST", f"{_PROJECT}/rules", setup_api.create_rule),
    ("POST", f"{_PROJECT}/rule-actions", setup_api.test_actions),
    ("GET", _RULE, setup_api.show_rule),
    ("PUT", _RULE, setup_api.change_rule),
    ("DELETE", _RULE, setup_api.delete_rule),
)
_COMPILED = [(method, re.compile(f"/api/0{path}/"), work) for method, path, work in _ROUTES]

_MAX_BODY = 2**20


class FakeSentry:
    """Everything of it, and how a request is answered."""

    def __init__(self) -> None:
        """Begin with a small company."""
        self.world = World()
        self.world.furnish()
        self.sender = Sender(self.world.clock)
        self.faults = Faults()
        life = Life(self.world, self.sender)
        self.control = Control(self.world, life, self.sender, self.faults)
        self._life = life

    def answer(
        self, method: str, target: str, headers: Any, body: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        """Answer a request to the API: status, JSON, and headers besides."""
        parts = urlsplit(target)
        try:
            if not parts.path.endswith("/"):
                _routed(method, f"{parts.path}/")
                behind = f"?{parts.query}" if parts.query else ""
                return 301, None, {"Location": f"{parts.path}/{behind}"}
            work, names = _routed(method, parts.path)
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            with self.world.lock:
                token = self._token(headers.get("Authorization", ""))
                asked = Asked(self.world, self._life, token, method, parts.path, query, body)
                status, told = work(asked, **names)
        except Refusal as refused:
            return refused.status, refused.body, {}
        return status, told, {"Link": asked.link} if asked.link else {}

    def _token(self, said: str) -> Token:
        kind, _, text = said.partition(" ")
        if kind != "Bearer" or not text:
            raise Refusal(401, "Authentication credentials were not provided.")
        for token in self.world.tokens:
            if token.token == text:
                return token
        raise Refusal(401, "Invalid token")


def _route(method: str, path: str) -> tuple[Handler, dict[str, str]] | None:
    for verb, pattern, work in _COMPILED:
        match = pattern.fullmatch(path)
        if match and verb == method:
            return work, {name: unquote(value) for name, value in match.groupdict().items()}
    return None


def _routed(method: str, path: str) -> tuple[Handler, dict[str, str]]:
    """Return who answers. Raises Refusal."""
    found = _route(method, path)
    if found is not None:
        return found
    if any(_route(other, path) for other in ("GET", "POST", "PUT", "DELETE")):
        raise Refusal(405, f'Method "{method}" not allowed.')
    raise Refusal(404, {"info": "Route not found"})


def build_server(fake: FakeSentry, port: int) -> ThreadingHTTPServer:
    """Return a server on the loopback interface."""

    class Handling(_Handling):
        sentry = fake

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of callers that went away."""

    return Server(("127.0.0.1", port), Handling)


class _Handling(BaseHTTPRequestHandler):
    sentry: FakeSentry
    protocol_version = "HTTP/1.1"
    server_version = "nginx"
    sys_version = ""
    disable_nagle_algorithm = True

    def _handle(self) -> None:
        length = min(int(self.headers.get("Content-Length") or 0), _MAX_BODY)
        body = self.rfile.read(length)
        if self.path.startswith("/_control/"):
            self._control(body)
        else:
            self._api(body)

    do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - the hooks of the library

    def _control(self, body: bytes) -> None:
        name = urlsplit(self.path).path.removeprefix("/_control/").strip("/")
        try:
            said = json.loads(body or b"{}")
            self._say(200, self.sentry.control.do(name, said))
        except Refusal as refused:
            self._say(refused.status, refused.body)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            self._say(400, {"detail": f"{type(error).__name__}: {error}"})

    def _api(self, body: bytes) -> None:
        faults = self.sentry.faults
        asked: Json = {
            "method": self.command,
            "path": self.path,
            "host": self.headers.get("X-Asked-Host") or self.headers.get("Host"),
            "body": body.decode("utf-8", "replace"),
        }
        with self.sentry.world.lock:
            faults.begin(asked)
            said = faults.due(self.command, self.path)
        status = 0
        try:
            status = self._answer(said, body)
        finally:
            with self.sentry.world.lock:
                faults.end(asked, status)

    def _answer(self, said: Json, body: bytes) -> int:
        if said.get("away"):
            self.close_connection = True
            return 0
        if said.get("slow"):
            time.sleep(float(said["slow"]))
        broken = broken_body(said)
        if broken is not None:
            status, kind, content = broken
            limit = {"retry_after": said.get("retry_after"), "reset": said.get("reset")}
            self._write(status, content, kind, _limits(is_over=status == 429, **limit))
            return status
        if said.get("drops"):
            body = without(body, said["drops"])
        status, told, more = self.sentry.answer(self.command, self.path, self.headers, body)
        if said.get("unknown"):
            told = _with_strangers(told)
        more |= _limits(is_over=False, remaining=said.get("remaining"), reset=said.get("reset"))
        if said.get("packed"):
            more["Content-Encoding"] = "gzip"
        self._say(status, told, more)
        return status

    def _say(self, status: int, told: Any, more: dict[str, str] | None = None) -> None:
        content = b"" if told is None else json.dumps(told).encode()
        self._write(status, content, "application/json", more or {})

    def _write(self, status: int, content: bytes, kind: str, more: dict[str, str]) -> None:
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Say when, by the real clock: rate limits are of the real world."""
        return formatdate(timestamp or time.time(), usegmt=True)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


def _limits(
    *,
    is_over: bool,
    retry_after: Any = None,
    reset: Any = None,
    remaining: Any = None,
) -> dict[str, str]:
    """Return the headers of a rate limit."""
    left = "0" if is_over else str(39 if remaining is None else remaining)
    made = {
        "X-Sentry-Rate-Limit-Limit": "40",
        "X-Sentry-Rate-Limit-Remaining": left,
        "X-Sentry-Rate-Limit-Reset": str(int(time.time() + float(1 if reset is None else reset))),
        "X-Sentry-Rate-Limit-ConcurrentLimit": "25",
        "X-Sentry-Rate-Limit-ConcurrentRemaining": "24",
    }
    return made | ({"Retry-After": str(retry_after)} if retry_after is not None else {})


def _with_strangers(told: Any) -> Any:
    """Add fields that nobody knows, everywhere."""
    if isinstance(told, dict):
        return {**{k: _with_strangers(v) for k, v in told.items()}, "aNewField": {"of": [1, None]}}
    if isinstance(told, list):
        return [_with_strangers(one) for one in told]
    return told
