"""Two sides that change the same things, with webhooks lost, doubled and out of order between them.

``TOCSIN_TEST_FULL=1`` takes 10,000 operations; the normal suite some hundreds.
"""

from __future__ import annotations

import base64
import contextlib
import os
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from tests.both_sides import BothSides
from tests.conftest import fresh_sqlite
from tests.fakes import fake_sentry
from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.core.incident import Refused
from tocsin.core.mirror import ECHO, same
from tocsin.core.reconcile import FOUND
from tocsin.store.db import Database
from tocsin.store.vault import Vault
from tocsin.work import respond
from tocsin.work.reconcile import arm

FULL = os.environ.get("TOCSIN_TEST_FULL") == "1"

#: A step is so many operations: short runs are mostly of the simplest ones.
AT_ONCE = 20
STEPS, EXAMPLES = (8, 80) if FULL else (4, 6)

#: What changes an issue in Sentry, done by people here.
_DEEDS = frozenset({"assign", "resolve", "archive", "note"})

#: Entries after which an incident rightly pages once more.
_AGAIN = frozenset({"woke", "acknowledge_timeout", "reopened", "raised"})

people = st.sampled_from(["ann", "bob", "cat"])

#: What may happen, as often as it stands here.
OPERATIONS = (
    *("breaks",) * 2,
    *("happens_again",) * 2,
    *("act_there",) * 3,
    *("act_here",) * 4,
    *("crosses",) * 3,
    *("changes_mind",) * 2,
    *("comes_late",) * 2,
    *("is_looked_at",) * 2,
    *("goes",) * 3,
    *("all_go",) * 2,
    "comes_and_goes",
    "time_passes",
    "agree",
)
ACTS_THERE = ("resolve", "resolve", "unresolve", "ignore", "assign", "note")
ACTS_HERE = ("snooze", "snooze", "resolve", "resolve", "acknowledge", "note")

#: What contradicts each other: done here, and done there before the first is.
CROSSING = (
    ("resolve", "ignore"),
    ("snooze", "resolve"),
    ("snooze", "ignore"),
    ("acknowledge", "assign"),
)

#: What somebody does here, and does not want any more before it is done there.
CHANGES_OF_MIND = (
    ("snooze", "resolve"),
    ("snooze", "acknowledge"),
    ("acknowledge", "resolve"),
    ("acknowledge", "snooze"),
)

#: How Sentry is: well, away, or such that it can be looked at and not changed.
WEATHER: tuple[dict[str, Any], ...] = (
    {},
    {"away": True},
    {"status": 500, "method": "PUT"},
)

#: The status that a person leaves.
LEAVES = {"resolve": "resolved", "unresolve": "unresolved", "ignore": "ignored"}

#: What brings an issue back, as Sentry calls it.
REOPENING = frozenset({"set_regression", "set_unresolved", "set_escalating"})

#: After so many operations it is looked at what always holds.
LOOKED_AT = 4

#: Sentry can be looked at and not changed: what is done here waits.
FROZEN = WEATHER[2]

#: What is done in Sentry only while the last of these entries is the first of them.
WHILE = {
    "archive": ("snoozed", "opened", "reopened", "acknowledged", "woke", "resolved"),
    "assign": ("acknowledged", "opened", "reopened", "woke", "acknowledge_timeout", "resolved"),
}

#: What we do is told as ours for an hour; a little less, for it is not told in no time.
ECHOED_FOR = timedelta(minutes=55)


def machine(
    template: Path, vault: Vault, folder: Path, done: list[int]
) -> type[RuleBasedStateMachine]:
    """Return the machine, on a database and a Sentry of its own each time it starts.

    ``done`` gets how many operations each run was.
    """

    class Machine(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            self.stack = contextlib.ExitStack()
            name = self.stack.enter_context(tempfile.TemporaryDirectory(dir=folder))
            self.database = Database(fresh_sqlite(Path(name), template))
            self.stack.callback(self.database.close)
            self.world = self.stack.enter_context(World(self.database, vault))
            self.world.configure(PEOPLE, ONE_STEP, SERVICE)
            self.both = BothSides.join(self.world, self.stack.enter_context(fake_sentry()))
            self.issues = [self.both.breaks(title="E")]
            self.operations = 0
            self.log: list[str] = []
            (self.ourselves,) = (app["uuid"] for app in self.both.sentry.state()["apps"])
            #: How a person left an issue in Sentry, until somebody does something else about it.
            self.theirs: dict[str, str] = {}
            #: Whom a person assigned an issue to, until somebody acts on it here.
            self.assigned: dict[str, str] = {}
            self.both.deliver_all()
            #: What people did here, by what is asked of Sentry for it.
            self.acts: Counter[str] = Counter()
            self.pages: Counter[int] = Counter()

        def teardown(self) -> None:
            if hasattr(self, "stack"):
                try:
                    self.agreement(is_lost=True)
                    self.pages_and_acts()
                    done.append(self.operations)
                finally:
                    self.world.forget()
                    self.stack.close()

        @rule(names=st.lists(st.sampled_from(OPERATIONS), min_size=AT_ONCE, max_size=AT_ONCE),
              data=st.data())  # fmt: skip
        def happen(self, names: list[str], data: st.DataObject) -> None:
            for name in names:
                # No two things happen at the same time.
                self.both.forward(seconds=1)
                self.log.append(f"{self.world.now} {name}")
                getattr(self, name)(data)
                self.operations += 1
                if self.operations % LOOKED_AT == 0:
                    self.pages_and_acts()
                self.nobody_is_overruled()

        # -- in Sentry

        def breaks(self, _data: st.DataObject) -> None:
            if len(self.issues) < 4:
                self.issues.append(self.both.breaks(title=f"E: {len(self.issues)}"))

        def happens_again(self, data: st.DataObject) -> None:
            issue = data.draw(st.sampled_from(self.issues))
            self.both.happens_again(issue)
            self.theirs.pop(issue, None)

        def act_there(self, data: st.DataObject, issue: str = "", do: str = "") -> None:
            issue = issue or data.draw(st.sampled_from(self.issues))
            do, who = do or data.draw(st.sampled_from(ACTS_THERE)), data.draw(people)
            to, text = "cat@example.com", f"a word at {self.world.now.isoformat()}"
            self.log.append(f"    {who}: {do} {issue}")
            before = self.both.issue(issue)
            after = self.both.sentry.act(issue, do, by=who, to=to, text=text)
            changed = any(before[name] != after[name] for name in ("status", "statusDetails"))
            if do in LEAVES and changed:
                self.theirs[issue] = LEAVES[do]
            if do == "assign" and before["assignedTo"] != after["assignedTo"]:
                self.assigned[issue] = to

        # -- between

        def goes(self, data: st.DataObject) -> None:
            self.both.fetch()
            if count := len(self.both.on_the_way):
                at = data.draw(st.integers(0, count - 1))
                copies = data.draw(st.sampled_from([1, 1, 2]))
                is_lost = data.draw(st.sampled_from([False, False, True]))
                self.arrives(at, copies=copies, is_lost=is_lost)

        def all_go(self, _data: st.DataObject | None) -> None:
            self.both.fetch()
            while self.both.on_the_way:
                self.arrives()
                self.both.fetch()

        def arrives(self, at: int = 0, *, copies: int = 1, is_lost: bool = False) -> None:
            """Let a webhook go; what tells only what we did ourselves changes nothing."""
            hook = self.both.on_the_way[at]
            self.both.deliver(at, copies=copies, is_lost=is_lost)
            made_at = datetime.fromtimestamp(int(hook["headers"]["Sentry-Hook-Timestamp"]), UTC)
            actor = msgspec.json.decode(base64.b64decode(hook["body_base64"]))["actor"]
            is_young = self.world.now - made_at < ECHOED_FOR
            if is_young and not is_lost:
                came = [one for one in self.world.deliveries() if one.url_style != "reconcile"]
                is_echo = (came[-1].outcome, came[-1].reason) == ("duplicate", ECHO)
                assert is_echo is (actor["id"] == self.ourselves), self.log

        def comes_and_goes(self, data: st.DataObject) -> None:
            self.both.be_well()
            self.both.sentry.do("faults", **data.draw(st.sampled_from(WEATHER)))

        # -- here

        def act_here(self, data: st.DataObject, do: str = "", issue: str = "") -> str:
            """Act on an incident that is open, if one is; return the issue it is about."""
            found = [one for one in self.world.incidents() if one.status != "resolved"]
            wanted = [one for one in found if one.dedup_key.endswith(f":{issue}") or not issue]
            if not wanted:
                return ""
            incident = data.draw(st.sampled_from(wanted))
            number = incident.number
            do, who = do or data.draw(st.sampled_from(ACTS_HERE)), data.draw(people)
            now = self.world.now
            until = now + timedelta(minutes=data.draw(st.sampled_from([10, 30, 180])))
            deeds = {
                "acknowledge": ("assign", respond.acknowledge),
                "resolve": ("resolve", respond.resolve),
                "note": ("note", lambda by: respond.note(by, f"a word at {now.isoformat()}")),
                "snooze": ("archive", lambda by: respond.snooze(by, until)),
            }
            asked, decide = deeds[do]
            self.log.append(f"    {who}: {do} #{number}")
            with contextlib.suppress(Refused):
                self.world.act(who, decide, number)
            self.acts[asked] += 1
            issue = incident.dedup_key.removeprefix("sentry:issue:")
            self.theirs.pop(issue, None)
            self.assigned.pop(issue, None)
            return issue

        # -- on both sides at once

        def crosses(self, data: st.DataObject) -> None:
            """People act on both sides of one issue, and neither side knows of the other."""
            here, there = data.draw(st.sampled_from(CROSSING))
            self.both.sentry.do("faults", **FROZEN)
            issue = self.act_here(data, here)
            self.both.forward(seconds=1)
            if issue:
                self.act_there(data, issue, there)
            self._thaw()

        def changes_mind(self, data: st.DataObject) -> None:
            """People act twice on one incident before the first can be done in Sentry."""
            first, then = data.draw(st.sampled_from(CHANGES_OF_MIND))
            self.both.sentry.do("faults", **FROZEN)
            issue = self.act_here(data, first)
            self.both.forward(seconds=1)
            if issue:
                self.act_here(data, then, issue)
            self._thaw()

        def comes_late(self, data: st.DataObject) -> None:
            """What broke anew before somebody resolved it here is told only then."""
            issue = self._breaks_anew(data)
            self.both.sentry.do("faults", **FROZEN)
            self.act_here(data, "resolve", issue)
            self.both.forward(seconds=1)
            self.all_go(data)
            self._thaw()

        def is_looked_at(self, data: st.DataObject) -> None:
            """Sentry is asked after somebody resolved here, and before that is done there."""
            issue = self._breaks_anew(data)
            self.all_go(data)
            self.both.forward(seconds=1)
            self.both.sentry.do("faults", **FROZEN)
            self.act_here(data, "resolve", issue)
            self.both.forward(minutes=6)
            self._thaw()

        def _breaks_anew(self, data: st.DataObject) -> str:
            issue: str = data.draw(st.sampled_from(self.issues))
            self.both.sentry.act(issue, "resolve", by="cat")
            self.both.forward(seconds=1)
            self.both.happens_again(issue)
            self.theirs.pop(issue, None)
            self.both.forward(seconds=1)
            return issue

        def _thaw(self) -> None:
            """Let Sentry be changed again, and what waited be done."""
            self.both.forward(seconds=1)
            self.both.be_well()
            self.both.forward(minutes=2)

        def time_passes(self, data: st.DataObject) -> None:
            self.both.forward(minutes=data.draw(st.integers(1, 20)))

        # -- what always holds

        def pages_and_acts(self) -> None:
            """One open incident for an issue, one page for a cycle, one task for an act."""
            for heard in self.world.take():
                if heard.what == "page":
                    told = msgspec.json.decode(heard.message.document)["data"]["incident"]
                    self.pages[told["number"]] += 1
            found = self.world.incidents()
            is_open = Counter(one.dedup_key for one in found if one.status != "resolved")
            assert not [key for key, count in is_open.items() if count > 1]
            for one in found:
                again = sum(entry.kind in _AGAIN for entry in one.timeline)
                assert self.pages[one.number] <= 1 + again, one.number
            asked = Counter(t["act"] for t in self.both.tasks() if t["act"] in _DEEDS)
            # An act that changed nothing asks for nothing; nothing else ever asks.
            assert not asked - self.acts

        def nobody_is_overruled(self) -> None:
            """What a person changed in Sentry stays, whatever was asked for here before."""
            if self.theirs or self.assigned:
                state = self.both.sentry.state()["issues"]
                for issue, left in self.theirs.items():
                    assert state[issue]["status"] == left, self._told(issue, state[issue])
                for issue, to in self.assigned.items():
                    assert state[issue]["assignedTo"]["email"] == to, self.log

        def nothing_that_fires_is_resolved(self) -> None:
            """A resolve that waited is not done in Sentry for what fires again meanwhile."""
            found = self.world.incidents()
            for task in self.both.tasks():
                if (task["act"], task["state"]) != ("resolve", "done"):
                    continue
                key = f"sentry:issue:{task['issue_id']}"
                assert not [
                    one.number
                    for one in found
                    if one.dedup_key == key
                    and task["created_at"] < one.triggered_at < task["done_at"]
                    and (one.resolved_at is None or one.resolved_at > task["done_at"])
                ], self.log

        def what_is_done_there_is_still_wanted(self) -> None:
            """What waited is done in Sentry only if the incident stands as it did."""
            timelines = {one.id: one.timeline for one in self.world.incidents()}
            people = {one.id: one.name for one in self.world.plans.refresh().users.values()}
            for task in self.both.tasks():
                stands = WHILE.get(task["act"])
                if stands is None or task["state"] != "done":
                    continue
                (*_, last) = [
                    entry
                    for entry in timelines[task["incident_id"]]
                    if entry.kind in stands and entry.at <= task["done_at"]
                ]
                assert last.kind == stands[0], self._told(task["issue_id"], {})
                assert task["act"] != "assign" or last.actor == people[task["payload"]["user_id"]]

        def found_once(self) -> None:
            """What a person resolved here is found by asking only if it came back since."""
            state = self.both.sentry.state()["issues"]
            before: dict[str, Any] = {}
            for one in self.world.incidents():
                last, before[one.dedup_key] = before.get(one.dedup_key), one
                is_found = FOUND in one.timeline[0].text
                if last is None or not is_found or not self._is_by_person(last):
                    continue
                issue = one.dedup_key.removeprefix("sentry:issue:")
                back = [
                    datetime.fromisoformat(each["dateCreated"])
                    for each in state[issue]["activity"]
                    if each["type"] in REOPENING
                ]
                assert any(at > last.resolved_at for at in back), self._told(issue, state[issue])

        def _is_by_person(self, incident: Any) -> bool:
            """Whether a person resolved it here, and Sentry has not said so since."""
            ends = [entry for entry in incident.timeline if entry.kind == "resolved"]
            since = [
                one
                for one in self.world.deliveries()
                if one.dedup_key == incident.dedup_key
                and one.verb == "resolve"
                and one.received_at >= incident.resolved_at
            ]
            return ends[-1].actor in ("Ann", "Bob", "Cat") and not since

        def agree(self, data: st.DataObject) -> None:
            """Once Sentry can be asked, nothing of what was lost is missed."""
            self.agreement(is_lost=data.draw(st.booleans()))

        def agreement(self, *, is_lost: bool) -> None:
            both = self.both
            both.be_well()
            if is_lost:
                both.lose_all()
            else:
                # What waits to be done in Sentry comes back as webhooks.
                both.forward(seconds=30)
                self.all_go(None)
            # However long ago it was last asked in vain, and whatever waits to be tried again.
            self.database.run(lambda c: arm(c, self.world.now, at_once=True))
            both.forward(minutes=12)
            both.lose_all()
            both.forward(minutes=8)
            here = {
                one.dedup_key: one for one in self.world.incidents() if one.status != "resolved"
            }
            state = both.sentry.state()["issues"]
            archived = [
                (t["issue_id"], datetime.fromisoformat(t["payload"]["until"]))
                for t in both.tasks()
                if t["act"] == "archive" and t["state"] == "done"
            ]
            for issue in self.issues:
                there = state[issue]
                until = there["statusDetails"].get("ignoreUntil")
                is_ours = until is not None and any(
                    id_ == issue and same(at, datetime.fromisoformat(until)) for id_, at in archived
                )
                is_open = there["status"] == "unresolved" or is_ours
                assert (f"sentry:issue:{issue}" in here) is is_open, self._told(issue, there)
            self.found_once()
            self.nothing_that_fires_is_resolved()
            self.what_is_done_there_is_still_wanted()

        def _told(self, issue: str, there: dict[str, Any]) -> str:
            """Tell all that is known of an issue on which the sides differ."""
            key = f"sentry:issue:{issue}"
            names = ("status", "substatus", "statusDetails")
            lines = [f"{issue}: {[there.get(name) for name in names]}"]
            lines += self.log
            for task in self.both.tasks():
                if task["issue_id"] == issue and task["act"] in _DEEDS:
                    names = ("act", "state", "created_at", "begun_at", "done_at", "error")
                    lines.append(f"task {[str(task[name]) for name in names]}")
            for one in self.world.deliveries():
                if one.dedup_key == key:
                    at = one.received_at
                    lines.append(f"{at} {one.url_style} {one.action} {one.verb} {one.outcome}")
            for one in self.world.incidents():
                if one.dedup_key == key:
                    lines += [f"#{one.number} {e.at} {e.kind} {e.text}" for e in one.timeline]
            return "\n".join(lines)

    return Machine


def test_both_sides_agree_in_the_end_whatever_was_lost(
    sqlite_template: Path, sqlite_folder: Path, vault: Vault
):
    done: list[int] = []
    run_state_machine_as_test(
        machine(sqlite_template, vault, sqlite_folder, done),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=not FULL,
            # To make a run of many operations shorter takes longer than to read what it did.
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
    # A run that does next to nothing shows next to nothing.
    assert sum(done) >= (10_000 if FULL else 200), done
