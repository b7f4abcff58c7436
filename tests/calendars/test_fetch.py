"""Documents from addresses that somebody wrote down: bounded, and never from inside."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.outside import Shelf, shelf
from tocsin.channels import fetch as fetching
from tocsin.channels.fetch import Fetched, Unfetched, fetch
from tocsin.channels.guard import Guard, guarded_client

LOOPBACK = (ipaddress.IPv4Network("127.0.0.0/8"),)
MIB = 2**20


@pytest.fixture(scope="module")
def server() -> Iterator[Shelf]:
    with shelf() as made:
        yield made


def get(
    url: str,
    etag: str | None = None,
    most: int = MIB,
    allowed: tuple[ipaddress.IPv4Network, ...] = LOOPBACK,
) -> Fetched:
    async def run() -> Fetched:
        async with guarded_client(Guard(allowed)) as http:
            return await fetch(http, url, etag, most)

    return asyncio.run(run())


def refused(url: str, **options: object) -> str:
    with pytest.raises(Unfetched) as caught:
        get(url, **options)  # type: ignore[arg-type]
    said = str(caught.value)
    assert "secret" not in said
    assert "\n" not in said
    return said


def test_a_document_is_fetched_once_and_then_only_if_it_changed(server: Shelf):
    server.documents["/a"] = b"first"
    first = get(f"{server.base}/a")
    assert first.body == b"first"
    assert get(f"{server.base}/a", first.etag) == Fetched(body=None, etag=first.etag)
    server.documents["/a"] = b"second"
    assert get(f"{server.base}/a", first.etag).body == b"second"


def test_nothing_packed_is_asked_for(server: Shelf):
    server.documents["/b"] = b"x"
    get(f"{server.base}/b")
    asked = {name.lower(): value for name, value in server.asked[-1][1].items()}
    assert asked["accept-encoding"] == "identity"
    assert "authorization" not in asked


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (500, {}, "HTTP 500"),
        (401, {}, "HTTP 401"),
        (302, {"Location": "http://169.254.169.254/secret"}, "redirects are not followed"),
        (204, {}, "HTTP 204"),
        (200, {"Content-Encoding": "gzip"}, "packed"),
    ],
)
def test_an_answer_that_is_no_document_says_why(
    server: Shelf, status: int, headers: dict[str, str], says: str
):
    server.documents["/secret"] = b"x"
    server.answers["/secret"] = (status, headers)
    assert says in refused(f"{server.base}/secret?key=secret")


def test_what_is_not_there_says_so(server: Shelf):
    assert refused(f"{server.base}/secret-that-is-not-there") == "HTTP 404"


def test_what_is_too_large_is_not_read_to_its_end(server: Shelf):
    server.documents["/large"] = b"x" * (2 * MIB)
    assert "larger than 1 MiB" in refused(f"{server.base}/large")


def test_what_never_ends_is_given_up(server: Shelf, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fetching, "DEADLINE", timedelta(seconds=0.3))
    server.documents["/slow"] = b"x" * 1000
    server.halved.add("/slow")
    assert "took more than" in refused(f"{server.base}/slow")


def test_what_ends_too_soon_is_not_taken_for_whole(server: Shelf):
    server.documents["/cut"] = b"x" * 1000
    server.halved.add("/cut")
    server.let_go.set()
    assert refused(f"{server.base}/cut")
    server.let_go.clear()


def test_networks_of_our_own_are_not_reached(server: Shelf):
    said = refused(f"{server.base}/a", allowed=())
    assert "TOCSIN_OUTBOUND_ALLOW" in said


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/secret",
        "http://nothing.invalid/secret",
        "http://[/secret",
        "http:///secret",
        "http://127.0.0.1:99999/secret",
        "https://" + "a" * 300 + ".example/secret",
        "http://exa\x00mple.com/secret",
        "file:///etc/passwd-secret",
        "ftp://127.0.0.1/secret",
        "",
    ],
)
def test_an_address_that_leads_nowhere_says_why(url: str):
    assert refused(url)


@pytest.mark.parametrize("etag", ["", "x" * 501, 'W/"ä"', '"a\tb"'])
def test_an_etag_that_cannot_be_sent_back_is_not_kept(server: Shelf, etag: str):
    server.documents["/tag"] = b"x"
    server.answers["/tag"] = (200, {"ETag": etag})
    assert get(f"{server.base}/tag").etag is None
