"""S18, H8: requests that two readers would read differently, byte by byte over a socket.

Refused, and the connection closed, so that nothing behind it is read as a request. Where RFC 9112
has a server take what it may, the two tests at the end say how.
"""

from __future__ import annotations

import contextlib
import re
import socket
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.web.conftest import Served

POST = b"POST /in/key-unsigned HTTP/1.1\r\nHost: a\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
BODY = b'{"action":"created","data":{"issue":{"id":"parsed"}}}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CLOSE = b"Connection: close\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"

#: What must not be answered as a second request.
HIDDEN = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"

REFUSED: Mapping[str, bytes] = {
    "two lengths that differ": POST + LENGTH + b"Content-Length: 0\r\n\r\n" + BODY + HIDDEN,
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nhello" + HIDDEN,
    "a length with a sign": POST + b"Content-Length: +5\r\n\r\nhello" + HIDDEN,
    "a negative length": POST + b"Content-Length: -1\r\n\r\n" + HIDDEN,
    "a hexadecimal length": POST + b"Content-Length: 0x5\r\n\r\nhello" + HIDDEN,
    "a length beyond all numbers": POST + b"Content-Length: 999999999999999999999\r\n\r\n" + HIDDEN,
    "no digits for a length": POST + b"Content-Length: \r\n\r\n" + HIDDEN,
    "words for a length": POST + b"Content-Length: five\r\n\r\nhello" + HIDDEN,
    "a folded header": POST + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "a folded transfer coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a bare CR": POST + b"X: a\rb\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "a NUL": POST + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "a space before the colon": POST + b"Content-Length : 0\r\n\r\n" + HIDDEN,
    "a coding, a space, a colon": POST + b"Transfer-Encoding : chunked\r\n\r\n" + HIDDEN,
    "a header without a colon": POST + b"X\r\n\r\n" + HIDDEN,
    "no coding": POST + b"Transfer-Encoding: identity\r\n\r\n" + HIDDEN,
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunks that are packed": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked, and then more": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + HIDDEN,
    "chunked twice": POST + CHUNKED * 2 + b"\r\n0\r\n\r\n" + HIDDEN,
    "chunks of HTTP 1.0": POST.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN,
    "a chunk whose size is none": POST + CHUNKED + b"\r\nZ\r\n\r\n" + HIDDEN,
    "a chunk of negative size": POST + CHUNKED + b"\r\n-1\r\n\r\n" + HIDDEN,
    "a chunk beyond all numbers": POST + CHUNKED + b"\r\nfffffffffffffffff\r\nx" + HIDDEN,
    "a chunk that ends with LF": POST + CHUNKED + b"\r\n0\n\n" + HIDDEN,
    "a chunk longer than it says": POST + CHUNKED + b"\r\n2\r\nhello\r\n0\r\n\r\n" + HIDDEN,
    "too many headers": POST + b"X: a\r\n" * 200 + b"Content-Length: 0\r\n\r\n" + HIDDEN,
    "headers of 70 kB": POST + b"X: " + b"a" * 70_000 + b"\r\n" + LENGTH + b"\r\n" + BODY + HIDDEN,
    "headers without end": POST + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n" + HIDDEN,
    "a length hidden behind a LF": POST + b"X: a\nContent-Length: 0\r\n" + LENGTH + b"\r\n" + BODY,
    "a length, and one behind a CR": POST + LENGTH + b"X: a\rContent-Length: 0\r\n\r\n" + BODY,
    "no method": b" /healthz HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN,
    "tabs for spaces": b"GET\t/healthz\tHTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN,
    "an extension with a LF": POST + CHUNKED + b"\r\n5;a\nb\r\nhello\r\n0\r\n\r\n" + HIDDEN,
    "less than it holds": POST + b"Content-Length: 10\r\n\r\n" + BODY + b"\r\n\r\n" + HIDDEN,
    "the greeting of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
    "an unknown version": b"GET /healthz HTTP/3.7\r\nHost: a\r\n\r\n" + HIDDEN,
    "a greeting of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 300 + b"\r\n\r\n",
    "a space in the path": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN,
    "a control character in the path": b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN,
    "a path without end": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN,
}  # fmt: skip


#: Those who go on writing, and those who read something else.
UNHEARD = {"headers without end", "a path without end", "the greeting of HTTP/2"}


def said(served: Served, request: bytes) -> tuple[list[int], bool]:
    """Send bytes; return the statuses answered, and whether the server closed the connection."""
    address = ("127.0.0.1", served.tocsin.port)
    answer, is_closed = b"", False
    with socket.create_connection(address, timeout=1.0) as connection:
        try:
            connection.sendall(request)
            while data := connection.recv(65_536):
                answer += data
            is_closed = True
        except ConnectionError:
            is_closed = True
        except TimeoutError:
            pass
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3})", answer)], is_closed


@pytest.mark.parametrize("name", REFUSED)
def test_s18_what_can_be_read_in_two_ways_is_refused_and_the_connection_closed(
    served: Served, name: str
):
    statuses, is_closed = said(served, REFUSED[name])
    assert is_closed
    # Whoever is cut off while they still write may not hear why.
    assert statuses in ([400], [414], [431], [400, 400], []), "and nothing behind it is answered"
    assert statuses or name in UNHEARD
    assert statuses != [400, 400] or name == "less than it holds", "its end is no request either"


def test_s18_a_plain_request_is_taken_and_the_connection_kept(served: Served):
    """So that the refusals above are what they seem."""
    assert said(served, POST + LENGTH + b"\r\n" + BODY + HIDDEN) == ([202, 200], False)
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    assert said(served, POST + CHUNKED + b"\r\n" + chunks + HIDDEN) == ([202, 200], False)


def test_s18_more_than_one_host_is_no_host(served: Served):
    assert said(served, GET + b"Host: b\r\n\r\n")[0] == [400]


def test_s18_a_length_beside_chunks_counts_for_nothing_and_is_the_last_of_its_connection(
    served: Served,
):
    """RFC 9112 section 6.3: the chunks are read, and the connection closed after the answer."""
    for both in (LENGTH + CHUNKED, CHUNKED + b"Content-Length: 4\r\n"):
        statuses, is_closed = said(served, POST + both + b"\r\n0\r\n\r\n" + HIDDEN)
        assert (statuses, is_closed) == ([400], True), "an empty body is not JSON"


def test_s18_the_same_length_told_twice_is_one_length(served: Served):
    """RFC 9110 section 8.6: one may take it for one. With any other it is refused, above."""
    request = POST + LENGTH * 2 + b"\r\n" + BODY + HIDDEN
    assert said(served, request) == ([202, 200], False)


def test_s18_a_bare_lf_ends_a_line_as_a_whole_one_does(served: Served):
    """RFC 9112 section 2.2; what is behind it is a header like any other, and counts as one."""
    lines = (POST + LENGTH).replace(b"\r\n", b"\n")
    assert said(served, lines + b"\n" + BODY + HIDDEN) == ([202, 200], False)
    hidden = GET + b"X: a\nHost: b\r\n\r\n"
    assert said(served, hidden)[0] == [400], "two hosts"


def test_s18_headers_of_32_kb_are_taken_and_no_more_than_twice_that(served: Served):
    """What senders and proxies add is some hundred bytes; above the bound it is 431, and the end.

    Of a connection no more than that is held, of its body neither.
    """
    for size, told in ((32_000, ([202, 200], False)), (66_000, ([431], True))):
        request = POST + b"X: " + b"a" * size + b"\r\n" + LENGTH + b"\r\n" + BODY + HIDDEN
        assert said(served, request) == told, size


def test_s18_the_host_of_an_absolute_address_decides_nothing(served: Served):
    """RFC 9112 section 3.2.2: every server takes it. Links begin with the address set up."""
    whole = b"GET http://evil.example/login HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.tocsin.port), timeout=1.0) as connection:
        connection.sendall(whole)
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"evil.example" not in answer


# -- H8: bodies that are too long, or never come

TOO_MUCH = 10 * 2**20


def big(served: Served, is_announced: bool) -> int:
    """Send ten megabytes; return the status, 0 where the connection ended first."""
    with socket.create_connection(("127.0.0.1", served.tocsin.port), timeout=20) as connection:
        head = b"Content-Length: %d\r\n\r\n" % TOO_MUCH if is_announced else CHUNKED + b"\r\n"
        piece = b"x" * 65_536
        chunk = piece if is_announced else b"10000\r\n" + piece + b"\r\n"
        try:
            connection.sendall(POST + head)
            for _ in range(TOO_MUCH // len(piece)):
                connection.sendall(chunk)
        except ConnectionError:
            pass
        try:
            answer = connection.recv(65_536)
        except ConnectionError:
            return 0
    return int(answer.split()[1]) if answer else 0


@contextlib.contextmanager
def growing_at_most(served: Served, most: int) -> Iterator[None]:
    """See to it that the server never holds so many bytes more than now."""
    process = Path(f"/proc/{served.tocsin.pid}")

    def held(what: str) -> int:
        status = (process / "status").read_text("ascii")
        return int(re.findall(rf"{what}:\s+([0-9]+) kB", status)[0]) * 1024

    # What it held at most is counted from now on.
    (process / "clear_refs").write_text("5")
    before = held("VmRSS")
    yield
    assert held("VmHWM") - before <= most


@pytest.mark.parametrize("is_announced", [True, False], ids=["announced", "in chunks"])
def test_h8_fifty_bodies_of_ten_megabytes_are_refused_and_not_held(
    served: Served, is_announced: bool
):
    """Of 500 MiB: what is on its way; of those that do not say how long they are, 64 MiB in all."""
    with ThreadPoolExecutor(50) as pool:  # what it takes to answer fifty at once
        assert set(pool.map(lambda _: said(served, POST + LENGTH + CLOSE + BODY)[1], range(50)))
        set(pool.map(lambda _: big(served, is_announced), range(4)))
    most = (10 if is_announced else 64 + 16) * 2**20
    with growing_at_most(served, most), ThreadPoolExecutor(50) as pool:
        statuses = set(pool.map(lambda _: big(served, is_announced), range(50)))
    assert statuses <= {413, 503, 0}
    assert 413 in statuses


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """Give 100 MiB in 100 kB."""
    packed = zlib.compressobj(9, wbits=31)
    made = b"".join(packed.compress(bytes(2**20)) for _ in range(100)) + packed.flush()
    assert len(made) < 110_000
    return made


def test_h8_what_would_grow_when_it_is_unpacked_is_refused_as_it_is(served: Served, bomb: bytes):
    """Fifty at once; whatever it says it is packed with, and how often."""

    def sent(coding: str) -> int:
        headers = {"Content-Type": "application/json", "Content-Encoding": coding}
        return served.tocsin.request("POST", "/in/key-unsigned", bomb, headers).status

    assert {sent(coding) for coding in ("gzip", "deflate", "br", "zstd", "gzip, gzip")} == {415}
    with growing_at_most(served, 24 * 2**20), ThreadPoolExecutor(50) as pool:
        assert set(pool.map(sent, ["gzip"] * 50)) == {415}


def test_h8_a_body_shorter_than_it_says_is_no_body(served: Served):
    with socket.create_connection(("127.0.0.1", served.tocsin.port), timeout=5) as connection:
        connection.sendall(POST + b"Content-Length: 500\r\n\r\n" + BODY)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65_536)
    assert not answer or answer.startswith(b"HTTP/1.1 400")
