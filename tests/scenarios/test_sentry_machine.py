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

import msgspec
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
STEPS, EXAMPLES = (50, 200) if FULL else (25, 8)

#: What changes an issue in Sentry, done by people here.
_DEEDS = frozenset({"assign", "resolve", "archive", "note"})

#: Entries after which an incident rightly pages once more.
_AGAIN = frozenset({"woke", "acknowledge_timeout", "reopened", "raised"})

people = st.sampled_from(["ann", "bob", "cat"])


def machine(template: Path, vault: Vault, folder: Path) -> type[RuleBasedStateMachine]:
    """Return the machine, on a database and a Sentry of its own each time it starts."""

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
            self.issues: list[str] = []
            #: What people did here, by what is asked of Sentry for it.
            self.acts: Counter[str] = Counter()
            self.pages: Counter[int] = Counter()

        def teardown(self) -> None:
            if hasattr(self, "stack"):
                try:
                    self.agreement(is_lost=True)
                    self.pages_and_acts()
                finally:
                    self.world.forget()
                    self.stack.close()

        # -- in Sentry

        @precondition(lambda self: len(self.issues) < 4)
        @rule()
        def breaks(self) -> None:
            self._tick()
            self.issues.append(self.both.breaks(title=f"E: {len(self.issues)}"))

        @precondition(lambda self: self.issues)
        @rule(data=st.data())
        def happens_again(self, data: st.DataObject) -> None:
            self._tick()
            self.both.happens_again(self._issue(data))

        @precondition(lambda self: self.issues)
        @rule(
            data=st.data(),
            do=st.sampled_from(["resolve", "resolve", "unresolve", "ignore", "assign", "note"]),
            who=people,
        )
        def act_there(self, data: st.DataObject, do: str, who: str) -> None:
            self._tick()
            to, text = "cat@example.com", f"a word at {self.world.now.isoformat()}"
            self.both.sentry.act(self._issue(data), do, by=who, to=to, text=text)

        # -- between

        def _fetched(self) -> bool:
            self.both.fetch()
            return bool(self.both.on_the_way)

        @precondition(lambda self: hasattr(self, "both") and self._fetched())
        @rule(
            data=st.data(), copies=st.integers(1, 2), is_lost=st.sampled_from([False, False, True])
        )
        def goes(self, data: st.DataObject, copies: int, is_lost: bool) -> None:
            self._tick()
            at = data.draw(st.integers(0, len(self.both.on_the_way) - 1))
            self.both.deliver(at, copies=copies, is_lost=is_lost)

        @rule()
        def all_go(self) -> None:
            self._tick()
            self.both.deliver_all()

        @rule(is_away=st.sampled_from([False, False, False, True]))
        def comes_and_goes(self, is_away: bool) -> None:
            self.both.sentry.do("faults", **({"away": True} if is_away else {}))

        # -- here

        def _open(self) -> list[int]:
            if not hasattr(self, "world"):
                return []
            return [one.number for one in self.world.incidents() if one.status != "resolved"]

        @precondition(lambda self: self._open())
        @rule(
            data=st.data(),
            do=st.sampled_from(["snooze", "resolve", "snooze", "resolve", "acknowledge", "note"]),
            who=people,
        )
        def act_here(self, data: st.DataObject, do: str, who: str) -> None:
            self._tick()
            number = data.draw(st.sampled_from(self._open() or [0]))
            if not number:
                return
            now = self.world.now
            deeds = {
                "acknowledge": ("assign", respond.acknowledge),
                "resolve": ("resolve", respond.resolve),
                "note": ("note", lambda by: respond.note(by, f"a word at {now.isoformat()}")),
                "snooze": ("archive", lambda by: respond.snooze(by, now + timedelta(minutes=30))),
            }
            asked, decide = deeds[do]
            with contextlib.suppress(Refused):
                self.world.act(who, decide, number)
            self.acts[asked] += 1

        @rule(minutes=st.integers(1, 20))
        def time_passes(self, minutes: int) -> None:
            self.both.forward(minutes=minutes)

        def _tick(self) -> None:
            """No two things happen at the same time."""
            self.both.forward(seconds=1)

        def _issue(self, data: st.DataObject) -> str:
            return data.draw(st.sampled_from(self.issues))

        # -- what always holds

        @invariant()
        def pages_and_acts(self) -> None:
            """One open incident for an issue, one page for a cycle, one task for an act."""
            if not hasattr(self, "world"):
                return
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

        @rule(is_lost=st.booleans())
        def agree(self, is_lost: bool) -> None:
            """Once Sentry can be asked, nothing of what was lost is missed."""
            self.agreement(is_lost=is_lost)

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
                assert (f"sentry:issue:{issue}" in here) is is_open, there

    return Machine


def test_both_sides_agree_in_the_end_whatever_was_lost(
    sqlite_template: Path, sqlite_folder: Path, vault: Vault
):
    run_state_machine_as_test(
        machine(sqlite_template, vault, sqlite_folder),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=not FULL,
            suppress_health_check=list(HealthCheck),
        ),
    )
