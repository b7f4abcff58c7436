"""Help that needs no network, and no account."""

from __future__ import annotations

from typing import Any

from litestar import Response, get

from tocsin.web.pages.visit import Visiting

#: The words that the pages use, as the glossary has them.
WORDS: tuple[tuple[str, str], ...] = (
    ("Source", "A monitoring system that sends webhooks, such as Sentry."),
    ("Integration", "One connection from a source to a service: an address and its secrets."),
    ("Delivery", "One webhook as it arrived, and what became of it."),
    ("Alert", "One condition at a source, for ever: every delivery about it meets there."),
    ("Incident", "One period of response to an alert, from its trigger until it is resolved."),
    ("Occurrence", "One trigger of an alert, counted; it pages nobody again."),
    ("Service", "What is watched, owned by a team, with an escalation policy."),
    ("Severity", "How bad the source says it is: critical, error, warning or info."),
    ("Priority", "How much it matters: critical, high, medium, low or none."),
    ("Urgency", "How loudly people are told, high or low; it follows from the two above."),
    ("Escalation policy", "Steps that are taken one after the other until somebody answers."),
    ("Schedule", "Who is on call when: layers of turns, with overrides over them."),
    ("Override", "For a time somebody else is on call, or somebody besides, or nobody."),
    ("Gap", "A time in which a schedule has nobody on call."),
    ("Fallback", "The person who is paged when a policy reaches nobody."),
    ("Contact method", "One way to reach a person: an e-mail address, a webhook."),
    ("Notification rule", "At this urgency, after so long, by that contact method."),
    ("Maintenance window", "A planned time in which incidents are noted and page nobody."),
    ("Noise rule", "What a service is spared, by what Sentry knows of an issue."),
)

#: Status to what it means, as the badges show them.
STATUSES: tuple[tuple[str, str], ...] = (
    ("triggered", "Nobody has it yet: people are being paged, step by step."),
    ("acknowledged", "Somebody has it: nobody else is paged, unless they take too long."),
    ("snoozed", "It waits until a time, then it is triggered again."),
    ("resolved", "It is over. The next trigger of its alert opens a new incident."),
)

DELIVERIES: tuple[tuple[str, str], ...] = (
    ("accepted", "It is stored and waits to be processed, for a moment."),
    ("processed", "It was read, and what it asked for was done."),
    ("unrecognised", "It is sound JSON of a shape that is not known. Nothing is lost: it is kept."),
    ("rejected", "It was refused: the signature was wrong, or the integration is switched off."),
    ("failed", "Reading it went wrong. It is kept, and can be replayed."),
)

KEYS: tuple[tuple[str, str], ...] = (
    ("?", "Show the shortcuts"),
    ("/", "Search"),
    ("g i", "Go to the incidents"),
    ("g o", "Go to who is on call"),
    ("g s", "Go to the services"),
    ("g d", "Go to the deliveries"),
    ("j, k", "Next, previous in a list"),
    ("Enter", "Open what is marked"),
    ("x", "Tick what is marked"),
    ("a", "Acknowledge"),
    ("r", "Resolve"),
    ("s", "Snooze"),
    ("e", "Escalate"),
    ("n", "Write a note"),
    ("Esc", "Close a menu"),
)


@get("/help", opt={"action": None}, sync_to_thread=True)
def help_page(visit: Visiting) -> Response[bytes]:
    """Explain what is on the pages."""
    return visit.page("help.html", words=WORDS, statuses=STATUSES, deliveries=DELIVERIES, keys=KEYS)


PAGES: tuple[Any, ...] = (help_page,)
