"""How the API and webhooks write things."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tocsin.fake_sentry.things import (
    App,
    Event,
    Installation,
    Issue,
    Json,
    Note,
    Organization,
    Past,
    Person,
    Project,
    Rule,
    World,
)

MASKED = "*" * 64
_SECRET_FOR = timedelta(days=1)


def instant(at: datetime) -> str:
    """Write an instant."""
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}Z"


def organization(world: World, one: Organization) -> Json:
    """Write an organisation."""
    return {
        "id": str(one.id),
        "slug": one.slug,
        "name": one.name,
        "status": {"id": "active", "name": "active"},
        "features": one.features,
        "links": {"organizationUrl": world.url, "regionUrl": world.url},
        "isEarlyAdopter": False,
    }


def project(one: Project) -> Json:
    """Write a project."""
    return {"id": str(one.id), "slug": one.slug, "name": one.name, "platform": one.platform}


def person(one: Person) -> Json:
    """Write a person."""
    return {
        "id": str(one.id),
        "name": one.name,
        "username": one.email,
        "email": one.email,
        "isActive": True,
    }


def member(one: Person) -> Json:
    """Write a member."""
    return {
        "id": str(one.id + 1000),
        "email": one.email,
        "name": one.name,
        "user": person(one),
        "orgRole": one.role,
        "role": one.role,
        "pending": False,
        "expired": False,
    }


def assignee(one: Person | None) -> Json | None:
    """Write to whom an issue is assigned."""
    if one is None:
        return None
    return {"type": "user", "id": str(one.id), "name": one.name, "email": one.email}


def issue(world: World, home: Organization, one: Issue) -> Json:
    """Write an issue."""
    kind, _, value = one.title.partition(": ")
    base = f"{world.url}/organizations/{home.slug}/issues/{one.id}/"
    return {
        "id": str(one.id),
        "shareId": None,
        "shortId": one.short_id,
        "title": one.title,
        "culprit": one.culprit,
        "permalink": base,
        "logger": None,
        "level": one.level,
        "status": one.status,
        "statusDetails": one.details,
        "substatus": one.substatus,
        "isPublic": False,
        "platform": one.project.platform,
        "project": project(one.project),
        "type": "error",
        "metadata": {"type": kind, "value": value, "filename": "checkout/views.py"},
        "numComments": len(one.notes),
        "assignedTo": assignee(one.assignee),
        "isBookmarked": False,
        "isSubscribed": False,
        "hasSeen": False,
        "annotations": [],
        "issueType": one.type,
        "issueCategory": one.category,
        "priority": one.priority,
        "priorityLockedAt": None,
        "isUnhandled": True,
        "count": str(one.count),
        "userCount": len(one.users),
        "firstSeen": instant(one.first_seen),
        "lastSeen": instant(one.last_seen),
    }


def hooked_issue(world: World, home: Organization, one: Issue) -> Json:
    """Write an issue as a webhook has it."""
    api = f"{world.url}/api/0/organizations/{home.slug}/issues/{one.id}/"
    return {
        "url": api,
        "web_url": f"{world.url}/organizations/{home.slug}/issues/{one.id}/",
        "project_url": f"{world.url}/api/0/projects/{home.slug}/{one.project.slug}/",
        **issue(world, home, one),
    }


def _frames(one: Event) -> list[Json]:
    frames: list[Json] = one.said.get("frames", [])
    return frames or [
        {
            "filename": "django/core/handlers/base.py",
            "module": "django.core.handlers.base",
            "function": "get_response",
            "lineNo": 197,
            "inApp": False,
            "context": [],
        },
        {
            "filename": "checkout/views.py",
            "module": "checkout.views",
            "function": "charge",
            "lineNo": 42,
            "inApp": True,
            "context": [[41, "def charge(order):"], [42, "    return total / order.count"]],
        },
    ]


def event(world: World, home: Organization, of: Issue, one: Event) -> Json:
    """Write an event as the API does."""
    kind, _, value = of.title.partition(": ")
    release = one.tags.get("release")
    raised = {
        "type": kind,
        "value": value,
        "module": "builtins",
        "stacktrace": {"frames": _frames(one), "framesOmitted": None},
    }
    return {
        "id": one.id,
        "eventID": one.id,
        "groupID": str(of.id),
        "projectID": str(of.project.id),
        "title": of.title,
        "message": "",
        "culprit": of.culprit,
        "platform": of.project.platform,
        "dateCreated": instant(one.at),
        "dateReceived": instant(one.at),
        "type": "error",
        "metadata": {"type": kind, "value": value},
        "tags": [{"key": key, "value": value} for key, value in one.tags.items()],
        "entries": [
            {"type": "exception", "data": {"values": [raised], "hasSystemFrames": True}},
            {"type": "request", "data": {"method": "POST", "url": "https://shop.example.com/pay"}},
        ],
        "release": {"version": release, "dateCreated": instant(one.at)} if release else None,
        "contexts": {},
        "user": None,
        "_meta": {},
        "links": {"organization": f"{world.url}/organizations/{home.slug}/"},
    }


def hooked_event(world: World, home: Organization, of: Issue, one: Event) -> Json:
    """Write an event as a webhook has it."""
    kind, _, value = of.title.partition(": ")
    base = f"{world.url}/organizations/{home.slug}/issues/{of.id}"
    api = f"{world.url}/api/0"
    return {
        "event_id": one.id,
        "project": of.project.id,
        "release": one.tags.get("release"),
        "dist": None,
        "platform": of.project.platform,
        "message": "",
        "datetime": instant(one.at),
        "timestamp": one.at.timestamp(),
        "received": one.at.timestamp(),
        "title": of.title,
        "culprit": of.culprit,
        "level": of.level,
        "type": "error",
        "metadata": {"type": kind, "value": value, "filename": "checkout/views.py"},
        "tags": [[key, value] for key, value in one.tags.items()],
        "exception": {"values": [{"type": kind, "value": value}]},
        "url": f"{api}/projects/{home.slug}/{of.project.slug}/events/{one.id}/",
        "web_url": f"{base}/events/{one.id}/",
        "issue_url": f"{api}/organizations/{home.slug}/issues/{of.id}/",
        "issue_id": str(of.id),
    }


def legacy(world: World, home: Organization, of: Issue, one: Event, rule: str) -> Json:
    """Write what the legacy WebHooks plugin says of an issue whose rule fired."""
    whole = hooked_event(world, home, of, one)
    names = ("event_id", "title", "level", "tags", "metadata", "timestamp", "platform")
    return {
        "id": str(of.id),
        "project": of.project.slug,
        "project_name": of.project.name,
        "project_slug": of.project.slug,
        "logger": None,
        "level": of.level,
        "culprit": of.culprit,
        "message": "",
        "url": f"{world.url}/organizations/{home.slug}/issues/{of.id}/?referrer=webhooks_plugin",
        "triggering_rules": [rule],
        "event": {name: whole[name] for name in names},
    }


def actor(by: Person | App | None) -> Json:
    """Write who did it, as a webhook does."""
    if isinstance(by, Person):
        return {"type": "user", "id": by.id, "name": by.name}
    if isinstance(by, App):
        return {"type": "application", "id": by.uuid, "name": by.name}
    return {"type": "application", "id": "sentry", "name": "Sentry"}


def activity(world: World, one: Past) -> Json:
    """Write something that happened to an issue."""
    told: Json = {
        "id": str(one.id),
        "type": one.kind,
        "user": person(one.by) if isinstance(one.by, Person) else None,
        "data": {},
        "dateCreated": instant(one.at),
    }
    app = one.by if isinstance(one.by, App) else None
    if world.tells_apps:
        told["sentry_app"] = app and {"id": app.id, "name": app.name, "slug": app.slug}
    elif app is not None:
        told["user"] = {"id": str(app.id), "name": app.slug, "username": app.slug, "email": ""}
    return told


def note(one: Note) -> Json:
    """Write a note."""
    by = person(one.by) if isinstance(one.by, Person) else {"id": "0", "name": one.by.name}
    return {
        "id": str(one.id),
        "type": "note",
        "user": by,
        "data": {"text": one.text},
        "dateCreated": instant(one.at),
    }


def app(world: World, one: App, viewer: Person | None) -> Json:
    """Write an integration; its secret only for a day, and to who may."""
    home = world.home_of(one)
    told: Json = {
        "uuid": one.uuid,
        "slug": one.slug,
        "name": one.name,
        "author": one.author,
        "overview": one.overview,
        "status": one.status,
        "scopes": one.scopes,
        "events": one.events,
        "webhookUrl": one.webhook_url,
        "redirectUrl": None,
        "isAlertable": one.is_alertable,
        "verifyInstall": one.verify_install,
        "schema": one.schema,
        "allowedOrigins": [],
        "featureData": [],
        "metadata": {},
        "popularity": 1,
        "avatars": [],
    }
    if viewer is not None and viewer in home.people:
        is_young = world.clock.now() - one.made_at < _SECRET_FOR
        may_see = viewer.role in ("manager", "owner")
        secret: Any = one.client_secret if may_see else MASKED
        told |= {
            "clientId": f"id-of-{one.slug}",
            "clientSecret": secret if is_young else None,
            "owner": {"id": home.id, "slug": home.slug},
        }
    return told


def installation(home: Organization, one: Installation) -> Json:
    """Write an installation."""
    return {
        "uuid": one.uuid,
        "app": {"uuid": one.app.uuid, "slug": one.app.slug, "sentryAppId": one.app.id},
        "organization": {"slug": home.slug, "id": home.id},
        "status": one.status,
    }


def rule(one: Rule) -> Json:
    """Write an alert rule."""
    return {
        "id": str(one.id),
        "name": one.name,
        "conditions": one.said.get("conditions", []),
        "filters": one.said.get("filters", []),
        "actions": one.said.get("actions", []),
        "actionMatch": one.said.get("actionMatch", "any"),
        "filterMatch": one.said.get("filterMatch", "all"),
        "frequency": one.said.get("frequency", 30),
        "environment": one.said.get("environment"),
        "owner": None,
        "status": one.said.get("status", "active"),
        "snooze": False,
        "projects": [one.project.slug],
        "dateCreated": instant(one.made_at),
    }
