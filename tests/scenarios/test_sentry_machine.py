"""Two sides that change the same things, with webhooks lost, doubled and out of order between them.

``TOCSIN_TEST_FULL=1`` takes 10,000 operations; the normal suite about two hundred.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter
from datetime import datetime, timedelta
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
from tocsin.core.mirror import same
from tocsin.store.db import Database
from tocsin.store.vault import Vault
from tocsin.work import respond
from tocsin.work.reconcile import arm

FULL = os.environ.get("TOCSIN_TEST_FULL") == "1"

#: A step is so many operations: short runs are mostly of the simplest ones.
AT_ONCE = 20
STEPS, EXAMPLES = (8, 65) if FULL else (4, 8)

#: What changes an issue in Sentry, done by people here.
_DEEDS = frozenset({"assign", "resolve", "archive", "note"})

#: Entries after which an incident rightly pages once more.
_AGAIN = frozenset({"woke", "acknowledge_timeout", "reopened", "raised"})

people = st.sampled_from(["ann", "bob", "cat"])

#: What may happen, as often as it stands here.
OPERATIONS = (
    *("breaks",) * 2,
    *("happens_again",) * 2,
    *("act_there",) * 4,
    *("act_here",) * 6,
    *("goes",) * 4,
    *("all_go",) * 2,
    "comes_and_goes",
    *("time_passes",) * 2,
    "agree",
)
ACTS_THERE = ("resolve", "resolve", "unresolve", "ignore", "assign", "note")
ACTS_HERE = ("snooze", "snooze", "resolve", "resolve", "acknowledge", "note")


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
                self.pages_and_acts()

        # -- in Sentry

        def breaks(self, _data: st.DataObject) -> None:
            if len(self.issues) < 4:
                self.issues.append(self.both.breaks(title=f"E: {len(self.issues)}"))

        def happens_again(self, data: st.DataObject) -> None:
            self.both.happens_again(data.draw(st.sampled_from(self.issues)))

        def act_there(self, data: st.DataObject) -> None:
            issue = data.draw(st.sampled_from(self.issues))
            do, who = data.draw(st.sampled_from(ACTS_THERE)), data.draw(people)
            to, text = "cat@example.com", f"a word at {self.world.now.isoformat()}"
            self.log.append(f"    {who}: {do} {issue}")
            self.both.sentry.act(issue, do, by=who, to=to, text=text)

        # -- between

        def goes(self, data: st.DataObject) -> None:
            self.both.fetch()
            if count := len(self.both.on_the_way):
                at = data.draw(st.integers(0, count - 1))
                copies = data.draw(st.sampled_from([1, 1, 2]))
                is_lost = data.draw(st.sampled_from([False, False, True]))
                self.both.deliver(at, copies=copies, is_lost=is_lost)

        def all_go(self, _data: st.DataObject) -> None:
            self.both.deliver_all()

        def comes_and_goes(self, data: st.DataObject) -> None:
            is_away = data.draw(st.booleans())
            self.both.sentry.do("faults", **({"away": True} if is_away else {}))

        # -- here

        def act_here(self, data: st.DataObject) -> None:
            found = [one.number for one in self.world.incidents() if one.status != "resolved"]
            if not found:
                return
            number = data.draw(st.sampled_from(found))
            do, who = data.draw(st.sampled_from(ACTS_HERE)), data.draw(people)
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
                both.deliver_all()
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

        def _told(self, issue: str, there: dict[str, Any]) -> str:
            """Tell all that is known of an issue on which the sides differ."""
            key = f"sentry:issue:{issue}"
            lines = [f"{issue}: {there['status']} {there['substatus']} {there['statusDetails']}"]
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
