"""A page as an HTTP request, with Standard Webhooks 1.0.0 headers (contract section 6)."""

from __future__ import annotations

import base64
import binascii
import math
import secrets
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx2
from standardwebhooks import Webhook

from tocsin.channels.base import Channel, Message, Outside
from tocsin.core.retry import Outcome, Report

#: What an answer's status means; others by hundreds.
OUTCOMES = {410: Outcome.GONE, 408: Outcome.RETRY, 425: Outcome.RETRY, 429: Outcome.RETRY}
OUTCOMES_BY_HUNDREDS = {2: Outcome.DELIVERED, 3: Outcome.RETRY, 4: Outcome.RETRY, 5: Outcome.RETRY}

#: How much of an answer is read; the rest is of no interest.
_ANSWER_BYTES = 65_536
_SAID = 200


def make(outside: Outside) -> Channel:
    """Build the channel."""
    return _WebhookChannel(outside.http)


def check(address: str) -> str | None:
    """Return what is wrong with an address, or None."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"{address!r} is not a URL"
    if parts.scheme not in ("http", "https") or not host:
        return f"{address!r} is not an http:// or https:// URL"
    return None


def check_secret(secret: str) -> str | None:
    """Return what is wrong with a secret, or None."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_") + "==", validate=False)
    except (binascii.Error, ValueError):
        key = b""
    return None if key else "a webhook's secret is whsec_ followed by base64"


def make_secret() -> str:
    """Return a new secret, as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


class _WebhookChannel:
    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def send(self, message: Message, address: str, secret: str | None) -> Report:
        """Post the message."""
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(math.floor(message.at.timestamp())),
        }
        if secret:
            headers["webhook-signature"] = Webhook(secret).sign(
                message.id, message.at, message.document.decode()
            )
        try:
            async with self._http.stream(
                "POST", address, content=message.document, headers=headers
            ) as response:
                said = await _beginning(response)
        except httpx2.HTTPError as error:
            return Report(outcome=Outcome.RETRY, detail=_reason(error))
        except (httpx2.InvalidURL, ValueError):
            return Report(outcome=Outcome.RETRY, detail="this is not an address that can be asked")
        status = response.status_code
        outcome = OUTCOMES.get(status) or OUTCOMES_BY_HUNDREDS.get(status // 100, Outcome.RETRY)
        return Report(
            outcome=outcome,
            detail=f"HTTP {status}" + (f": {said}" if said and status >= 300 else ""),
            retry_after=_retry_after(response.headers.get("retry-after"), message.at),
        )


async def _beginning(response: httpx2.Response) -> str:
    read = b""
    async for chunk in response.aiter_raw():
        read += chunk
        if len(read) >= _ANSWER_BYTES:
            break
    return " ".join(read[:_SAID].decode("utf-8", "replace").split())


def _reason(error: httpx2.HTTPError) -> str:
    """Name the failure without the address: its path may hold a secret."""
    named: dict[type[httpx2.HTTPError], str] = {
        httpx2.ConnectTimeout: "no connection in time",
        httpx2.ReadTimeout: "no answer in time",
        httpx2.WriteTimeout: "the request could not be sent in time",
    }
    return named.get(type(error), f"{type(error).__name__}: {error}"[:_SAID])


def _retry_after(value: str | None, now: datetime) -> timedelta | None:
    if value is None:
        return None
    if value.strip().isdecimal():
        return timedelta(seconds=min(int(value.strip()[:9]), 86_400))
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(at - now, timedelta()) if at.tzinfo else None
