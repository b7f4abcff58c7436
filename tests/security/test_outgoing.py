"""S6: whatever address is written down, nothing inside is connected to.

Every way out is tried: webhooks, calendars, the heartbeat, Sentry's API, mail. A canary listens on
the loopback interface, and every connection that is begun at all is noted, wherever it would go.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import ipaddress
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx2
import pytest

from tests.contracts.test_channels import message
from tocsin.channels import webhook
from tocsin.channels.base import Outside, make_channels
from tocsin.channels.fetch import Unfetched, fetch
from tocsin.channels.guard import Guard, guarded_client
from tocsin.channels.heartbeat import beat
from tocsin.core.retry import Outcome
from tocsin.sentry.client import Lines, Place, host_of
from tocsin.sentry.errors import SentryError

#: The loopback interface, the way any system reads it. {} is the canary's port.
LOOPBACK = (
    "127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "127.8.9.10", "127.255.255.254", "0", "0.0.0.0",
    "0.0", "2130706433", "0x7f000001", "0X7F000001", "0x7f.0x0.0x0.0x1", "0x7f.1", "0177.0.0.1",
    "0177.1", "017700000001", "00000177.0.0.1", "127.000.000.001", "127.0x0.0.1",
    "[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[::ffff:0:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[::1%25lo]",
    "localhost", "LOCALHOST", "LocalHost.", "localhost.localdomain", "ip6-localhost",
    "\N{CIRCLED DIGIT ONE}\N{CIRCLED DIGIT TWO}\N{CIRCLED DIGIT SEVEN}.0.0.1",
    "127\N{IDEOGRAPHIC FULL STOP}0\N{IDEOGRAPHIC FULL STOP}0\N{IDEOGRAPHIC FULL STOP}1",
    "\N{FULLWIDTH DIGIT ONE}27.0.0.1", "\N{SCRIPT SMALL L}ocalhost", "loca\N{SOFT HYPHEN}lhost",
    "user@127.0.0.1", "user:password@127.0.0.1", "evil.invalid@127.0.0.1",
    "evil.invalid%40@127.0.0.1",
    "evil.invalid:80@127.0.0.1", "127.0.0.1%00.evil.invalid", "127.0.0.1%2eevil.invalid",
    "127.0.0.1\t", "127.0.0.1%20",
)  # fmt: skip

#: What else is not the public internet.
INSIDE = (
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1",
    "169.254.0.1", "198.18.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "240.0.0.1",
    "255.255.255.255", "224.0.0.1", "239.255.255.250", "0.0.0.1", "192.88.99.1",
    "169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518",
    "[::ffff:169.254.169.254]", "[64:ff9b::169.254.169.254]", "[2002:a9fe:a9fe::]",
    "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "[fd00:ec2::254]",
    "[fd20:ce::254]", "[fe80::1]", "[fe80::a9fe:a9fe]", "[fc00::1]", "[fec0::1]", "[ff02::1]",
    "[2001:db8::1]", "[3fff::1]",
)  # fmt: skip

#: What is no address of the web at all, or hides one behind marks.
ODD = (
    "gopher://127.0.0.1:{}/_x", "file:///etc/passwd", "file://127.0.0.1:{}/x",
    "ftp://127.0.0.1:{}/",
    "dict://127.0.0.1:{}/x", "unix:///var/run/docker.sock", "http+unix://%2Fvar%2Frun%2Fx.sock/",
    "ldap://127.0.0.1:{}/", "javascript:alert(1)", "data:text/plain,x", "http:127.0.0.1:{}/",
    "http:///127.0.0.1:{}/", "http:\\\\127.0.0.1:{}\\", "http://127.0.0.1:{}\\@evil.invalid/",
    "http://127.0.0.1:{}#@evil.invalid/", "http://127.0.0.1:{}?@evil.invalid/", "//127.0.0.1:{}/",
    "http://[::1/", "http://[127.0.0.1]:{}/", "http://127.0.0.1:{}:80/", "http://127.0.0.1:99999/",
    "http://127.0.0.1:-1/", "http://" + "a" * 70 + ".com/", "http://a..b/", "http://.127.0.0.1:{}/",
    "HTTP://127.0.0.1:{}/", "https://127.0.0.1:{}/", "http://\x00127.0.0.1:{}/", "http://%31:{}/",
)  # fmt: skip

FORMS = (*(f"http://{host}:{{}}/" for host in (*LOOPBACK, *INSIDE)), *ODD)

#: Where something of ours listens that is opened on purpose.
OPENED = "127.0.0.2"


def test_there_are_enough_of_them():
    assert len(set(FORMS)) > 110


class Canary:
    """What listens inside, and what was begun anywhere."""

    def __init__(self) -> None:
        self.port = 0
        self.opened: list[str] = []
        self.begun: list[Any] = []
        self.asked: list[str] = []
        #: How the server that may be reached answers.
        self.status, self.location = 204, ""


_BEGUN: list[list[Any]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    """Note every connection this process begins, while somebody looks (hooks cannot be removed)."""
    if event == "socket.connect":
        for begun in _BEGUN:
            begun.append(arguments[1])


sys.addaudithook(_note)


@pytest.fixture
def canary() -> Iterator[Canary]:
    """Listen on the loopback interface, on every address but one; and on that one be open."""
    made = Canary()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.headers.get("Host", ""))
            self.send_response(made.status)
            if made.location:
                self.send_header("Location", made.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - the hook of the library

        def log_message(self, *_args: object) -> None:
            pass

    with contextlib.ExitStack() as open_:
        server = open_.enter_context(http.server.ThreadingHTTPServer((OPENED, 0), Handler))
        made.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        inside = [socket.create_server(("127.0.0.1", made.port))]
        with contextlib.suppress(OSError):  # a machine without IPv6
            inside.append(socket.create_server(("::1", made.port), family=socket.AF_INET6))
        for one in inside:
            open_.enter_context(one)
            one.setblocking(False)
        _BEGUN.append(made.begun)
        try:
            yield made
        finally:
            _BEGUN.remove(made.begun)
            server.shutdown()
            thread.join()
        for one in inside:
            with contextlib.suppress(BlockingIOError):
                made.opened.append(str(one.accept()[1]))
    assert made.opened == [], "the canary was reached"


Way = Callable[[Guard, httpx2.AsyncClient, str], Awaitable[str | None]]


async def by_webhook(guard: Guard, http: httpx2.AsyncClient, url: str) -> str | None:
    channels = make_channels(
        Outside(guard=guard, http=http, smtp_url=None, public_url="https://t.example.com")
    )
    report = await channels["webhook"].send(message(), url, None)
    return None if report.outcome is Outcome.DELIVERED else report.detail


async def by_calendar(_guard: Guard, http: httpx2.AsyncClient, url: str) -> str | None:
    try:
        await fetch(http, url, None, 1000)
    except Unfetched as error:
        return str(error)
    return None


async def by_heartbeat(_guard: Guard, http: httpx2.AsyncClient, url: str) -> str | None:
    return None if await beat(http, url) else "it was not there"


async def by_sentry(_guard: Guard, http: httpx2.AsyncClient, url: str) -> str | None:
    try:
        place = Place(host=host_of(url), organization="acme", token="t")
        await Lines(http).to(place).organization()
    except (SentryError, ValueError) as error:
        return str(error)
    return None


async def by_mail(guard: Guard, http: httpx2.AsyncClient, url: str) -> str | None:
    scheme, _, rest = url.partition(":")
    smtp = f"{scheme.replace('http', 'smtp')}:{rest.rstrip('/')}?from=t@example.com"
    outside = Outside(guard=guard, http=http, smtp_url=smtp, public_url="https://t.example.com")
    try:
        report = await make_channels(outside)["email"].send(message(), "ann@example.com", None)
    except ValueError as error:  # the setting is refused when Tocsin starts
        return str(error)
    return None if report.outcome is Outcome.DELIVERED else report.detail


BY_HTTP: Mapping[str, Way] = {
    "webhook": by_webhook,
    "calendar": by_calendar,
    "heartbeat": by_heartbeat,
    "sentry": by_sentry,
}

WAYS: Mapping[str, Way] = {**BY_HTTP, "mail": by_mail}


def go(way: Way, url: str, *allowed: str) -> str | None:
    """Try one way out; return why it was none, or None if it was."""
    return tried(way, [url], *allowed)[0]


def tried(way: Way, urls: Sequence[str], *allowed: str) -> list[str | None]:
    """Try many addresses with one client."""

    async def work() -> list[str | None]:
        guard = Guard([ipaddress.ip_network(one) for one in allowed])
        async with guarded_client(guard) as http:
            return [await way(guard, http, url) for url in urls]

    return asyncio.run(work())


def outside_of(begun: list[Any]) -> list[Any]:
    """Return the connections but those of the test itself: to event loops, to its own servers."""
    return [one for one in begun if isinstance(one, tuple) and one[0] != OPENED]


@pytest.mark.parametrize("name", WAYS)
def test_s6_no_form_of_an_address_leads_inside(canary: Canary, name: str):
    said = tried(WAYS[name], [form.replace("{}", str(canary.port)) for form in FORMS])
    assert [form for form, why in zip(FORMS, said, strict=True) if why is None] == []
    assert outside_of(canary.begun) == [], "nothing was even begun"
    assert canary.asked == []


def test_s6_what_is_open_inside_answers_as_what_is_closed(canary: Canary):
    """Nobody learns by our answers what listens there."""
    there = go(by_webhook, f"http://localhost:{canary.port}/")
    not_there = go(by_webhook, "http://localhost:1/")
    assert there == not_there
    assert there is not None
    assert "TOCSIN_OUTBOUND_ALLOW" in there
    assert "127.0.0.1" not in there


def test_s6_what_is_opened_on_purpose_is_reached_and_nothing_beside_it(canary: Canary):
    for way in (by_webhook, by_heartbeat):
        assert go(way, f"http://{OPENED}:{canary.port}/", f"{OPENED}/32") is None
        assert go(way, f"http://127.0.0.1:{canary.port}/", f"{OPENED}/32") is not None
    assert len(canary.asked) == 2
    assert [one for one in canary.begun if one == (OPENED, canary.port)], "what is begun is noted"
    assert outside_of(canary.begun) == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("name", BY_HTTP)
def test_s6_no_redirect_is_followed(canary: Canary, name: str, status: int):
    canary.status = status
    for form in ("http://127.0.0.1:{}/", "//127.0.0.1:{}/", "http://localhost:{}/", "file:///x"):
        canary.location = form.format(canary.port)
        go(BY_HTTP[name], f"http://{OPENED}:{canary.port}/", f"{OPENED}/32")
    assert len(canary.asked) == 4
    assert outside_of(canary.begun) == []


@pytest.mark.parametrize("name", BY_HTTP)
def test_s6_a_name_that_resolves_to_something_else_the_second_time_gains_nothing(
    canary: Canary, name: str, monkeypatch: pytest.MonkeyPatch
):
    """A name server of the attacker's, whose answers are good for no time at all."""
    answers: list[list[str]] = [
        [OPENED], ["127.0.0.1"], [OPENED, "127.0.0.1"], ["127.0.0.1", OPENED], ["127.0.0.1"],
        ["::1"], ["::ffff:127.0.0.1", "10.0.0.1"], [OPENED],
    ]  # fmt: skip
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolver(host: Any, port: Any, *args: Any, **named: Any) -> Any:
        if host not in ("rebind.example", b"rebind.example"):
            return real(host, port, *args, **named)
        asked.append(str(host))
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "",
             (one, port)) for one in answers[len(asked) - 1]
        ]  # fmt: skip

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    url = f"http://rebind.example:{canary.port}/"
    for number, resolved in enumerate(answers, 1):
        before = len(canary.asked)
        go(BY_HTTP[name], url, f"{OPENED}/32")
        assert len(asked) == number, "it is resolved once, and connected to as it was checked"
        assert (len(canary.asked) > before) is (OPENED in resolved)
    assert outside_of(canary.begun) == []


_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "socks_proxy", "no_proxy")


@pytest.mark.parametrize("name", BY_HTTP)
def test_s6_proxies_of_the_environment_are_not_used(
    canary: Canary, name: str, monkeypatch: pytest.MonkeyPatch
):
    for variable in _PROXIES:
        value = "" if variable == "no_proxy" else f"http://127.0.0.1:{canary.port}"
        monkeypatch.setenv(variable, value)
        monkeypatch.setenv(variable.upper(), value)
    go(BY_HTTP[name], f"http://{OPENED}:{canary.port}/", f"{OPENED}/32")
    assert canary.asked == [f"{OPENED}:{canary.port}"]
    assert outside_of(canary.begun) == []


def test_s6_what_is_no_address_of_the_web_is_not_taken_down():
    for form in ODD[:11]:
        assert webhook.check(form.replace("{}", "80")), form
