"""``/_control/``: what people do in a Sentry, what happens to it, and how it goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from tocsin.fake_sentry import components, setup_api, written
from tocsin.fake_sentry.faults import Faults
from tocsin.fake_sentry.life import APP_ACTION, By, Life
from tocsin.fake_sentry.sender import Sender, summary
from tocsin.fake_sentry.things import (
    App,
    Installation,
    Issue,
    Json,
    Organization,
    Person,
    Refusal,
    Rule,
    World,
)

_SETTLED_WITHIN = 30.0


class Control:
    """Makes things happen. Every method takes a JSON object and returns one."""

    def __init__(self, world: World, life: Life, sender: Sender, faults: Faults) -> None:
        """Take what is controlled."""
        self._world = world
        self._life = life
        self._sender = sender
        self._faults = faults

    def do(self, name: str, said: Json) -> Any:
        """Do one thing. Raises Refusal."""
        work = _DEEDS.get(name)
        if work is None:
            raise Refusal(404, f"there is no {name}; there are: {', '.join(_DEEDS)}")
        if name in _UNLOCKED:
            return work(self, said)
        with self._world.lock:
            return work(self, said)

    # -- what is meant

    def _home(self, said: Json) -> Organization:
        slug = said.get("organization")
        return self._world.organization(slug) if slug else self._world.organizations[0]

    def _issue(self, said: Json) -> tuple[Organization, Issue]:
        home = self._home(said)
        found = home.issues.get(int(said["issue"]))
        if found is None:
            raise Refusal(404, f"there is no issue {said['issue']}")
        return home, found

    def _by(self, home: Organization, said: Json) -> By:
        """Return who is meant: an e-mail address, ``app:SLUG``, or nobody: Sentry itself."""
        who = said.get("by")
        if not who:
            return None
        if who.startswith("app:"):
            return self._world.app(who[4:])
        return self._person(home, who)

    @staticmethod
    def _person(home: Organization, who: str) -> Person:
        found = home.person(who)
        if found is None:
            raise Refusal(404, f"there is no member {who}")
        return found

    def _installed(self, said: Json) -> tuple[Organization, App, Installation]:
        app = self._world.app(said["app"])
        home = self._world.home_of(app)
        found = home.installation_of(app)
        if found is None:
            raise Refusal(404, f"{app.slug} is not installed")
        return home, app, found

    # -- what there is

    def organization(self, said: Json) -> Any:
        """Add an organisation with projects and members."""
        home = self._world.add_organization(said["slug"], said.get("name", ""))
        for slug in said.get("projects", ()):
            self._world.add_project(home, slug)
        for one in said.get("members", ()):
            self._world.add_person(
                home, one["email"], one.get("name", ""), one.get("role", "member")
            )
        return written.organization(self._world, home)

    def token(self, said: Json) -> Any:
        """Make a token: of a person, of an integration, or of an organisation."""
        scopes = set(said.get("scopes", ()))
        if said.get("app"):
            made = self._world.add_token(app=self._world.app(said["app"]), scopes=scopes)
        elif said.get("person"):
            person = self._person(self._home(said), said["person"])
            made = self._world.add_token(person=person, scopes=scopes)
        else:
            made = self._world.add_token(scopes=scopes or {"org:ci"})
        return {"token": made.token, "scopes": sorted(made.scopes)}

    def join(self, said: Json) -> Any:
        """Let somebody be in the teams of these projects only."""
        self._person(self._home(said), said["person"]).joined = frozenset(said["projects"])
        return {}

    def revoke(self, said: Json) -> Any:
        """Let a token open nothing any more."""
        left = [one for one in self._world.tokens if one.token != said["token"]]
        self._world.tokens = left
        return {}

    def publish(self, said: Json) -> Any:
        """Let an integration be published: only those are tried again."""
        self._world.app(said["app"]).status = "published"
        return {}

    def state(self, said: Json) -> Any:
        """Show all there is."""
        home = self._home(said)
        issues = {
            str(one.id): {
                **written.issue(self._world, home, one),
                "notes": [written.note(note) for note in one.notes],
                "links": one.links,
                "events": [event.id for event in one.events],
                "activity": [written.activity(self._world, each) for each in one.past],
            }
            for one in home.issues.values()
        }
        return {
            "organization": home.slug,
            "projects": [written.project(one) for one in home.projects],
            "members": [written.member(one) for one in home.people],
            "issues": issues,
            "apps": [
                {**written.app(self._world, app, None), "clientSecret": app.client_secret}
                for app in home.apps
            ],
            "installations": [written.installation(home, one) for one in home.installations],
            "rules": [written.rule(one) for one in home.rules],
            "now": written.instant(self._world.clock.now()),
        }

    def settings(self, said: Json) -> Any:
        """Set the size of pages, an organisation's features, or how old this Sentry is."""
        if "page_size" in said:
            self._world.page_size = int(said["page_size"])
        if "features" in said:
            self._home(said).features = list(said["features"])
        if "url" in said:
            self._world.url = said["url"]
        if "tells_apps" in said:
            self._world.tells_apps = bool(said["tells_apps"])
        return {}

    def clock(self, said: Json) -> Any:
        """Stop the clock at a time or so many seconds on, or let it go so many ``behind``."""
        if "behind" in said:
            self._world.clock.lag(timedelta(seconds=float(said["behind"])))
        if "now" in said:
            self._world.clock.set(datetime.fromisoformat(said["now"]))
        if "forward" in said:
            self._world.clock.forward(timedelta(seconds=float(said["forward"])))
        self._life.wake()
        return {"now": written.instant(self._world.clock.now())}

    # -- what happens

    def issue(self, said: Json) -> Any:
        """Let something new break."""
        home = self._home(said)
        project = home.project(said.get("project", home.projects[0].slug))
        made = self._life.new_issue(home, project, said)
        return written.issue(self._world, home, made)

    def event(self, said: Json) -> Any:
        """Let an issue happen again."""
        home, issue = self._issue(said)
        made = self._life.event(home, issue, said)
        return {"event_id": made.id, "issue": written.issue(self._world, home, issue)}

    def act(self, said: Json) -> Any:
        """Let somebody do something to an issue."""
        home, issue = self._issue(said)
        by = self._by(home, said)
        what = said["do"]
        if what == "note":
            if by is None:
                raise Refusal(400, "say who writes the note: by")
            self._life.note(home, issue, said["text"], by)
        elif what == "delete":
            del home.issues[issue.id]
        elif what == "merge":
            self._life.merge(home, issue, int(said["into"]))
        elif what == "escalate":
            self._life.escalate(home, issue, said)
        else:
            self._life.change(home, issue, _CHANGES[what](said), by)
        return written.issue(self._world, home, issue)

    def plugin(self, said: Json) -> Any:
        """Set the callback URLs of a project's legacy WebHooks plugin."""
        self._home(said).project(said["project"]).callback_urls = list(said["urls"])
        return {}

    def rule(self, said: Json) -> Any:
        """Save a rule with an integration's component, as Sentry's rule editor does."""
        with self._world.lock:
            home, app, installed = self._installed(said)
            project = home.project(said["project"])
            form = {
                "name": said.get("name", f"Tell {app.name}"),
                "conditions": said.get("conditions", _NEW),
                "filters": said.get("filters", []),
                "actions": [
                    {
                        "id": APP_ACTION,
                        "sentryAppInstallationUuid": installed.uuid,
                        "settings": said.get("settings", []),
                        "hasSchemaFormConfig": True,
                    }
                ],
                "actionMatch": "any",
                "frequency": 5,
            }
        # The integration is asked without the lock: it may ask us in turn.
        setup_api.check_rule(home, form)
        with self._world.lock:
            made = Rule(self._world.new_id(), project, form["name"], form, self._world.clock.now())
            home.rules.append(made)
            return written.rule(made)

    def test_rule(self, said: Json) -> Any:
        """Press *Send Test Notification* on a rule."""
        home = self._home(said)
        rule = next((one for one in home.rules if str(one.id) == str(said["rule"])), None)
        if rule is None:
            raise Refusal(404, f"there is no rule {said['rule']}")
        made = self._life.test_rule(home, rule)
        return written.issue(self._world, home, made)

    def select(self, said: Json) -> Any:
        """Open a select of a component, as a form does."""
        with self._world.lock:
            _, app, installed = self._installed(said)
        return components.select(app, installed, said["uri"], said)

    def link(self, said: Json) -> Any:
        """Link an issue by a component, as its sidebar does."""
        with self._world.lock:
            home, app, installed = self._installed(said)
            _, issue = self._issue(said)
            by = self._person(home, said.get("by", home.people[0].email))
        fields = said.get("fields", {})
        return components.link(app, installed, issue, said.get("form", "link"), fields, by)

    # -- webhooks and faults

    def webhooks(self, said: Json) -> Any:
        """Say how webhooks go wrong from now on; show those that were sent."""
        if said:
            self._sender.configure(said)
        return {"webhooks": summary(self._sender.log)}

    def forget(self, said: Json) -> Any:  # noqa: ARG002
        """Forget what was sent and asked."""
        self._sender.log.clear()
        self._faults.requests.clear()
        return {}

    def take(self, said: Json) -> Any:
        """Take what was not sent."""
        return {"webhooks": self._sender.take(said.get("order", ""))}

    def release(self, said: Json) -> Any:
        """Send what was held."""
        self._sender.settings.hold = False
        self._sender.release(said.get("order", ""))
        return {}

    def settle(self, said: Json) -> Any:
        """Wait until all that is to be sent is sent."""
        return {"settled": self._sender.settle(float(said.get("seconds", _SETTLED_WITHIN)))}

    def faults(self, said: Json) -> Any:
        """Let the API go wrong; an empty object lets it be well."""
        self._faults.configure(said)
        return {}

    def requests(self, said: Json) -> Any:  # noqa: ARG002
        """Show what the API was asked."""
        return {"requests": self._faults.requests, "at_once": self._faults.at_once}


#: When a new issue is made.
_NEW = [{"id": "sentry.rules.conditions.first_seen_event.FirstSeenEventCondition"}]

#: What a deed is, as a change of the API.
_CHANGES: Mapping[str, Callable[[Json], Json]] = {
    "resolve": lambda said: {"status": "resolved", "statusDetails": said.get("details", {})},
    "ignore": lambda said: {
        "status": "ignored",
        "substatus": said.get("substatus"),
        "statusDetails": said.get("details", {}),
    },
    "unresolve": lambda _said: {"status": "unresolved"},
    "assign": lambda said: {"assignedTo": said["to"]},
    "unassign": lambda _said: {"assignedTo": ""},
    "prioritise": lambda said: {"priority": said["priority"]},
}

#: What asks an integration, or waits: everybody else must get on meanwhile.
_UNLOCKED = frozenset({"rule", "select", "link", "settle"})

_DEEDS: Mapping[str, Callable[[Control, Json], Any]] = {
    name: getattr(Control, name)
    for name in (
        "organization", "token", "join", "revoke", "publish", "state", "settings", "clock",
        "issue", "event", "act", "plugin", "rule", "test_rule", "select", "link",
        "webhooks", "forget", "take", "release", "settle", "faults", "requests",
    )
}  # fmt: skip
