"""Read a document from an address that somebody wrote down, within bounds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import httpx2

#: From the first byte to the last.
DEADLINE = timedelta(seconds=10)

_SAID = 200
_ETAG = 500


class Unfetched(Exception):
    """A document that could not be had; the message says why, and not from where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What came: None for what is still as the ``etag`` given says."""

    body: bytes | None
    #: What to ask with the next time.
    etag: str | None


async def fetch(http: httpx2.AsyncClient, url: str, etag: str | None, max_bytes: int) -> Fetched:
    """Get a document of at most so many bytes, if it is another than before. Raises Unfetched."""
    # What is packed may be any size unpacked.
    headers = {"Accept": "text/calendar, */*;q=0.1", "Accept-Encoding": "identity"}
    if etag is not None:
        headers["If-None-Match"] = etag
    try:
        async with (
            asyncio.timeout(DEADLINE.total_seconds()),
            http.stream("GET", url, headers=headers) as response,
        ):
            if response.status_code == 304 and etag is not None:
                return Fetched(body=None, etag=etag)
            _check(response)
            return Fetched(body=await _body(response, max_bytes), etag=_etag(response))
    except TimeoutError:
        seconds = DEADLINE.total_seconds()
        raise Unfetched(f"the answer took more than {seconds:.0f} seconds") from None
    except httpx2.HTTPError as error:
        # Their words do not name the path, which may be a secret.
        said = " ".join(str(error).split()) or type(error).__name__
        raise Unfetched(said[:_SAID]) from None
    except (httpx2.InvalidURL, ValueError, ExceptionGroup):  # the last: of a port that is none
        raise Unfetched("this is not an address that can be asked") from None


def _check(response: httpx2.Response) -> None:
    status = response.status_code
    if 300 <= status < 400:
        raise Unfetched(
            f"HTTP {status}: redirects are not followed; write down the address it leads to"
        )
    if status != 200:
        raise Unfetched(f"HTTP {status}")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise Unfetched("the answer is packed, which was not asked for")


async def _body(response: httpx2.Response, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_bytes:
            raise Unfetched(f"the answer is larger than {max_bytes // 2**20} MiB")
    return bytes(body)


def _etag(response: httpx2.Response) -> str | None:
    """Return the ETag, if it is one that can be sent back."""
    etag: str = response.headers.get("etag", "")
    return etag if etag.isascii() and etag.isprintable() and 0 < len(etag) <= _ETAG else None
