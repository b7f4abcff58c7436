"""One round of genuine-shaped webhooks, each with the answer that has to come back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from tocsin.boot import Store
from tocsin.cli.demo.show import Show
from tocsin.cli.demo.world import SECRET, caller_of
from tocsin.core.access import EVERYTHING
from tocsin.sentry.sender import Issue, Webhook, encode, legacy_webhook, send, webhook
from tocsin.store import views
from tocsin.store.lists import Filter
from tocsin.work import respond
from tocsin.work.respond import Desk

#: The four URLs a Sentry may be pointed at, by the product they were made for.
URLS = {
    "Tocsin": "/in/{key}",
    "OpsKnight": "/api/integrations/sentry?integrationId={key}",
    "ITOC360": "/functions/v1/events?token={key}",
    "Navi.sh": "/v1/events/sentry/{key}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One thing that happens in the demo."""

    says: str
    #: None: nothing is sent, the responder acknowledges the open incident.
    hook: Webhook | None
    url: str = "Tocsin"
    key: str = "demo-routing-key"
    secret: str | None = SECRET
    #: The status that has to come back.
    status: int = 202
    #: Seconds until the next one.
    pause: float = 1.0


def scenes(number: int) -> list[Scene]:
    """Return one round of the demo; each has issues of its own."""
    issue = Issue(id=str(1000 + number))
    metric = Issue(id=str(5000 + number), title="latency")
    slow = Issue(
        id=str(3000 + number),
        title="ConnectionTimeout: no shard answered within 5 s",
        culprit="search.index.query",
        level="fatal",
        project="search",
    )
    font = replace(issue, id=str(7000 + number), title="404: /fonts/title.woff2", level="warning")
    garbage = Webhook(resource="issue", action=None, body=b'{"action":"created","data":NaN}')
    unknown = Webhook(resource="size_analysis", action=None, body=encode({"action": "completed"}))
    return [
        Scene(says="a new issue: Ann is paged", hook=webhook("issue", "created", issue)),
        Scene(says="the alert rule fires for it", hook=webhook("event_alert", "triggered", issue)),
        Scene(says="and again", hook=webhook("event_alert", "triggered", issue)),
        Scene(says="a comment in Sentry", hook=webhook("comment", "created", issue)),
        Scene(says="Ann acknowledges", hook=None),
        Scene(says="resolved in Sentry", hook=webhook("issue", "resolved", issue)),
        Scene(says="it comes back: a new incident", hook=webhook("issue", "unresolved", issue)),
        Scene(says="a metric warns", hook=webhook("metric_alert", "warning", metric)),
        Scene(says="and turns critical", hook=webhook("metric_alert", "critical", metric)),
        Scene(says="and is over", hook=webhook("metric_alert", "resolved", metric)),
        Scene(
            says="the legacy plugin, unsigned, at OpsKnight's URL",
            hook=legacy_webhook(replace(font, project="website", culprit="/pricing")),
            url="OpsKnight",
            key="demo-legacy-key",
        ),
        Scene(
            says="a fatal issue at Navi.sh's URL",
            hook=webhook("issue", "created", slow),
            url="Navi.sh",
        ),
        Scene(
            says="resolved, at ITOC360's URL",
            hook=webhook("issue", "resolved", slow),
            url="ITOC360",
            status=200,
        ),
        Scene(
            says="a wrong signature: refused, and kept in the log",
            hook=webhook("issue", "created", issue),
            secret="not-the-secret",  # noqa: S106 - that is the point
            status=401,
        ),
        Scene(says="garbage, but signed: kept, not understood", hook=garbage),
        Scene(says="garbage, unsigned: refused", hook=garbage, key="demo-legacy-key", status=400),
        Scene(says="something nobody knows yet", hook=unknown),
        Scene(
            says="nobody acknowledges: Bob is paged too",
            hook=webhook("event_alert", "triggered", issue),
            pause=3.0,
        ),
        Scene(says="resolved in Sentry", hook=webhook("issue", "resolved", issue), pause=2.0),
    ]


def play(store: Store, show: Show, scene: Scene, at: datetime) -> None:
    """Let a scene happen."""
    if scene.hook is None:
        _acknowledge(store, at)
    else:
        _send(show, scene, scene.hook)


def _send(show: Show, scene: Scene, hook: Webhook) -> None:
    url = show.base + URLS[scene.url].format(key=scene.key)
    answer = send(url, hook, scene.secret)
    show.answers.append((scene.says, answer, answer.status == scene.status))


def _acknowledge(store: Store, at: datetime) -> None:
    with store.database.read() as connection:
        plans = store.plans.current(connection)
        wanted = Filter(equal=(("status", ("triggered",)),), limit=1)
        page = views.incident_page(connection, plans, EVERYTHING, wanted)
    ann = caller_of(store, "Ann")
    for incident in page.items:
        desk = Desk(store.database, store.plans)
        desk.act(incident.id, respond.acknowledge(ann.by), ann, at)
