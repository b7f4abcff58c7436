"""Both ways with Sentry, step by step: what happens there, and what comes of it here.

Every step waits for what has to come of it, and fails where it does not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from tocsin.boot import Store, now, sentry_asker
from tocsin.cli.connecting import Display, Run
from tocsin.cli.demo.practice import Practice
from tocsin.cli.demo.show import Show, Step
from tocsin.cli.demo.world import caller_of
from tocsin.core.access import EVERYTHING
from tocsin.core.mirror import issue_of
from tocsin.core.reconcile import EVERY
from tocsin.store import views
from tocsin.store.lists import Filter
from tocsin.store.views import IncidentView
from tocsin.work import respond
from tocsin.work.connect import Connector
from tocsin.work.connectplan import Wish
from tocsin.work.respond import Decide, Desk
from tocsin.work.switches import Switchboard

T = TypeVar("T")

#: The organisation in the fake Sentry, its project, and the integration here.
_ORGANIZATION = "acme"
_PROJECT = "backend"
_INTEGRATION = "acme"

#: What the token of whoever connects may.
_SCOPES = ("org:read", "org:write", "project:read", "member:read", "event:read", "event:write",
           "alerts:write")  # fmt: skip

#: How long a step may take, and how often one looks whether it is done.
_PATIENCE = 10.0
_LOOK_EVERY = 0.05

#: Webhooks, and how many of them are dropped.
_MANY = 10
_LOST = 3

#: Until Tocsin has asked Sentry of its own accord.
LATER = EVERY + timedelta(minutes=1)


class Clock:
    """The time in the demo: it begins some minutes ago, so that these can pass in an instant."""

    def __init__(self) -> None:
        """Begin."""
        self.behind = LATER

    def __call__(self) -> datetime:
        """Tell the time."""
        return now() - self.behind

    def catch_up(self) -> None:
        """Let the minutes pass: from now on it is as late as it is."""
        self.behind = timedelta()


class Over(Exception):
    """The demo is ending."""


class NotSo(Exception):
    """What had to come of a step did not."""


#: What came of a step: where, and what.
Told = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Story:
    """What happens between a Sentry and a Tocsin, played by one thread."""

    store: Store
    show: Show
    sentry: Practice
    clock: Clock
    over: threading.Event
    #: Seconds between steps.
    pause: float = 0.7

    def play(self) -> None:
        """Play it to its end, or until the first step that fails. Raises Over."""
        self.sentry.do("clock", behind=self.clock.behind.total_seconds())
        issues: list[str] = []
        for says, work in (
            ("Tocsin connects with Sentry", self._connect),
            ("resolved here: resolved there", self._resolve_here),
            ("an alert rule fires in Sentry: Ann is paged", lambda: self._fire(issues)),
            ("Ann acknowledges: assigned in Sentry", lambda: self._acknowledge(issues)),
            ("resolved in Sentry: closed here", lambda: self._resolve_there(issues)),
            ("Sentry loses 3 of 10 webhooks, on purpose", lambda: self._lose(issues)),
            ("Ann acknowledges what came", lambda: self._acknowledge(issues)),
            ("minutes later Tocsin asks Sentry what it missed", lambda: self._find(issues)),
            ("all resolved in Sentry: closed here", lambda: self._resolve_there(issues)),
        ):
            if not self._take(Step(says), work):
                return
            self.sleep(self.pause)

    def _take(self, step: Step, work: Callable[[], Told]) -> bool:
        self.show.scene = step.says
        self.show.steps.append(step)
        try:
            step.told = work()
            self.sentry.do("settle")
            step.state = "done"
        except NotSo as error:
            step.told, step.state = (("Failed", f"{step.says}: {error}"),), "failed"
        return step.state == "done"

    def sleep(self, seconds: float) -> None:
        """Wait. Raises Over."""
        if self.over.wait(seconds):
            raise Over

    def _until(self, happened: Callable[[], T], what: str) -> T:
        """Return what has happened, once it has. Raises NotSo."""
        ends = time.monotonic() + _PATIENCE
        while not (found := happened()):
            if time.monotonic() > ends:
                raise NotSo(f"within {_PATIENCE:.0f} s it did not happen that {what}")
            self.sleep(_LOOK_EVERY)
        return found

    # -- how things stand

    def _incidents(self, issues: Iterable[str]) -> Mapping[str, IncidentView]:
        """Return the latest incident of each of these issues, where there is one."""
        with self.store.database.read() as connection:
            plans = self.store.plans.current(connection)
            page = views.incident_page(connection, plans, EVERYTHING, Filter())
        wanted = set(issues)
        return {
            issue: one
            for one in reversed(page.items)
            if one.integration is not None
            and one.integration.name == _INTEGRATION
            and (issue := issue_of(one.dedup_key) or "") in wanted
        }

    def _there(self, issues: Iterable[str]) -> list[Any]:
        """Return issues as they stand in Sentry."""
        known = self.sentry.do("state", organization=_ORGANIZATION)["issues"]
        return [known[one] for one in issues]

    def _rung(self, issues: list[str], count: int) -> list[IncidentView]:
        """Wait until so many of these issues have an incident, and Ann was paged about each."""

        def rung() -> list[IncidentView]:
            found = list(self._incidents(issues).values())
            rang = all(self.show.has_rung("Ann", one.number) for one in found)
            return found if len(found) == count and rang else []

        return self._until(rung, f"{count} of Ann's pages rang")

    def _have_ended(self, issues: list[str]) -> list[IncidentView]:
        """Wait until the incidents of issues are resolved here."""

        def ended() -> list[IncidentView]:
            found = list(self._incidents(issues).values())
            return found if all(one.status == "resolved" for one in found) else []

        return self._until(ended, "the incidents were resolved here")

    def _ann(self, found: Iterable[IncidentView], decide: Callable[..., Decide]) -> None:
        """Let Ann do something to incidents."""
        ann = caller_of(self.store, "Ann")
        desk = Desk(self.store.database, self.store.plans)
        desk.act_on([one.number for one in found], decide(ann.by), ann, self.clock())

    # -- the steps

    def _connect(self) -> Told:
        """Connect as `tocsin sentry connect` does, and turn two switches on."""
        ann = caller_of(self.store, "Ann")
        step = self.show.steps[-1]
        token = self.sentry.do("token", person="ann@example.com", scopes=_SCOPES)["token"]
        wish = Wish(
            integration=_INTEGRATION,
            service="checkout",
            host=self.sentry.url,
            organization=_ORGANIZATION,
            token=token,
            projects=(_PROJECT,),
        )
        store = self.store
        with sentry_asker(store.settings) as ask:
            connector = Connector(
                store.database, store.plans, store.vault, store.settings.public_url, ask
            )
            run = Run(
                connector, wish, ann, _Details(step), wait=int(_PATIENCE),
                clock=self.clock, sleep=self.sleep,
            )  # fmt: skip
            run.go()
        if run.failed or run.plan.missing:
            raise NotSo(run.failed or "a scope is missing")
        board = Switchboard(store.database, store.plans)
        board.change(_INTEGRATION, {"acknowledge": "assign", "resolve": True}, ann, self.clock())
        example = self._rung(self._examples(), 1)[0]
        return (
            ("In Sentry", "an integration and an alert rule were made"),
            ("Here", f"the test came, Ann's phone rang: #{example.number}"),
        )

    def _examples(self) -> list[str]:
        return list(self.sentry.do("state", organization=_ORGANIZATION)["issues"])

    def _resolve_here(self) -> Told:
        examples = self._examples()
        found = list(self._incidents(examples).values())
        self._ann(found, respond.resolve)
        self._until(
            lambda: all(one["status"] == "resolved" for one in self._there(examples)),
            "the example was resolved in Sentry",
        )
        (issue,) = self._there(examples)
        return (
            ("Here", f"Ann resolved {_numbers(found)}"),
            ("In Sentry", f"{issue['shortId']} was resolved"),
        )

    def _fire(self, issues: list[str]) -> Told:
        made = self.sentry.do(
            "issue",
            project=_PROJECT,
            title="TimeoutError: the payment gateway did not answer within 10 s",
            release="backend@2.7.1",
        )
        issues[:] = [made["id"]]
        found = self._rung(issues, 1)
        return (
            ("In Sentry", f"{made['shortId']} is new, and the alert rule fired"),
            ("Here", f"{_numbers(found)} was opened, and Ann's phone rang"),
        )

    def _acknowledge(self, issues: list[str]) -> Told:
        found = self._incidents(issues)
        self._ann(found.values(), respond.acknowledge)

        def assigned() -> list[str]:
            there = self._there(found)
            whose = {(one["assignedTo"] or {}).get("email") for one in there}
            return [one["shortId"] for one in there] if whose == {"ann@example.com"} else []

        names = self._until(assigned, "the issues were assigned to Ann in Sentry")
        what = f"{names[0]} was" if len(names) == 1 else f"{len(names)} issues were"
        return (
            ("Here", f"Ann acknowledged {_numbers(found.values())}"),
            ("In Sentry", f"{what} assigned to Ann"),
        )

    def _resolve_there(self, issues: list[str]) -> Told:
        for issue in issues:
            self.sentry.do("act", issue=issue, do="resolve", by="bob@example.com")
        names = [one["shortId"] for one in self._there(issues)]
        found = self._have_ended(issues)
        what = names[0] if len(names) == 1 else f"all {len(names)} issues"
        return (
            ("In Sentry", f"Bob resolved {what}"),
            ("Here", f"{_numbers(found)} {'was' if len(found) == 1 else 'were'} closed"),
        )

    def _lose(self, issues: list[str]) -> Told:
        before = len(self.sentry.sent())
        self.sentry.do("webhooks", drop=_LOST, of=_MANY)
        # Of what is slow Sentry tells by the alert rule alone: one webhook each.
        issues[:] = [
            self.sentry.do(
                "issue",
                project=_PROJECT,
                title=f"Slow DB query: orders, page {number}",
                category="db_query",
                type="performance_slow_db_query",
                release="backend@2.7.2",
            )["id"]
            for number in range(1, _MANY + 1)
        ]
        self.sentry.do("settle")
        sent = self.sentry.sent()[before:]
        lost = sum(one.was_dropped for one in sent)
        if (len(sent), lost) != (_MANY, _LOST):
            raise NotSo(f"of {len(sent)} webhooks {lost} were dropped")
        found = self._rung(issues, _MANY - _LOST)
        return (
            (
                "In Sentry",
                f"{_MANY} issues are new; {lost} of {len(sent)} webhooks were dropped on purpose",
            ),
            ("Here", f"{_numbers(found)} were opened"),
        )

    def _find(self, issues: list[str]) -> Told:
        known = self._incidents(issues)
        self.sentry.do("clock", behind=0)
        self.clock.catch_up()
        every = self._rung(issues, _MANY)
        found = [one for one in every if one.id not in {had.id for had in known.values()}]
        board = Switchboard(self.store.database, self.store.plans)
        view = board.show(_INTEGRATION, caller_of(self.store, "Ann"), self.clock())
        if (len(found), view.lost_webhooks) != (_LOST, _LOST):
            raise NotSo(f"{len(found)} were found, {view.lost_webhooks} counted")
        rang = f"{view.lost_webhooks} lost webhooks were found; {_numbers(found)} rang Ann's phone"
        return (
            (f"{LATER // timedelta(minutes=1)} minutes later", "Tocsin asked Sentry"),
            ("Here", rang),
        )


class _Details(Display):
    """Keeps the lines of connecting with the step."""

    def __init__(self, step: Step) -> None:
        super().__init__(is_quiet=True)
        self._step = step

    def tell(self, key: str, state: str, said: str = "", *, text: str = "") -> None:
        super().tell(key, state, said, text=text)
        if state == "done":
            row = next(one for one in self.rows if one.key == key)
            self._step.details.append(row.text + (f": {row.said}" if row.said else ""))


def _numbers(found: Iterable[IncidentView]) -> str:
    """Write the numbers of incidents: #7, or #7 to #9 where there is none between."""
    numbers = sorted(one.number for one in found)
    first, last = numbers[0], numbers[-1]
    if len(numbers) > 1 and last - first == len(numbers) - 1:
        return f"#{first} to #{last}"
    return ", ".join(f"#{number}" for number in numbers)
