"""Intake: verify, keep, answer. Nothing else happens before the answer.

A plain ASGI application with its own bounded reader: what frameworks do with hostile bodies is a
500, and what they do with good ones costs more than keeping them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import msgspec
import structlog

from tocsin.core.access import Action, may
from tocsin.core.body import Body, NotJson, read_body
from tocsin.core.dialect import Dialect, identify, read
from tocsin.core.event import event_errors
from tocsin.core.model import (
    DeliveryStatus,
    Verb,
)
from tocsin.core.plans import (
    Integration,
)
from tocsin.core.text import clean
from tocsin.store.db import new_id
from tocsin.store.inbox import Arrival, Stored
from tocsin.store.people import ApiKey
from tocsin.store.plans import PlansCache
from tocsin.store.vault import key_hash
from tocsin.web.deadlines import Deadlines
from tocsin.web.headers import Header, Send, send_json
from tocsin.web.reader import Hold, Reader, Receive, Scope, Unread
from tocsin.web.request import KEY_OF, MAX_WAIT, NO_KEY, BearerKey, Request
from tocsin.web.signature import is_signed, signature_of
from tocsin.web.styles import Kept, Refusal, Style, accepted, style_of
from tocsin.work.intake import dialect_for

Headers: TypeAlias = Sequence[Header]

log = structlog.get_logger("intake")

#: A request that could not be kept within this is answered 503.
_KEEP_SECONDS = 10.0

#: A reason has no more room in the log.
_REASON_LENGTH = 500

#: The source whose bodies are Sentry's, with Sentry's signatures.
_SENTRY = "sentry"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a delivery, for a sender that waits."""

    outcome: str | None
    incident_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What intake asks of the rest of the program."""

    plans: PlansCache
    dialects: Mapping[str, Dialect]
    #: Keep a request, durably; return the delivery that stands for it.
    keep: Callable[[Arrival], Awaitable[str]]
    #: Return a delivery as it came in, if it is still there.
    stored: Callable[[str], Awaitable[Stored | None]]
    #: Wait for a delivery's outcome for so many seconds; None if it was not processed in time.
    outcome: Callable[[str, float], Awaitable[Outcome | None]]
    #: Whom an API key stands for; None if nobody knows it.
    who: Callable[[str], Awaitable[ApiKey | None]]
    #: The integration that takes a service's events; None if whoever has the key sees no such.
    events_of: Callable[[str, ApiKey], Awaitable[Integration | None]]
    #: Count a request by integration and result.
    count: Callable[[str, str], None]
    max_body: int


class _Refused(Exception):
    """The request is refused; with an integration, it is kept in the log with the reason."""

    def __init__(
        self,
        refusal: Refusal,
        reason: str,
        integration: Integration | None = None,
        errors: list[str] | None = None,
    ) -> None:
        super().__init__(reason)
        self.refusal = refusal
        # They may quote the request: repaired here, once, for the answer and for the log.
        self.reason = clean(reason)
        self.integration = integration
        self.errors = [clean(error) for error in errors or []]

    @property
    def whole_reason(self) -> str:
        """The reason with what exactly is wrong."""
        return "; ".join(dict.fromkeys([self.reason, *self.errors]))


class Intake:
    """The ASGI application behind the intake URLs."""

    def __init__(self, ports: Ports, clock: Callable[[], datetime], deadlines: Deadlines) -> None:
        """Take what it needs."""
        self._ports = ports
        self._clock = clock
        self._deadlines = deadlines
        self._reader = Reader(ports.max_body, deadlines)
        #: Requests that were read and are not yet kept: those that cost something now.
        self.at_work = 0

    def takes(self, path: str) -> bool:
        """Whether this path is an intake URL."""
        return style_of(path) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        with Hold(self._reader) as hold:
            status, body, headers = await self._answer(scope, receive, hold)
        await send_json(send, status, body, headers)

    async def _answer(
        self, scope: Scope, receive: Receive, hold: Hold
    ) -> tuple[int, bytes, Headers]:
        matched = style_of(scope["path"])
        assert matched is not None
        style, rest = matched
        if scope["method"] != "POST":
            return 405, _encoded(style.refuse("this URL takes POST", [])), [(b"allow", b"POST")]
        try:
            body = await self._reader.read(scope, receive, hold)
        except Unread as error:
            self._ports.count("-", str(error.status))
            return error.status, _encoded(style.refuse(error.reason, [])), error.headers
        request = Request(
            style=style,
            rest=rest,
            query_string=scope["query_string"],
            raw_headers=scope["headers"],
            headers=dict(scope["headers"]),
            body=body,
            received_at=self._clock(),
        )
        try:
            status, answer = await self._take_or_refuse(request)
            return status, _encoded(answer), []
        except Exception as error:  # noqa: BLE001 - not kept is 503, whatever the reason
            log.warning("delivery not kept", error=f"{type(error).__name__}: {error}"[:300])
            self._ports.count("-", "503")
            reason = "this delivery could not be stored just now; send it again"
            return 503, _encoded(style.refuse(reason, [])), _LATER

    async def _take_or_refuse(self, request: Request) -> tuple[int, dict[str, Any]]:
        style = request.style
        self.at_work += 1
        try:
            with self._deadlines.within(_KEEP_SECONDS):
                kept = await self._take(request)
        except _Refused as refused:
            status = style.refused[refused.refusal]
            await self._log_refused(request, refused, status)
            return status, style.refuse(refused.reason, refused.errors)
        finally:
            self.at_work -= 1
        if not kept.is_readable:
            return style.accepted, accepted(kept)
        return style.accepted, style.answer(await self._awaited(request, kept))

    async def _take(self, request: Request) -> Kept:
        """Look at a request in the order of refusal, and keep it."""
        integration, body = await self._integration(request)
        is_verified = self._check(request, integration)
        try:
            body = body if body is not None else read_body(request.body)
        except NotJson as error:
            if not is_verified:
                raise _Refused(Refusal.NOT_JSON, str(error), integration) from None
            # Sentry sends once: what it signed is kept, whatever it is.
            return await self._keep_unread(request, integration, str(error))
        if integration.source != _SENTRY:
            errors = event_errors(body, only_known_keys=request.style.name == "pagerduty")
            if errors:
                raise _Refused(Refusal.INVALID, errors[0], integration, errors)
        return await self._keep(request, integration, body, is_verified=is_verified)

    # -- the order of refusal

    async def _integration(self, request: Request) -> tuple[Integration, Body | None]:
        """Find whose key this is; the body comes too where the key was in it."""
        if request.style.has_key_in_body:
            _check_encoding(request, None)
        try:
            key, body = KEY_OF[request.style.name](request)
        except NotJson as error:
            raise _Refused(Refusal.NOT_JSON, str(error)) from None
        if isinstance(key, BearerKey):
            integration, body = await self._by_api_key(key, request)
        else:
            integration = await self._by_routing_key(request.style.name, key)
        if not integration.is_enabled:
            reason = f"the integration {integration.name} is disabled"
            raise _Refused(Refusal.DISABLED, reason, integration)
        return integration, body

    async def _by_routing_key(self, style: str, key: str | None) -> Integration:
        if not key:
            raise _Refused(Refusal.NO_KEY, NO_KEY[style])
        integration = await self._known(key)
        if integration is None:
            reason = "unknown key: copy the URL of the integration again"
            raise _Refused(Refusal.UNKNOWN_KEY, reason)
        if style in ("events", "pagerduty") and integration.source == _SENTRY:
            reason = "this key belongs to a Sentry integration, which takes its webhooks at /in/"
            raise _Refused(Refusal.UNKNOWN_KEY, reason)
        return integration

    async def _known(self, key: str) -> Integration | None:
        hashed = key_hash(key)
        found = self._ports.plans.by_routing_key(hashed)
        if found is None:
            # It may have been made a moment ago, elsewhere.
            await asyncio.to_thread(self._ports.plans.refresh, at_most_every=0.1)
            found = self._ports.plans.by_routing_key(hashed)
        return found

    async def _by_api_key(self, key: BearerKey, request: Request) -> tuple[Integration, Body]:
        """Ask for the key first: nobody's body is not looked at."""
        sender = await self._ports.who(key.text)
        if sender is None:
            raise _Refused(Refusal.UNKNOWN_KEY, "unknown API key")
        if not may(sender.role, Action.RESPOND):
            raise _Refused(Refusal.FORBIDDEN, "this API key may not send events")
        _check_encoding(request, None)
        try:
            body = read_body(request.body)
        except NotJson as error:
            raise _Refused(Refusal.NOT_JSON, str(error)) from None
        service = body.get("service_id")
        if not service or not isinstance(service, str):
            raise _Refused(Refusal.INVALID, "with an API key, 'service_id' is needed")
        integration = await self._ports.events_of(service, sender)
        if integration is None:
            raise _Refused(Refusal.INVALID, f"there is no service {service}")
        return integration, body

    def _check(self, request: Request, integration: Integration) -> bool:
        """Check type, encoding and signature; return whether a signature was verified."""
        kind = (request.header(b"content-type") or "").partition(";")[0].strip().lower()
        if request.style.needs_json_type and kind != "application/json":
            reason = f"the content type is {kind or 'missing'}, not application/json"
            raise _Refused(Refusal.CONTENT_TYPE, reason, integration)
        _check_encoding(request, integration)
        if integration.source != _SENTRY or not integration.signing_secrets:
            return False
        signature = signature_of(request.headers, request.raw_headers)
        if is_signed(request.body, signature, integration.signing_secrets):
            return True
        reason = (
            "the signature is wrong: is the Client Secret the one of this integration in Sentry?"
            if signature is not None
            else "there is no signature, and this integration has a signing secret"
        )
        raise _Refused(Refusal.SIGNATURE, reason, integration)

    # -- keeping

    async def _keep(
        self, request: Request, integration: Integration, body: Body, *, is_verified: bool
    ) -> Kept:
        style = request.style
        dialect = self._ports.dialects[dialect_for(integration, style.name)]
        dedup_key, resolves = _identify(style, dialect, body, request.resource, integration)
        body_key = None
        if integration.is_replay_strict and is_verified:
            body_key = f"sha256:{hashlib.sha256(request.body).hexdigest()}"
        arrival = _arrival(
            request,
            integration,
            DeliveryStatus.ACCEPTED,
            style.accepted,
            dedup_key=dedup_key,
            key=request.idempotency_key,
            body_key=body_key,
        )
        stands = await self._ports.keep(arrival)
        self._ports.count(integration.name, "accepted" if stands == arrival.id else "repeated")
        kept = Kept(
            delivery_id=stands,
            integration_id=integration.id,
            received_at=request.received_at,
            body=request.body,
            dedup_key=dedup_key,
            resolves=resolves,
        )
        if stands == arrival.id or not style.tells_more:
            return kept
        first = await self._ports.stored(stands)
        return _as_first(kept, first, style, dialect, integration) if first else kept

    async def _awaited(self, request: Request, kept: Kept) -> Kept:
        """Wait for the outcome, if the sender or the URL does."""
        seconds = max(request.style.waits, request.wait)
        if not seconds:
            return kept
        with self._deadlines.within(_KEEP_SECONDS + MAX_WAIT):
            found = await self._ports.outcome(kept.delivery_id, seconds)
        if found is None:
            return kept
        return msgspec.structs.replace(
            kept, outcome=found.outcome, incident_id=found.incident_id, was_awaited=True
        )

    async def _keep_unread(self, request: Request, integration: Integration, reason: str) -> Kept:
        # Only an accepted delivery is the first of its key: this one has none.
        arrival = _arrival(
            request, integration, DeliveryStatus.REJECTED, request.style.accepted, reason=reason
        )
        stands = await self._ports.keep(arrival)
        self._ports.count(integration.name, "unreadable")
        return Kept(
            delivery_id=stands,
            integration_id=integration.id,
            received_at=request.received_at,
            body=b"",
            dedup_key=None,
            resolves=False,
            is_readable=False,
        )

    async def _log_refused(self, request: Request, refused: _Refused, status: int) -> None:
        integration = refused.integration
        self._ports.count(integration.name if integration else "-", "rejected")
        if integration is None:
            return
        # Only an accepted delivery is the first of its key: this one has none.
        arrival = _arrival(
            request, integration, DeliveryStatus.REJECTED, status, reason=refused.whole_reason
        )
        try:
            with self._deadlines.within(_KEEP_SECONDS):
                await self._ports.keep(arrival)
        except Exception as error:  # noqa: BLE001 - the refusal stands, logged or not
            log.warning("refusal not kept", error=f"{type(error).__name__}: {error}"[:300])


def _identify(
    style: Style, dialect: Dialect, body: Body, resource: str | None, integration: Integration
) -> tuple[str | None, bool]:
    """Return the dedup key, and whether it resolves; no more of it than the answer tells."""
    if not style.tells_more:
        reading = identify(dialect, body, resource)
        return (reading.dedup_key if reading else None), False
    signal = read(dialect, body, resource, integration)
    if signal is None:
        return None, False
    return signal.dedup_key, signal.verb is Verb.RESOLVE


def _as_first(
    kept: Kept, first: Stored, style: Style, dialect: Dialect, integration: Integration
) -> Kept:
    """Let the answer to a repeat tell of the delivery that it repeats."""
    body = read_body(first.body)
    dedup_key, resolves = _identify(style, dialect, body, first.resource, integration)
    return msgspec.structs.replace(
        kept,
        received_at=first.received_at,
        body=bytes(first.body),
        dedup_key=dedup_key,
        resolves=resolves,
    )


def _check_encoding(request: Request, integration: Integration | None) -> None:
    if request.header(b"content-encoding") is not None:
        reason = "the body is encoded: send it without Content-Encoding"
        raise _Refused(Refusal.ENCODED, reason, integration)


#: With 503: when to try again.
_LATER: Headers = [(b"retry-after", b"1")]


def _encoded(answer: dict[str, Any]) -> bytes:
    return msgspec.json.encode(answer)


def _arrival(
    request: Request,
    integration: Integration,
    status: DeliveryStatus,
    http_status: int,
    *,
    reason: str | None = None,
    dedup_key: str | None = None,
    key: str | None = None,
    body_key: str | None = None,
) -> Arrival:
    resource = request.resource
    return Arrival(
        id=new_id("del", request.received_at),
        integration_id=integration.id,
        received_at=request.received_at,
        url_style=request.style.name,
        resource=resource[:100] if resource else None,
        status=status,
        http_status=http_status,
        reason=clean(reason, _REASON_LENGTH) if reason is not None else None,
        dedup_key=dedup_key,
        headers=request.kept_headers,
        body=request.kept_body,
        key=key,
        body_key=body_key,
    )
