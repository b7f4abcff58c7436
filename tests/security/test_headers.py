"""S14: every answer there is, good or bad, tells browsers to trust nothing but what is ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import msgspec
import pytest
from litestar.datastructures import State

from tests.browsing import Browser, signed_in
from tests.pages.test_access import HANDLERS, is_stream
from tests.pages.things import filled, made
from tests.world import KEY, World
from tocsin.sentry.components import ROOT
from tocsin.web.app import build_framework, described
from tocsin.web.pages.static import address_of

#: Of a method, a path and a body; what follows a # tells equal ones apart.
Asked = tuple[str, str, bytes]

#: What the framework never sees, or never finds.
ODD: tuple[Asked, ...] = (
    ("GET", "/nowhere", b""),
    ("GET", "/api/v1/nowhere", b""),
    ("DELETE", "/incidents", b""),
    ("PATCH", "/healthz", b""),
    ("OPTIONS", "/incidents", b""),
    ("OPTIONS", "/api/v1/incidents", b""),
    ("HEAD", "/login", b""),
    ("GET", "/login?next=%00", b""),
    ("POST", "/login", b"a=&" * 3000),
    ("POST", "/login", b"a=" + b"x" * 200_000),
    ("POST", "/api/v1/incidents", b"x" * 1_100_000),
    ("POST", "/api/v1/incidents", b'{"title":"\\u0000"}'),
    ("GET", "/healthz", b""),
    ("GET", "/readyz", b""),
    ("GET", "/metrics", b""),
    ("GET", "/openapi.json", b""),
    ("GET", "/favicon.ico", b""),
    ("GET", "/robots.txt", b""),
    ("GET", "/static/nothing", b""),
    ("GET", "/static/../../etc/passwd", b""),
    ("GET", "/calendars/nothing.ics", b""),
)

#: What intake and the forms in Sentry answer, each refusal and each good one.
OF_PROGRAMS: tuple[Asked, ...] = (
    ("POST", f"/in/{KEY}", b'{"action":"created","data":{"issue":{"id":"1"}}}'),
    ("POST", f"/in/{KEY}", b"no JSON"),
    ("POST", f"/in/{KEY}", b"x" * 2_200_000),
    ("GET", f"/in/{KEY}", b""),
    ("POST", "/in/nobody's", b"{}"),
    ("POST", f"/v1/events/sentry/{KEY}", b"{}"),
    ("POST", f"/functions/v1/events?token={KEY}", b"{}"),
    ("POST", f"/api/integrations/sentry?integrationId={KEY}", b"{}"),
    ("POST", "/api/integrations/sentry", b"{}"),
    ("POST", "/api/events", b"{}"),
    ("POST", "/v2/enqueue", b"{}"),
    ("GET", f"{ROOT}/nothing/options/incident", b""),
    ("POST", f"{ROOT}/nothing/rule", b"{}"),
    ("PUT", f"{ROOT}/nothing/rule", b"{}"),
)


def faults_of(response: httpx2.Response, path: str) -> list[str]:
    """Return what is missing in the headers of an answer."""
    headers = response.headers
    policy = headers.get("content-security-policy", "")
    directives = {part.strip() for part in policy.split(";")}
    faults = [
        f"no {wanted}"
        for wanted in ("default-src 'none'", "object-src 'none'", "base-uri 'none'",
                       "frame-ancestors 'none'")
        if wanted not in directives
    ]  # fmt: skip
    if "unsafe" in policy or "*" in policy:
        faults.append(policy)
    for name, values in (
        ("x-content-type-options", ("nosniff",)),
        ("referrer-policy", ("same-origin", "no-referrer")),
        ("cross-origin-opener-policy", ("same-origin",)),
    ):
        if headers.get(name) not in values:
            faults.append(f"{name}: {headers.get(name)}")
    is_ours_for_ever = path.startswith("/static/") and response.status_code == 200
    if not is_ours_for_ever and "no-store" not in headers.get("cache-control", ""):
        faults.append(f"cache-control: {headers.get('cache-control')}")
    return faults


@pytest.fixture
def asked() -> Iterator[list[tuple[str, str, int, list[str]]]]:
    """Give a list of answers; at its end none of them may have a fault."""
    answers: list[tuple[str, str, int, list[str]]] = []
    yield answers
    assert [row for row in answers if row[3]] == []


def test_s14_every_page_and_form(world: World, asked: list[Any]):
    """As nobody and as an owner: pages, refusals and redirects."""
    things = made(world)
    for browser in (Browser(world), signed_in(world, "owner")):
        browser.get("/help")
        for method, path, _ in HANDLERS:
            if is_stream(path) and browser.cookies.get("tocsin"):
                continue
            at = filled(path, things)
            response = (
                browser._ask("GET", at) if method == "GET" else browser.post(at, follow=False)
            )
            asked.append((method, at, response.status_code, faults_of(response, at)))
    assert len(asked) > 2 * len(HANDLERS) - 10
    world.forget()


def test_s14_a_stream_of_changes(world: World):
    """Its headers are sent before it is known how it ends."""
    from tocsin.web.headers import Guarded

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def begin() -> None:
        await Guarded(send, is_secure=False)(
            {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]}
        )

    world._runner.run(begin())
    response = httpx2.Response(200, headers=sent[0]["headers"])
    assert faults_of(response, "/live/incidents") == []


def test_s14_every_operation_of_the_api(world: World, asked: list[Any]):
    paths = msgspec.json.decode(described(build_framework(state=State())))["paths"]
    for path, methods in paths.items():
        at = path.replace("{", "").replace("}", "")
        for method in methods:
            for headers in ({}, {"authorization": f"Bearer {world._api_key}"}):
                response = world.raw(method.upper(), at, content=b"{}", headers=headers)
                assert response.status_code < 500
                asked.append((method, at, response.status_code, faults_of(response, at)))
    assert len(asked) > 150
    world.forget()


def test_s14_what_is_not_there_or_not_allowed(world: World, asked: list[Any]):
    form = {"content-type": "application/x-www-form-urlencoded"}
    for method, path, body in (*ODD, ("GET", address_of("tocsin.css"), b"")):
        for accept in ("text/html", "*/*"):
            response = world.raw(method, path, content=body, headers={**form, "accept": accept})
            assert response.status_code < 500, (method, path)
            asked.append((method, path, response.status_code, faults_of(response, path)))


def test_s14_what_is_answered_to_programs(world: World, asked: list[Any]):
    for method, path, body in OF_PROGRAMS:
        for more in ({}, {"content-encoding": "gzip"}):
            headers = {"content-type": "application/json", **more}
            response = world.raw(method, path, content=body, headers=headers)
            assert response.status_code < 500, (method, path)
            assert response.headers["content-type"] == "application/json"
            asked.append((method, path, response.status_code, faults_of(response, path)))
    assert {row[2] for row in asked} >= {202, 400, 401, 404, 405, 413, 415}
    world.settle()
    world.forget()
