"""Requests of the UI components in Sentry: who may be asked for, and what a form asks.

A plain ASGI application, as intake is: Sentry waits about a second, and shows whatever is answered
with 400 or more to the person in front of it. Lists come from memory. Each request is signed with
the Client Secret; a GET has no body, and so its signature is that of nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import msgspec
import structlog

from tocsin.core.choice import choose
from tocsin.core.incident import Refused
from tocsin.core.plans import Integration, Plans
from tocsin.core.text import clean
from tocsin.sentry.components import (
    CREATE,
    INCIDENT,
    LINK,
    OPTIONS,
    ROOT,
    RULE,
    BadForm,
    check_rule,
    options_of,
    read_issue,
    read_rule,
)
from tocsin.store.plans import PlansCache
from tocsin.web.deadlines import Deadlines
from tocsin.web.headers import Send, send_json
from tocsin.web.reader import Hold, Reader, Unread
from tocsin.web.signature import COMPONENT_HEADER, is_signed, signature_of
from tocsin.work.components import Linker

log = structlog.get_logger("components")

#: The largest form.
_LARGEST = 2**18

#: Nobody waits longer.
_SECONDS = 5.0

_LOST = "Tocsin knows no such integration any more: connect Sentry again"


class _No(Exception):
    """The request is refused; the message is shown in Sentry."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request, signed by an integration's own Sentry."""

    plans: Plans
    integration: Integration
    body: bytes
    query: dict[str, list[str]]

    def parameter(self, name: str) -> str:
        """Return a parameter of the URL; empty where it is absent."""
        return clean(next(iter(self.query.get(name, ())), "").strip(), 200)


class ComponentRequests:
    """The ASGI application behind the paths of components."""

    def __init__(
        self,
        plans: PlansCache,
        linker: Linker,
        clock: Callable[[], datetime],
        deadlines: Deadlines,
        wake: Callable[[], None],
    ) -> None:
        """Take what it needs; ``wake`` is called when something may be due."""
        self._plans = plans
        self._linker = linker
        self._clock = clock
        self._deadlines = deadlines
        self._wake = wake
        self._reader = Reader(_LARGEST, deadlines)
        #: Path below the integration to its method and what answers it.
        self._answers: dict[str, tuple[str, Callable[[_Asked], Awaitable[Any]]]] = {
            RULE: ("POST", self._rule),
            LINK: ("POST", partial(self._link, linker.link)),
            CREATE: ("POST", partial(self._link, linker.create)),
        }

    def takes(self, path: str) -> bool:
        """Whether this path is of a component."""
        return path.startswith(f"{ROOT}/")

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Answer one request."""
        with Hold(self._reader) as hold:
            try:
                with self._deadlines.within(_SECONDS):
                    answer, status = await self._answer(scope, receive, hold), 200
            except (_No, Unread) as refused:
                answer, status = {"message": str(refused)}, refused.status
            except (BadForm, Refused) as refused:
                answer, status = {"message": str(refused)}, 400
            except Exception as error:  # noqa: BLE001 - whoever is in front of it is told
                log.warning(
                    "component not answered", error=f"{type(error).__name__}: {error}"[:300]
                )
                answer = {"message": "Tocsin cannot look that up just now: try again"}
                status = 503
        log.info("component", path=scope["path"][:200], method=scope["method"], status=status)
        await send_json(send, status, msgspec.json.encode(answer))

    async def _answer(self, scope: Any, receive: Any, hold: Hold) -> Any:
        id_, _, what = scope["path"][len(ROOT) + 1 :].strip("/").partition("/")
        method, answer = self._answering(what)
        if scope["method"] != method:
            raise _No(405, f"this path takes {method}")
        body = await self._reader.read(scope, receive, hold)
        plans, integration = await self._integration(id_)
        headers = scope["headers"]
        signature = signature_of(dict(headers), headers, COMPONENT_HEADER)
        if not is_signed(body, signature, integration.signing_secrets):
            raise _No(401, "the signature is wrong: is the Client Secret in Tocsin the one of this"
                           " integration in Sentry?")  # fmt: skip
        if not integration.is_enabled:
            raise _No(403, f"the integration {integration.name} is disabled in Tocsin")
        query = parse_qs(scope["query_string"].decode("latin-1"), errors="replace")
        asked = _Asked(plans=plans, integration=integration, body=body, query=query)
        return await answer(asked)

    def _answering(self, what: str) -> tuple[str, Callable[[_Asked], Awaitable[Any]]]:
        kind, _, name = what.partition("/")
        if kind == OPTIONS and name:
            return "GET", partial(self._options, name)
        if what not in self._answers:
            raise _No(404, "there is no such component")
        return self._answers[what]

    async def _integration(self, id_: str) -> tuple[Plans, Integration]:
        """Find the integration in memory; it may have been connected a moment ago, elsewhere."""
        plans = self._plans.known
        known = plans.integrations.get(id_) if plans else None
        if plans is None or known is None or not known.signing_secrets:
            plans = await asyncio.to_thread(self._plans.refresh, at_most_every=0.1)
        found = plans.integrations.get(id_)
        if found is None or found.is_deleted:
            raise _No(404, _LOST)
        if not found.signing_secrets:
            raise _No(401, f"the integration {found.name} has no Client Secret in Tocsin yet")
        return plans, found

    # -- one by one

    async def _options(self, name: str, asked: _Asked) -> Any:
        query = asked.parameter("query")
        if name == INCIDENT:
            return await asyncio.to_thread(self._linker.open_incidents, asked.integration, query)
        project = asked.parameter("projectSlug")
        found = options_of(name, asked.plans, asked.integration, project, query)
        if found is None:
            raise _No(404, f"no form of Tocsin has a field {name[:50]!r}")
        return found

    async def _rule(self, asked: _Asked) -> Any:
        form, plans = read_rule(asked.body), asked.plans
        if choose(form.choices, plans, asked.integration).missing:
            # What it names may have been made a moment ago, elsewhere.
            plans = await asyncio.to_thread(self._plans.refresh, at_most_every=0.1)
        check_rule(form, plans, asked.integration)
        return {"message": "Tocsin has checked this action"}

    async def _link(self, does: Callable[..., Any], asked: _Asked) -> Any:
        form = read_issue(asked.body)
        linked = await asyncio.to_thread(does, asked.integration, form, self._clock())
        self._wake()
        return linked
