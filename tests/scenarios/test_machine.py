"""The whole service against a small model of what an incident is, in any order of events.

``TOCSIN_TEST_FULL=1`` takes 10,000 steps; the normal suite a few hundred.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.conftest import fresh_sqlite
from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.sentry.sender import Issue, Webhook, webhook
from tocsin.store.db import Database
from tocsin.store.vault import Vault

FULL = os.environ.get("TOCSIN_TEST_FULL") == "1"
STEPS, EXAMPLES = (40, 250) if FULL else (30, 8)

issues = st.integers(1, 4)


@dataclass
class Simple:
    """An incident as the model has it."""

    status: str = "triggered"
    count: int = 1
    alerts: set[int] = field(default_factory=set)
    merged_into: int | None = None
    wakes_in: int | None = None
    pages: int = 1


@dataclass
class Model:
    """What is open for which issue; issues to whether they fire."""

    incidents: dict[int, Simple] = field(default_factory=dict)
    home: dict[int, int] = field(default_factory=dict)
    fires: dict[int, bool] = field(default_factory=dict)

    def _open(self, issue: int) -> Simple | None:
        simple = self.incidents.get(self.home.get(issue, 0))
        return simple if simple and simple.status != "resolved" else None

    def trigger(self, issue: int) -> None:
        """Open, or count."""
        self.fires[issue] = True
        if simple := self._open(issue):
            simple.count += 1
        else:
            number = len(self.incidents) + 1
            self.incidents[number] = Simple(alerts={issue})
            self.home[issue] = number

    def resolve(self, issue: int) -> None:
        """End the incident with the last of its alerts that fires."""
        self.fires[issue] = False
        simple = self._open(issue)
        if simple and not any(self.fires[one] for one in simple.alerts):
            self._end(simple)

    def _end(self, simple: Simple) -> None:
        simple.status, simple.wakes_in = "resolved", None
        for issue in simple.alerts:
            self.fires[issue] = False

    def end(self, number: int) -> None:
        """End one by hand."""
        self._end(self.incidents[number])

    def merge(self, number: int, into: int) -> None:
        """Give the alerts of one to another."""
        source, target = self.incidents[number], self.incidents[into]
        target.count += source.count
        target.alerts |= source.alerts
        self.home |= dict.fromkeys(source.alerts, into)
        source.alerts = set()
        source.status, source.merged_into, source.wakes_in = "resolved", into, None

    def open_ones(self) -> list[int]:
        """Return the numbers of the open ones."""
        return [number for number, one in self.incidents.items() if one.status != "resolved"]

    def pass_time(self, minutes: int) -> None:
        """Wake what was snoozed for no longer than this."""
        for simple in self.incidents.values():
            if simple.wakes_in is not None:
                simple.wakes_in -= minutes
                if simple.wakes_in <= 0:
                    simple.status, simple.wakes_in = "triggered", None
                    simple.pages += 1


def machine(template: Path, vault: Vault) -> type[RuleBasedStateMachine]:
    """Return the machine, on a database of its own each time it starts."""

    class Machine(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            self.folder = tempfile.TemporaryDirectory()
            self.database = Database(fresh_sqlite(Path(self.folder.name), template))
            self.world = World(self.database, vault)
            self.world.__enter__()
            self.world.configure(PEOPLE, ONE_STEP, SERVICE)
            self.model = Model()
            self.pages: Counter[str] = Counter()
            self.sent: list[tuple[Webhook, str]] = []

        def teardown(self) -> None:
            if hasattr(self, "world"):
                self.world.forget()
                self.world.__exit__(None)
                self.database.close()
                self.folder.cleanup()

        def _send(self, issue: int, action: str) -> None:
            hook = webhook("issue", action, Issue(id=str(issue), title=f"issue {issue}"))
            request_id = f"request-{len(self.sent)}"
            self.sent.append((hook, request_id))
            self.world.send(hook, **{"request-id": request_id})

        @rule(issue=issues)
        def trigger(self, issue: int) -> None:
            self._send(issue, "unresolved")
            self.model.trigger(issue)

        @rule(issue=issues)
        def resolve(self, issue: int) -> None:
            self._send(issue, "resolved")
            self.model.resolve(issue)

        @precondition(lambda self: self.sent)
        @rule(data=st.data())
        def redeliver(self, data: st.DataObject) -> None:
            hook, request_id = data.draw(st.sampled_from(self.sent))
            self.world.send(hook, **{"request-id": request_id})

        @rule(batch=st.lists(st.tuples(issues, st.booleans()), min_size=2, max_size=6))
        def at_once(self, batch: list[tuple[int, bool]]) -> None:
            """Several arrive before any is processed; what counts is the order of arrival."""
            with self.world.held():
                for issue, fires in batch:
                    self._send(issue, "unresolved" if fires else "resolved")
            known = set(self.model.incidents)
            for issue, fires in batch:
                (self.model.trigger if fires else self.model.resolve)(issue)
            for number in self.model.incidents.keys() - known - set(self.model.open_ones()):
                # Over before anybody could be paged.
                self.model.incidents[number].pages = 0

        def _drawn(self, data: st.DataObject) -> int:
            return data.draw(st.sampled_from(self.model.open_ones()))

        @precondition(lambda self: self.model.open_ones())
        @rule(data=st.data())
        def acknowledge(self, data: st.DataObject) -> None:
            number = self._drawn(data)
            self.world.api("POST", f"/incidents/{number}/acknowledge")
            simple = self.model.incidents[number]
            simple.status, simple.wakes_in = "acknowledged", None

        @precondition(lambda self: self.model.open_ones())
        @rule(data=st.data(), minutes=st.integers(1, 90))
        def snooze(self, data: st.DataObject, minutes: int) -> None:
            number = self._drawn(data)
            self.world.api("POST", f"/incidents/{number}/snooze", {"for": f"{minutes}m"})
            simple = self.model.incidents[number]
            simple.status, simple.wakes_in = "snoozed", minutes

        @precondition(lambda self: self.model.open_ones())
        @rule(data=st.data())
        def resolve_by_hand(self, data: st.DataObject) -> None:
            number = self._drawn(data)
            self.world.api("POST", f"/incidents/{number}/resolve")
            self.model.end(number)

        @precondition(lambda self: len(self.model.open_ones()) > 1)
        @rule(data=st.data())
        def merge(self, data: st.DataObject) -> None:
            number, into = self._drawn(data), self._drawn(data)
            if number != into:
                self.world.api("POST", f"/incidents/{number}/merge", {"into": into})
                self.model.merge(number, into)

        @rule(minutes=st.integers(1, 60))
        def pass_time(self, minutes: int) -> None:
            self.world.forward(minutes=minutes)
            self.model.pass_time(minutes)

        @invariant()
        def agrees(self) -> None:
            if not hasattr(self, "world"):
                return
            for heard in self.world.take():
                if heard.what == "page":
                    self.pages[heard.title] += 1
            found = {
                one.number: Simple(
                    status=one.status,
                    count=one.occurrence_count,
                    alerts={int(alert.dedup_key.rpartition(":")[2]) for alert in one.alerts},
                    merged_into=one.merged_into,
                )
                for one in self.world.incidents()
            }
            wanted = {
                number: Simple(one.status, one.count, one.alerts, one.merged_into)
                for number, one in self.model.incidents.items()
            }
            assert found == wanted
            assert self.pages.total() == sum(one.pages for one in self.model.incidents.values())

    return Machine


def test_the_service_and_a_small_model_agree_on_every_incident(sqlite_template: Path, vault: Vault):
    run_state_machine_as_test(
        machine(sqlite_template, vault),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=not FULL,
            suppress_health_check=list(HealthCheck),
        ),
    )
