"""The heartbeat: tell somebody outside that all is well, who raises the alarm when that ends."""

from __future__ import annotations

import httpx2


async def beat(http: httpx2.AsyncClient, url: str) -> bool:
    """Ask for an address; whether it was there. What it says is of no interest."""
    try:
        async with http.stream("GET", url) as response:
            return response.status_code < 400
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError):
        return False
