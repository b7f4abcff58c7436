"""The API of organisations, issues, events and notes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from tocsin.fake_sentry import written
from tocsin.fake_sentry.asked import Asked
from tocsin.fake_sentry.things import ROLES, App, Issue, Json, Organization, Project, Refusal

#: How an answer is told: its status and what it says.
Told = tuple[int, Json | list[Json] | None]

_READ_EVENT = ("event:read", "event:write", "event:admin")
_WRITE_EVENT = ("event:write", "event:admin")
_READ_PROJECT = ("project:read", "project:write", "project:admin")

_SPAN = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def root(asked: Asked) -> Told:
    """Tell whose token it is."""
    person = asked.token.person
    user = written.person(person) if person else None
    if asked.token.app is not None:
        user = {"id": "0", "name": asked.token.app.name, "username": asked.token.app.slug}
    return 200, {"version": "0", "auth": {"scopes": sorted(asked.token.scopes)}, "user": user}


def organization(asked: Asked, org: str) -> Told:
    """Show an organisation."""
    home = asked.world.organization(org)
    asked.may(home, "org:read", "org:write", "org:admin")
    person = asked.token.person
    access = asked.token.scopes & ROLES[person.role] if person else asked.token.scopes
    return 200, {**written.organization(asked.world, home), "access": sorted(access)}


def projects(asked: Asked, org: str) -> Told:
    """List projects."""
    home = asked.world.organization(org)
    asked.may(home, "org:read", "org:write", "org:admin", *_READ_PROJECT)
    return 200, asked.page(home.projects, written.project)


def members(asked: Asked, org: str) -> Told:
    """List members."""
    home = asked.world.organization(org)
    asked.may(home, "member:read", "member:write", "member:admin")
    return 200, asked.page(home.people, written.member)


# -- issues ---------------------------------------------------------------------------------------


def issues(asked: Asked, org: str) -> Told:
    """Search issues."""
    home = asked.world.organization(org)
    asked.may(home, *_READ_EVENT)
    now = asked.world.clock.now()
    period = asked.query.get("statsPeriod", "14d")
    found = _SPAN.fullmatch(period)
    if period and found is None:
        raise Refusal(400, "Invalid stats_period. Valid choices are '', '24h', and '14d'")
    since = datetime.min.replace(tzinfo=UTC)
    if found:
        since = now - timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    words = asked.query.get("query", "is:unresolved").split()
    about = _projects(asked, home)
    matching = [
        one
        for one in home.issues.values()
        if one.project in about
        and one.last_seen >= since
        and all(_finds(word, one, now) for word in words)
    ]
    sort = asked.query.get("sort", "date")
    if sort not in ("date", "new", "freq", "user", "trends", "inbox"):
        raise Refusal(400, f"Invalid sort {sort}")
    key = _by_first_seen if sort == "new" else _by_last_seen
    return 200, asked.keyed_page(matching, key, lambda one: written.issue(asked.world, home, one))


def _projects(asked: Asked, home: Organization) -> list[Project]:
    """Return which projects are meant: unless it says, those that whoever asks has joined."""
    wanted = asked.query.get("project")
    if wanted == "-1":
        return home.projects
    if wanted is not None:
        return [home.project(wanted)]
    joined = asked.token.person.joined if asked.token.person else None
    return [one for one in home.projects if joined is None or one.slug in joined]


def _by_last_seen(issue: Issue) -> int:
    return int(issue.last_seen.timestamp() * 1000)


def _by_first_seen(issue: Issue) -> int:
    return int(issue.first_seen.timestamp() * 1000)


def _finds(word: str, issue: Issue, now: datetime) -> bool:
    """Whether one word of a search finds an issue."""
    is_not = word.startswith("!")
    key, colon, value = word.lstrip("!").partition(":")
    if not colon:
        return word.lower() in issue.title.lower()
    if key == "is":
        is_it = {
            "unresolved": issue.status == "unresolved",
            "resolved": issue.status == "resolved",
            "ignored": issue.status == "ignored",
            "archived": issue.status == "ignored",
            "assigned": issue.assignee is not None,
            "unassigned": issue.assignee is None,
            "for_review": issue.substatus in ("new", "regressed", "escalating"),
        }.get(value, issue.substatus == value)
    elif key == "project":
        is_it = issue.project.slug in value.strip("[]").split(",")
    elif key in ("lastSeen", "firstSeen"):
        at = issue.last_seen if key == "lastSeen" else issue.first_seen
        is_it = _within(value, at, now)
    elif key in ("issue.id", "level", "issue.priority"):
        here = {"issue.id": str(issue.id), "level": issue.level}.get(key, issue.priority)
        is_it = here in value.strip("[]").split(",")
    else:
        raise Refusal(400, f"Error parsing search query: Invalid key for this search: {key}")
    return is_it is not is_not


def _within(value: str, at: datetime, now: datetime) -> bool:
    """Whether a time is as ``-24h`` (newer than that), ``>=2026-01-05T09:00:00`` or ``<…`` says."""
    if found := re.fullmatch(r"([+-])(\d+)([smhdw])", value):
        then = now - timedelta(seconds=int(found[2]) * _UNITS[found[3]])
        return at >= then if found[1] == "-" else at <= then
    sign = value[: len(value) - len(value.lstrip("<>="))]
    try:
        then = datetime.fromisoformat(value[len(sign) :])
    except ValueError:
        raise Refusal(400, f"Error parsing search query: Invalid date: {value}") from None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return {">=": at >= then, ">": at > then, "<=": at <= then, "<": at < then}.get(
        sign, at == then
    )


def found_issue(asked: Asked, org: str, issue: str) -> tuple[Organization, Issue]:
    """Return an issue by its id or short id; for one that was merged away, what it went into."""
    home = asked.world.organization(org)
    wanted = str(home.successor(int(issue))) if issue.isdecimal() else issue
    for one in home.issues.values():
        if wanted in (str(one.id), one.short_id):
            return home, one
    raise Refusal(404, "The requested resource does not exist")


def show_issue(asked: Asked, org: str, issue: str) -> Told:
    """Show an issue."""
    asked.may(asked.world.organization(org), *_READ_EVENT)
    home, one = found_issue(asked, org, issue)
    past = [written.activity(asked.world, each) for each in one.past]
    return 200, {**written.issue(asked.world, home, one), "activity": past, "tags": []}


def change_issue(asked: Asked, org: str, issue: str) -> Told:
    """Change an issue."""
    asked.may(asked.world.organization(org), *_WRITE_EVENT)
    home, one = found_issue(asked, org, issue)
    asked.life.change(home, one, asked.said, asked.by)
    return 200, written.issue(asked.world, home, one)


def list_notes(asked: Asked, org: str, issue: str) -> Told:
    """List notes."""
    asked.may(asked.world.organization(org), *_READ_EVENT)
    _, one = found_issue(asked, org, issue)
    return 200, asked.page(one.notes, written.note)


def add_note(asked: Asked, org: str, issue: str) -> Told:
    """Write a note."""
    asked.may(asked.world.organization(org), *_WRITE_EVENT)
    home, one = found_issue(asked, org, issue)
    made = asked.life.note(home, one, str(asked.said.get("text", "")), asked.by)
    return 201, written.note(made)


def latest_event(asked: Asked, org: str, issue: str, which: str) -> Told:
    """Show the newest event, or the oldest."""
    asked.may(asked.world.organization(org), *_READ_EVENT)
    home, one = found_issue(asked, org, issue)
    if not one.events:
        raise Refusal(404, "No matching event")
    event = one.events[0 if which == "oldest" else -1]
    return 200, written.event(asked.world, home, one, event)


def _event(asked: Asked, org: str, project: str, event: str) -> Json:
    home = asked.world.organization(org)
    asked.may(home, *_READ_PROJECT)
    there = home.project(project)
    for issue in home.issues.values():
        for one in issue.events:
            if issue.project is there and one.id == event:
                return one.said
    raise Refusal(404, "Event not found")


def owners(asked: Asked, org: str, project: str, event: str) -> Told:
    """Tell who owns the code of an event."""
    said = _event(asked, org, project, event)
    home = asked.world.organization(org)
    found = [person for email in said.get("owners", ()) if (person := home.person(email))]
    return 200, {
        "owners": [
            {"type": "user", "id": str(one.id), "name": one.name, "email": one.email}
            for one in found
        ],
        "rule": ["path", "checkout/*"] if found else None,
        "rules": [],
    }


def committers(asked: Asked, org: str, project: str, event: str) -> Told:
    """Tell whose commits are suspect; none is not found."""
    said = _event(asked, org, project, event)
    commits: Json = said.get("commits", {})
    if not commits:
        raise Refusal(404, "No Commits found for Release")
    return 200, {
        "committers": [
            {
                "author": {"id": None, "name": email.partition("@")[0].title(), "email": email},
                "commits": [{"id": "a1b2c3d4", "message": message, "dateCreated": None}],
            }
            for email, message in commits.items()
        ]
    }


# -- links ----------------------------------------------------------------------------------------


def _installation(asked: Asked, uuid: str) -> tuple[Organization, App]:
    for home in asked.world.organizations:
        for one in home.installations:
            if one.uuid == uuid:
                asked.may(home, "org:integrations", *_WRITE_EVENT)
                if asked.token.app is not None and asked.token.app is not one.app:
                    raise Refusal(403, "You do not have permission to perform this action.")
                return home, one.app
    raise Refusal(404, "Could not find given sentry app installation")


def link_issue(asked: Asked, uuid: str) -> Told:
    """Show a link in the sidebar of an issue: one for each integration."""
    home, app = _installation(asked, uuid)
    said = asked.said
    issue = next((i for i in home.issues.values() if str(i.id) == str(said.get("issueId"))), None)
    if issue is None:
        raise Refusal(404, {})
    missing = [name for name in ("webUrl", "project", "identifier") if not said.get(name)]
    if missing:
        raise Refusal(400, {name: ["This field is required."] for name in missing})
    link = next((one for one in issue.links if one["serviceType"] == app.slug), None)
    if link is None:
        link = {"id": str(asked.world.new_id()), "serviceType": app.slug}
        issue.links.append(link)
    link |= {
        "issueId": str(issue.id),
        "displayName": f"{said['project']}#{said['identifier']}",
        "webUrl": said["webUrl"],
    }
    return 200, link


def unlink_issue(asked: Asked, uuid: str, link: str) -> Told:
    """Take a link away."""
    home, _ = _installation(asked, uuid)
    for issue in home.issues.values():
        for one in issue.links:
            if one.get("id") == link:
                issue.links.remove(one)
                return 204, None
    raise Refusal(404, "Could not find given external issue")
