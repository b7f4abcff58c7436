"""The API of integrations and alert rules."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

from tocsin.fake_sentry import components, written
from tocsin.fake_sentry.api import Told
from tocsin.fake_sentry.asked import Asked
from tocsin.fake_sentry.life import APP_ACTION, SERVICE_ACTION
from tocsin.fake_sentry.things import (
    ROLES,
    App,
    Installation,
    Json,
    Organization,
    Project,
    Refusal,
    Rule,
    new_uuid,
)

_RESOURCES = {
    "issue", "error", "comment", "seer", "preprod_artifact",
    "issue.created", "issue.resolved", "issue.ignored", "issue.archived", "issue.assigned",
    "issue.unresolved", "error.created", "comment.created", "comment.updated", "comment.deleted",
}  # fmt: skip

#: What an integration must be able to read to hear of it.
_NEEDED = {"issue": "event:read", "error": "event:read", "comment": "event:read"}

_SCOPES = ROLES["owner"]
_LONGEST_NAME = 57
_LONGEST_URL = 512


def list_apps(asked: Asked, org: str) -> Told:
    """List the organisation's own integrations."""
    home = asked.world.organization(org)
    asked.may(home, "org:read", "org:write", "org:admin", "org:integrations")
    newest = sorted(home.apps, key=lambda app: app.made_at, reverse=True)
    return 200, asked.page(newest, lambda app: written.app(asked.world, app, asked.token.person))


def list_installations(asked: Asked, org: str) -> Told:
    """List what is installed, to members: the user of an integration is none."""
    home = asked.world.organization(org)
    if asked.token.person not in home.people:
        raise Refusal(403, "User must belong to the given organization")
    asked.may(home, "org:read", "org:write", "org:admin", "org:integrations")
    return 200, asked.page(home.installations, lambda one: written.installation(home, one))


def create_app(asked: Asked) -> Told:
    """Make an integration, and install it where it is internal."""
    said = asked.said
    slug = said.get("organization")
    if not isinstance(slug, str) or not slug:
        raise Refusal(404, "Please provide a valid value for the 'organization' field.")
    home = asked.world.organization(slug)
    if asked.token.person not in home.people:
        raise Refusal(403, f"User does not belong to the '{slug}' organization.")
    asked.may(home, "org:write", "org:admin")
    _check(asked, home, said, None)
    name = str(said["name"])
    app = App(
        id=asked.world.new_id(),
        uuid=new_uuid(),
        slug=f"{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}-{secrets.token_hex(3)}",
        name=name,
        scopes=sorted(said.get("scopes") or ()),
        events=sorted(said.get("events") or ()),
        webhook_url=said.get("webhookUrl") or "",
        schema=said.get("schema") or {},
        is_alertable=bool(said.get("isAlertable")),
        client_secret=secrets.token_hex(32),
        made_at=asked.world.clock.now(),
        status="internal" if said.get("isInternal") else "unpublished",
        author=said.get("author") or home.name,
        overview=said.get("overview"),
    )
    home.apps.append(app)
    if app.status == "internal":
        # Installed at once, and nobody is told.
        home.installations.append(Installation(new_uuid(), app))
    return 201, written.app(asked.world, app, asked.token.person)


def _check(asked: Asked, home: Organization, said: Json, known: App | None) -> None:
    """Refuse what Sentry would refuse of an integration."""
    name = said.get("name")
    if known is None and not name:
        raise Refusal(400, {"name": ["This field is required."]})
    if name and len(str(name)) > _LONGEST_NAME:
        raise Refusal(400, {"name": [f"Cannot exceed {_LONGEST_NAME} characters"]})
    scopes = said.get("scopes") or []
    events = said.get("events") or []
    _check_scopes(asked, scopes, known)
    strangers = set(events) - _RESOURCES
    if strangers:
        raise Refusal(400, {"events": [f"Invalid event subscription: {', '.join(strangers)}"]})
    if "error" in events and "integrations-event-hooks" not in home.features:
        why = "Your organization does not have access to the 'error' resource subscription."
        raise Refusal(403, {"non_field_errors": [why]})
    for event in events:
        needed = _NEEDED.get(event.partition(".")[0])
        if scopes and needed and needed not in scopes:
            raise Refusal(400, {"events": [f"{event} webhooks require the {needed} permission."]})
    url = said.get("webhookUrl")
    if url is not None and not str(url).startswith("http"):
        raise Refusal(400, {"webhookUrl": ["URL must start with http[s]://"]})
    if len(str(url or "")) > _LONGEST_URL:
        raise Refusal(400, {"webhookUrl": [f"Cannot exceed {_LONGEST_URL} characters"]})
    if not (url or (known and known.webhook_url)) and (events or said.get("isAlertable")):
        raise Refusal(400, {"webhookUrl": ["webhookUrl required if webhook events are enabled"]})
    components.check_schema(said.get("schema"))


def _check_scopes(asked: Asked, scopes: Sequence[str], known: App | None) -> None:
    """Refuse scopes that are none, or more than whoever asks has."""
    for scope in scopes:
        if scope not in _SCOPES:
            raise Refusal(400, {"scopes": [f"{scope} not a valid scope"]})
    person = asked.token.person
    mine = asked.token.scopes & ROLES[person.role] if person else set()
    mine = mine | set(known.scopes if known else ())
    beyond = [
        f"Requested permission of {one} exceeds requester's permission. Please contact an"
        " administrator to make the requested change."
        for one in scopes
        if one not in mine
    ]
    if beyond:
        raise Refusal(400, {"scopes": beyond})


def _own(asked: Asked, slug: str, *scopes: str) -> App:
    """Return an integration, to somebody of its organisation who may."""
    app = asked.world.app(slug)
    home = asked.world.home_of(app)
    if asked.token.person not in home.people:
        raise Refusal(403, "User must be in the app owner's organization for unpublished apps")
    asked.may(home, *scopes)
    return app


def show_app(asked: Asked, slug: str) -> Told:
    """Show an integration."""
    app = _own(asked, slug, "org:read", "org:integrations", "org:write", "org:admin")
    return 200, written.app(asked.world, app, asked.token.person)


def change_app(asked: Asked, slug: str) -> Told:
    """Let an integration be otherwise."""
    app = _own(asked, slug, "org:write", "org:admin")
    said = asked.said
    _check(asked, asked.world.home_of(app), said, app)
    for name, attribute in _CHANGEABLE.items():
        if said.get(name) is not None:
            setattr(app, attribute, said[name])
    return 200, written.app(asked.world, app, asked.token.person)


_CHANGEABLE = {
    "name": "name",
    "scopes": "scopes",
    "events": "events",
    "webhookUrl": "webhook_url",
    "schema": "schema",
    "isAlertable": "is_alertable",
    "overview": "overview",
}


def delete_app(asked: Asked, slug: str) -> Told:
    """Delete an integration; nobody is told of an internal one."""
    app = _own(asked, slug, "org:admin")
    if app.status == "published":
        raise Refusal(403, {"detail": ["Published apps cannot be removed."]})
    home = asked.world.home_of(app)
    home.apps.remove(app)
    home.installations = [one for one in home.installations if one.app is not app]
    asked.world.tokens = [one for one in asked.world.tokens if one.app is not app]
    return 204, None


def rotate_secret(asked: Asked, slug: str) -> Told:
    """Make another client secret, good at once."""
    app = asked.world.app(slug)
    home = asked.world.home_of(app)
    if asked.token.person not in home.people:
        raise Refusal(404, "The requested resource does not exist")
    asked.may(home, "org:write", "org:admin")
    app.client_secret = secrets.token_hex(32)
    return 200, {"clientSecret": app.client_secret}


def app_tokens(asked: Asked, slug: str) -> Told:
    """Refuse: tokens of an integration are made in the browser alone."""
    asked.world.app(slug)
    raise Refusal(401, "Authentication credentials were not provided.")


# -- rules ----------------------------------------------------------------------------------------

_READ_RULES = ("project:read", "project:write", "project:admin", "alerts:read", "alerts:write")
_WRITE_RULES = ("project:write", "project:admin", "alerts:write")


def _project(asked: Asked, org: str, project: str, *scopes: str) -> tuple[Organization, Project]:
    home = asked.world.organization(org)
    asked.may(home, *scopes)
    return home, home.project(project)


def list_rules(asked: Asked, org: str, project: str) -> Told:
    """List the rules of a project."""
    home, there = _project(asked, org, project, *_READ_RULES)
    mine = [rule for rule in reversed(home.rules) if rule.project is there]
    return 200, asked.page(mine, written.rule)


def create_rule(asked: Asked, org: str, project: str) -> Told:
    """Make a rule."""
    home, there = _project(asked, org, project, *_WRITE_RULES)
    said = asked.said
    for one in home.rules:
        if one.project is there and _same(one.said, said):
            why = (
                f"This rule is an exact duplicate of '{one.name}' in this project and may not be"
                " created."
            )
            raise Refusal(400, {"name": [why]})
    check_rule(home, said)
    made = Rule(asked.world.new_id(), there, str(said["name"]), said, asked.world.clock.now())
    home.rules.append(made)
    return 201, written.rule(made)


def _same(one: Json, other: Json) -> bool:
    names = ("conditions", "filters", "actions", "environment", "actionMatch", "filterMatch")
    return all((one.get(name) or None) == (other.get(name) or None) for name in names)


def check_rule(home: Organization, said: Json) -> None:
    """Refuse what Sentry would refuse of a rule, and what its integration refuses."""
    for name in ("name", "actionMatch", "frequency"):
        if not said.get(name):
            raise Refusal(400, {name: ["This field is required."]})
    if not 5 <= int(said["frequency"]) <= 43200:
        raise Refusal(400, {"frequency": ["Ensure this value is between 5 and 43200."]})
    if not said.get("actions"):
        raise Refusal(400, {"actions": ["You must add an action for this alert to fire."]})
    for action in said["actions"]:
        kind = action.get("id")
        if kind == SERVICE_ACTION:
            slugs = {
                one.app.slug
                for one in home.installations
                if one.app.is_alertable and one.app.component("alert-rule-action") is None
            }
            if action.get("service") not in slugs:
                why = (
                    f"Select a valid choice. {action.get('service')} is not one of the available"
                    " choices."
                )
                raise Refusal(400, {"actions": [why]})
        elif kind == APP_ACTION:
            uuid = action.get("sentryAppInstallationUuid")
            found = next((one for one in home.installations if one.uuid == uuid), None)
            if found is None:
                why = "Could not identify integration from the installation uuid."
                raise Refusal(400, {"actions": [why]})
            components.check_settings(found.app, found, action.get("settings"))


def show_rule(asked: Asked, org: str, project: str, rule: str) -> Told:
    """Show a rule."""
    home, there = _project(asked, org, project, *_READ_RULES)
    return 200, written.rule(_rule(home, there, rule))


def change_rule(asked: Asked, org: str, project: str, rule: str) -> Told:
    """Let a rule be otherwise."""
    home, there = _project(asked, org, project, *_WRITE_RULES)
    one = _rule(home, there, rule)
    said = asked.said
    check_rule(home, said)
    one.said, one.name = said, str(said["name"])
    return 200, written.rule(one)


def test_actions(asked: Asked, org: str, project: str) -> Told:
    """Do what a rule would do, for a sample event."""
    home, there = _project(asked, org, project, *_WRITE_RULES)
    said = {"name": "Test", "actionMatch": "all", "frequency": 30, **asked.said}
    check_rule(home, said)
    asked.life.test_rule(home, Rule(-1, there, str(said["name"]), said, asked.world.clock.now()))
    return 200, None


def delete_rule(asked: Asked, org: str, project: str, rule: str) -> Told:
    """Delete a rule."""
    home, there = _project(asked, org, project, *_WRITE_RULES)
    home.rules.remove(_rule(home, there, rule))
    return 202, None


def _rule(home: Organization, project: Project, id_: str) -> Rule:
    for one in home.rules:
        if one.project is project and str(one.id) == id_:
            return one
    raise Refusal(404, "The requested resource does not exist")
