"""What Tocsin adds to Sentry's own pages: the schema, its requests as they come, and the choices.

Two components: an action of alert rules, whose form chooses service, urgency and policy, and the
link from an issue to an incident. Sentry asks us when a form is opened and when it is saved
(``sentry_apps/external_requests/``). It builds the addresses of those requests from the host of
the webhook URL and the paths named here, and leaves out the query string for most of them: so the
path says which integration is meant, and the signature proves that Sentry asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from tocsin.core.body import NotJson, read_body
from tocsin.core.choice import POLICY, SERVICE, URGENCY, Choices, choose, offered
from tocsin.core.model import Severity, Signal, Urgency, Verb
from tocsin.core.place import as_text
from tocsin.core.plans import Integration, Plans
from tocsin.core.routes import route
from tocsin.core.text import clean

_T = TypeVar("_T")

#: Every path of a component begins so; the integration's id follows.
ROOT = "/sentry/components"

RULE = "alert-rule-action"
LINK = "issue-link/link"
CREATE = "issue-link/create"
OPTIONS = "options"

#: The field of the form that links an issue to an incident.
INCIDENT = "incident"

#: More than that no list of a form shows.
MOST_OPTIONS = 500


def component_schema(public_url: str, integration_id: str) -> dict[str, Any]:
    """Return the ``schema`` of a Sentry integration whose webhooks come to this integration."""
    root = f"{urlsplit(public_url).path.rstrip('/')}{ROOT}/{integration_id}"
    service = _select(SERVICE, "Service", root)
    choices = [
        {
            "type": "select",
            "label": "Urgency (as the service says when empty)",
            "name": URGENCY,
            "options": [
                [Urgency.HIGH.value, "High: page until somebody answers"],
                [Urgency.LOW.value, "Low: notify once"],
            ],
        },
        _select(POLICY, "Escalation policy (the service's when empty)", root),
    ]
    return {
        "elements": [
            {
                "type": "alert-rule-action",
                "title": "Page with Tocsin",
                "settings": {
                    "type": "alert-rule-settings",
                    "uri": f"{root}/{RULE}",
                    "description": "Who is paged, and how loudly, when this alert fires.",
                    "required_fields": [service],
                    "optional_fields": choices,
                },
            },
            {
                "type": "issue-link",
                "link": {
                    "uri": f"{root}/{LINK}",
                    "required_fields": [_select(INCIDENT, "Open incident", root, is_typed=True)],
                },
                "create": {
                    "uri": f"{root}/{CREATE}",
                    "required_fields": [
                        {"type": "text", "label": "Title", "name": "title",
                         "default": "issue.title"},
                        service,
                    ],
                    "optional_fields": [
                        {"type": "textarea", "label": "Details", "name": "details",
                         "default": "issue.description"},
                        *choices,
                    ],
                },
            },
        ]
    }  # fmt: skip


def _select(name: str, label: str, root: str, *, is_typed: bool = False) -> dict[str, Any]:
    """Return a field whose options are asked for; with ``is_typed`` at every letter typed."""
    field = {"type": "select", "label": label, "name": name, "uri": f"{root}/{OPTIONS}/{name}"}
    return field | ({"async": True} if is_typed else {})


# -- what Sentry asks -----------------------------------------------------------------------------


class Field(msgspec.Struct, frozen=True):
    """A field of a form that was filled in."""

    name: str
    value: Any = None


class RuleForm(msgspec.Struct, frozen=True):
    """An alert rule that is to be saved with our action."""

    fields: list[Field]

    @property
    def choices(self) -> Choices:
        """What the rule chose."""
        return [(one.name, text) for one in self.fields if (text := as_text(one.value))]


class Person(msgspec.Struct, frozen=True):
    """Who filled in a form."""

    name: str = ""


class Project(msgspec.Struct, frozen=True):
    """Where an issue is."""

    slug: str = ""


class IssueForm(msgspec.Struct, frozen=True, rename="camel"):
    """An issue that is to be linked."""

    #: A number on the wire, a text in the documentation.
    issue_id: int | str
    fields: dict[str, Any]
    web_url: str | None = None
    project: Project | None = None
    actor: Person | None = None

    def text(self, name: str) -> str:
        """Return a field; empty where it is absent."""
        return (as_text(self.fields.get(name)) or "").strip()

    @property
    def choices(self) -> Choices:
        """What the form chose."""
        return [(name, self.text(name)) for name in (SERVICE, URGENCY, POLICY)]

    @property
    def who(self) -> str:
        """Name who filled it in."""
        return clean((self.actor and self.actor.name) or "Sentry", 200)


class BadForm(ValueError):
    """A form cannot be taken; the message is shown to whoever filled it in."""


def read_rule(body: bytes) -> RuleForm:
    """Read a rule's form. Raises BadForm."""
    return _read(body, RuleForm)


def read_issue(body: bytes) -> IssueForm:
    """Read an issue's form. Raises BadForm."""
    form = _read(body, IssueForm)
    if not str(form.issue_id).strip():
        raise BadForm("the request does not say which issue is meant")
    return form


def _read(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(read_body(body), kind)
    except (NotJson, msgspec.ValidationError):
        raise BadForm("Tocsin could not read this form: is the integration up to date?") from None


# -- what is answered -----------------------------------------------------------------------------


class Option(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a list to choose from."""

    label: str
    value: str
    default: bool = False


class Linked(msgspec.Struct, frozen=True, rename="camel"):
    """What an issue is linked to: Sentry shows ``project#identifier``."""

    web_url: str
    project: str
    identifier: str


def check_rule(form: RuleForm, plans: Plans, integration: Integration) -> None:
    """Refuse a rule that names what is not there. Raises BadForm."""
    missing = choose(form.choices, plans, integration).missing
    if missing:
        raise BadForm(f"Tocsin cannot take this: {'; '.join(missing)}")


def options_of(
    name: str, plans: Plans, integration: Integration, project: str, query: str
) -> list[Option] | None:
    """Return what a field may be, as far as it is known from memory; None for no such field."""
    listed = _LISTS.get(name)
    if listed is None:
        return None
    sought = query.casefold()
    found = (one for one in listed(plans, integration, project) if sought in one.label.casefold())
    return [one for _, one in zip(range(MOST_OPTIONS), found, strict=False)]


def _services(plans: Plans, integration: Integration, project: str) -> Iterator[Option]:
    usual = _usual_service(integration, project)
    for service in offered(plans, integration):
        yield Option(label=service.name, value=service.name, default=service.id == usual)


def _usual_service(integration: Integration, project: str) -> str:
    """Return the service that an error of a project would go to, without a choice."""
    signal = Signal(
        resource="event_alert",
        action="triggered",
        verb=Verb.TRIGGER,
        dedup_key=None,
        title="",
        severity=Severity.ERROR,
        level="error",
        projects=(project,) if project else (),
    )
    row = route(integration.routes, signal)
    return (row.service_id if row else None) or integration.service_id


def _policies(plans: Plans, _integration: Integration, _project: str) -> Iterator[Option]:
    for policy in sorted(plans.policies.values(), key=lambda one: one.name):
        yield Option(label=policy.name, value=policy.name)


def _urgencies(_plans: Plans, _integration: Integration, _project: str) -> Iterator[Option]:
    for one in Urgency:
        yield Option(label=one.value, value=one.value)


_LISTS: Mapping[str, Callable[[Plans, Integration, str], Iterator[Option]]] = {
    SERVICE: _services,
    POLICY: _policies,
    URGENCY: _urgencies,
}
