"""What happens to issues, and who is told of it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tocsin.fake_sentry import written
from tocsin.fake_sentry.sender import Sender
from tocsin.fake_sentry.things import (
    App,
    Event,
    Issue,
    Json,
    Note,
    Organization,
    Past,
    Person,
    Project,
    Refusal,
    Rule,
    World,
)

#: Who does something; None is Sentry itself.
By = Person | App | None

_CONDITION = "sentry.rules.conditions."
SERVICE_ACTION = "sentry.rules.actions.notify_event_service.NotifyEventServiceAction"
LEGACY_ACTION = "sentry.rules.actions.notify_event.NotifyEventAction"
APP_ACTION = "sentry.rules.actions.notify_event_sentry_app.NotifyEventSentryAppAction"

#: What a condition of a rule is about, by the end of its name.
_CONDITIONS = {
    "first_seen_event.FirstSeenEventCondition": {"new"},
    "regression_event.RegressionEventCondition": {"regressed"},
    "reappeared_event.ReappearedEventCondition": {"escalating"},
    "every_event.EveryEventCondition": {"new", "regressed", "escalating", "ongoing"},
}

#: What became of an issue whose status is set so.
_SUBSTATUS = {"unresolved": "ongoing", "ignored": "archived_until_escalating", "resolved": None}


class Life:
    """Lets things happen in the world."""

    def __init__(self, world: World, sender: Sender) -> None:
        """Take the world, and who tells of it."""
        self._world = world
        self._sender = sender

    # -- who is told

    def _tell(self, home: Organization, resource: str, action: str, data: Json, by: By) -> None:
        """Tell every integration that subscribed; one that archived means ignored mostly."""
        for one in home.installations:
            if one.status == "installed" and one.app.hears(resource, action):
                self._send(one.uuid, one.app, resource, action, data, by)

    def _send(
        self, uuid_: str, app: App, resource: str, action: str, data: Json, by: By = None
    ) -> None:
        body = {
            "action": action,
            "installation": {"uuid": uuid_},
            "data": data,
            "actor": written.actor(by),
        }
        self._sender.put(app, resource, action, body)

    def _tell_issue(
        self, home: Organization, issue: Issue, action: str, by: By, **more: Any
    ) -> None:
        data = {"issue": written.hooked_issue(self._world, home, issue), **more}
        self._tell(home, "issue", action, data, by)

    def _remember(self, issue: Issue, kind: str, by: By) -> None:
        issue.past.insert(0, Past(self._world.new_id(), kind, by, self._world.clock.now()))

    # -- events

    def new_issue(self, home: Organization, project: Project, said: Json) -> Issue:
        """Let something new break."""
        at = self._world.clock.now()
        made = Issue(
            id=self._world.new_id(),
            number=len(home.issues) + 1,
            project=project,
            title=said.get("title", "ZeroDivisionError: division by zero"),
            culprit=said.get("culprit", "checkout.views.charge"),
            level=said.get("level", "error"),
            priority=said.get("priority", "high"),
            category=said.get("category", "error"),
            type=said.get("type", "error"),
            first_seen=at,
            last_seen=at,
        )
        home.issues[made.id] = made
        self._remember(made, "first_seen", None)
        self._event(home, made, said, "new")
        return made

    def event(self, home: Organization, issue: Issue, said: Json) -> Event:
        """Let it happen again: what was resolved comes back."""
        came_back = issue.status == "resolved"
        if came_back:
            issue.status, issue.substatus, issue.details = "unresolved", "regressed", {}
            self._remember(issue, "set_regression", None)
        made = self._event(home, issue, said, "regressed" if came_back else "ongoing")
        if came_back:
            self._tell_issue(home, issue, "unresolved", None)
        return made

    def _event(self, home: Organization, issue: Issue, said: Json, what: str) -> Event:
        at = self._world.clock.now()
        tags = {"environment": "production", "level": issue.level, **said.get("tags", {})}
        if said.get("release"):
            tags["release"] = said["release"]
        made = Event(uuid.uuid4().hex, at, tags, said)
        issue.events.append(made)
        issue.count += int(said.get("count", 1))
        issue.users |= set(said.get("users", ()))
        issue.last_seen = at
        if issue.status == "unresolved" and what == "ongoing" and issue.substatus == "new":
            issue.substatus = "ongoing" if issue.count > 1 else "new"
        # In this order on the wire: the alerts, the error, the issue.
        if issue.status != "ignored":
            self._fire(home, issue, made, what)
        if issue.category == "error":
            data = {"error": written.hooked_event(self._world, home, issue, made)}
            self._tell(home, "error", "created", data, None)
            if what == "new":
                self._tell_issue(home, issue, "created", None)
        return made

    # -- rules

    def _fire(self, home: Organization, issue: Issue, event: Event, what: str) -> None:
        now = self._world.clock.now()
        for rule in home.rules:
            if rule.project is not issue.project or not _matches(rule, issue, event, what):
                continue
            last = rule.fired.get(issue.id)
            every = timedelta(minutes=int(rule.said.get("frequency", 30)))
            if last is not None and now - last < every:
                continue
            rule.fired[issue.id] = now
            self._act(home, rule, issue, event, rule.name)

    def _act(
        self, home: Organization, rule: Rule, issue: Issue, event: Event, triggered: str
    ) -> None:
        """Do what a rule says, as far as it says it to integrations."""
        for action in rule.said.get("actions", ()):
            data: Json = {
                "event": written.hooked_event(self._world, home, issue, event),
                "triggered_rule": triggered,
            }
            for one in home.installations:
                by_slug = action["id"] == SERVICE_ACTION and action.get("service") == one.app.slug
                by_uuid = (
                    action["id"] == APP_ACTION
                    and action.get("sentryAppInstallationUuid") == one.uuid
                )
                if not (by_slug or by_uuid):
                    continue
                if by_uuid:
                    data["issue_alert"] = {
                        "id": rule.id,
                        "title": rule.name,
                        "sentry_app_id": one.app.id,
                        "settings": action.get("settings", []),
                    }
                self._send(one.uuid, one.app, "event_alert", "triggered", data)
            if action["id"] == LEGACY_ACTION:
                body = written.legacy(self._world, home, issue, event, rule.name)
                for url in issue.project.callback_urls:
                    self._sender.put_plain(url, body)

    def test_rule(self, home: Organization, rule: Rule) -> Issue:
        """Press *Send Test Notification*: a sample event makes a real issue."""
        said = {
            "title": "ReferenceError: This is an example Python exception",
            "tags": {"sample_event": "yes"},
        }
        fired, rule.fired = rule.fired, {}
        others, home.rules = home.rules, []
        made = self.new_issue(home, rule.project, said)
        home.rules = others
        rule.fired = fired
        trial = Rule(-1, rule.project, rule.name, rule.said, rule.made_at)
        self._act(home, trial, made, made.events[-1], "")
        return made

    # -- people

    def change(self, home: Organization, issue: Issue, said: Mapping[str, Any], by: By) -> None:
        """Change an issue as the API does."""
        details = dict(said.get("statusDetails") or {})
        if "assignedTo" in said:
            self._assign(home, issue, str(said["assignedTo"] or ""), by)
        if said.get("priority"):
            issue.priority = str(said["priority"])
        wanted = said.get("status")
        if wanted == "resolvedInNextRelease":
            wanted, details = "resolved", {"inNextRelease": True}
        if wanted == "resolved":
            self.resolve(home, issue, by, details)
        elif wanted == "ignored":
            self.ignore(home, issue, by, details, said.get("substatus"))
        elif wanted == "unresolved":
            self.unresolve(home, issue, by)
        elif wanted is not None:
            raise Refusal(400, {"status": [f'"{wanted}" is not a valid choice.']})

    def resolve(self, home: Organization, issue: Issue, by: By, details: Json) -> None:
        """Resolve; what is resolved stays so, and nobody is told."""
        if issue.status == "resolved":
            return
        issue.status, issue.substatus, issue.details = "resolved", None, details
        issue.ignored_until = None
        self._remember(issue, "set_resolved", by)
        how = "in_next_release" if "inNextRelease" in details else "now"
        how = "in_release" if "inRelease" in details else how
        self._tell_issue(home, issue, "resolved", by, resolution_type=how)

    def ignore(
        self, home: Organization, issue: Issue, by: By, details: Json, substatus: str | None
    ) -> None:
        """Archive: for ever, until it escalates, or until something else."""
        minutes = details.get("ignoreDuration")
        until = None
        kept: Json = {}
        if minutes:
            until = self._world.clock.now() + timedelta(minutes=int(minutes))
            kept = {"ignoreUntil": written.instant(until)}
        conditional = minutes or details.get("ignoreCount") or details.get("ignoreUserCount")
        wanted = "archived_until_condition_met" if conditional else substatus
        wanted = wanted or "archived_until_escalating"
        was = (issue.status, issue.substatus, issue.ignored_until)
        issue.status, issue.substatus, issue.details = "ignored", wanted, kept
        issue.ignored_until = until
        if was != ("ignored", wanted, until):
            self._remember(issue, "set_ignored", by)
            self._tell_issue(home, issue, "ignored", by)

    def unresolve(
        self, home: Organization, issue: Issue, by: By, substatus: str = "ongoing"
    ) -> None:
        """Reopen."""
        if issue.status == "unresolved" and issue.substatus == substatus:
            return
        was = issue.status
        issue.status, issue.substatus, issue.details = "unresolved", substatus, {}
        issue.ignored_until = None
        if was != "unresolved":
            kind = "set_escalating" if substatus == "escalating" else "set_unresolved"
            self._remember(issue, kind, by)
            self._tell_issue(home, issue, "unresolved", by)

    def escalate(self, home: Organization, issue: Issue, said: Json) -> None:
        """Let an archived issue become too much: it comes back by itself."""
        if issue.status != "ignored":
            return
        self.unresolve(home, issue, None, "escalating")
        self._event(home, issue, said, "escalating")

    def _assign(self, home: Organization, issue: Issue, whom: str, by: By) -> None:
        if not whom:
            if issue.assignee is not None:
                self._remember(issue, "unassigned", by)
            issue.assignee = None
            return
        found = home.person(whom.removeprefix("user:"))
        if found is None:
            raise Refusal(400, {"assignedTo": ["Unknown actor input"]})
        if issue.assignee is found:
            return
        issue.assignee = found
        self._remember(issue, "assigned", by)
        told = {"type": "user", "id": found.id, "name": found.name, "email": found.email}
        self._tell_issue(home, issue, "assigned", by, assignee=told)

    def note(self, home: Organization, issue: Issue, text: str, by: Person | App) -> Note:
        """Write a note; the same within the hour is refused."""
        now = self._world.clock.now()
        if not text.strip():
            raise Refusal(400, {"text": ["This field may not be blank."]})
        for one in issue.notes:
            if (one.by, one.text) == (by, text) and now - one.at < timedelta(hours=1):
                raise Refusal(400, {"detail": "You have already posted that comment."})
        made = Note(self._world.new_id(), text, by, now)
        issue.notes.insert(0, made)
        self._remember(issue, "note", by)
        data = {
            "comment_id": made.id,
            "issue_id": issue.id,
            "project_slug": issue.project.slug,
            "timestamp": written.instant(now),
            "comment": text,
        }
        self._tell(home, "comment", "created", data, by)
        return made

    def merge(self, home: Organization, issue: Issue, into: int) -> None:
        """Let an issue become part of another: nobody is told, and its id leads there."""
        survivor = home.issues.get(home.successor(into))
        if survivor is None or survivor is issue:
            raise Refusal(400, {"detail": "there is no such issue to merge into"})
        del home.issues[issue.id]
        home.merged[issue.id] = survivor.id
        survivor.events = sorted([*survivor.events, *issue.events], key=lambda one: one.at)
        survivor.count += issue.count
        survivor.users |= issue.users
        survivor.first_seen = min(survivor.first_seen, issue.first_seen)
        survivor.last_seen = max(survivor.last_seen, issue.last_seen)
        self._remember(survivor, "merge", None)

    def wake(self) -> None:
        """Let come back what was archived until now."""
        now = self._world.clock.now()
        for home in self._world.organizations:
            for issue in home.issues.values():
                if issue.ignored_until is not None and issue.ignored_until <= now:
                    self.unresolve(home, issue, None)


def _matches(rule: Rule, issue: Issue, event: Event, what: str) -> bool:
    """Whether a rule is about this; a condition that nobody here knows never is."""
    conditions = rule.said.get("conditions", [])
    found = [
        what in _CONDITIONS.get(str(one.get("id", "")).removeprefix(_CONDITION), ())
        for one in conditions
    ]
    every = all if rule.said.get("actionMatch") == "all" else any
    environment = rule.said.get("environment")
    if environment and event.tags.get("environment") != environment:
        return False
    return (not conditions or every(found)) and all(
        _passes(one, issue, event) for one in rule.said.get("filters", ())
    )


_LEVELS = {"sample": 0, "debug": 10, "info": 20, "warning": 30, "error": 40, "fatal": 50}


def _passes(said: Json, issue: Issue, event: Event) -> bool:
    """Whether a filter lets it through; one that nobody here knows does."""
    kind = str(said.get("id", "")).rpartition(".")[2]
    if kind == "LevelFilter":
        here, there = _LEVELS.get(issue.level, 40), int(said.get("level", 0))
        by = {"gte": here >= there, "lte": here <= there, "eq": here == there}
        return by.get(str(said.get("match")), True)
    if kind == "TaggedEventFilter":
        return event.tags.get(str(said.get("key"))) == str(said.get("value"))
    return True
