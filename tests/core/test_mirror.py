"""What people's acts become in Sentry, whether they still hold, and what is an echo of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.builders import NOW, a_user, an_incident, at
from tocsin.core import effects as fx
from tocsin.core.mirror import (
    Act,
    Ours,
    Stand,
    Task,
    Trace,
    Turned,
    Verdict,
    actor_of,
    asks,
    decide,
    is_echo,
    issue_of,
    minutes_until,
    superseded,
)
from tocsin.core.model import COMMAND_LINE, TOCSIN, Actor, IncidentStatus
from tocsin.core.reconcile import (
    CREATED,
    UNRESOLVED,
    Ending,
    Known,
    Listed,
    Opening,
    Sifting,
    came_back,
    ended,
    sift,
    since_when,
)

ANN = Actor(name="ann@example.com", user_id="usr_ann")
KEY = Actor(name="API key deploys")
SENTRY = Actor(name="Ann", is_source=True)
RESOLVE = fx.Resolve(text="resolved", by=ANN)


def a_task(act: Act, **payload: str) -> Task:
    return Task(
        id="snt_1", connection_id="sen_1", service_id="svc_1", incident_id="inc_1", issue_id="1",
        act=act, payload=payload, attempts=0, created_at=NOW,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "issue"),
    [
        ("sentry:issue:7", "7"),
        ("sentry-7", "7"),
        ("sentry:metric:7", None),
        ("sentry-metric-7", None),
        ("sentry:issue:ab12", None),
        ("sentry:issue:7\n", None),
        ("", None),
    ],
)
def test_only_the_key_of_an_issue_names_one(key: str, issue: str | None):
    assert issue_of(key) == issue


@pytest.mark.parametrize(
    ("by", "is_asked"),
    [(ANN, True), (KEY, True), (COMMAND_LINE, True), (SENTRY, False), (TOCSIN, False)],
    ids=["a person", "an API key", "the command line", "Sentry", "the clock"],
)
def test_only_what_people_do_is_done_in_sentry(by: Actor, is_asked: bool):
    asked = asks(replace(RESOLVE, by=by), an_incident(), a_user("ann"))
    assert [one.act for one in asked] == ([Act.RESOLVE] if is_asked else [])


def test_nobody_is_assigned_for_a_key_that_stands_for_nobody():
    asked = asks(fx.Acknowledge(text="", by=KEY), an_incident(), None)
    assert [one.act for one in asked] == [Act.NOTE]


def test_what_tocsin_notes_by_itself_is_no_persons_note():
    note = fx.Note(text="escalated by hand", by=ANN)
    assert asks(note, an_incident(), a_user("ann")) == ()
    assert len(asks(replace(note, is_written=True), an_incident(), a_user("ann"))) == 1


def stand(status: str, **more: Any) -> Stand:
    return Stand(status=status, **more)


BEFORE, AFTER = Turned(at=at(seconds=-1), by="Bob"), Turned(at=at(seconds=1), by="Bob")
UNTIL = at(hours=1)
ARCHIVE = a_task(Act.ARCHIVE, until=UNTIL.isoformat())
ASSIGN = a_task(Act.ASSIGN, email="ann@example.com", user_id="usr_ann")
NOTHING = Ours()
DO, ALREADY, DROP = Verdict.DO, Verdict.ALREADY, Verdict.DROP


@pytest.mark.parametrize(
    ("task", "there", "ours", "verdict"),
    [
        pytest.param(a_task(Act.RESOLVE), stand("unresolved"), NOTHING, DO, id="as it was"),
        pytest.param(
            a_task(Act.RESOLVE), stand("unresolved", turned=BEFORE), NOTHING, DO, id="long ago"
        ),
        pytest.param(
            a_task(Act.RESOLVE), stand("unresolved", turned=AFTER), NOTHING, DROP, id="reopened"
        ),
        pytest.param(a_task(Act.RESOLVE), stand("resolved"), NOTHING, ALREADY, id="so already"),
        pytest.param(a_task(Act.RESOLVE), stand("ignored"), NOTHING, DROP, id="archived there"),
        pytest.param(
            a_task(Act.RESOLVE),
            stand("ignored", ignored_until=UNTIL),
            Ours(status="ignored", until=UNTIL),
            DO,
            id="archived by us",
        ),
        pytest.param(
            a_task(Act.RESOLVE),
            stand("ignored", ignored_until=at(days=9)),
            Ours(status="ignored", until=UNTIL),
            DROP,
            id="archived by us, then by somebody else",
        ),
        pytest.param(
            a_task(Act.RESOLVE), stand("pending_deletion"), NOTHING, DROP, id="being deleted"
        ),
        pytest.param(ARCHIVE, stand("unresolved"), NOTHING, DO, id="snoozed"),
        pytest.param(ARCHIVE, stand("resolved"), NOTHING, DROP, id="snoozed, resolved there"),
        pytest.param(
            ARCHIVE,
            stand("ignored", ignored_until=UNTIL + timedelta(seconds=40)),
            NOTHING,
            ALREADY,
            id="archived until that minute already",
        ),
        pytest.param(
            ARCHIVE,
            stand("ignored", ignored_until=at(minutes=5)),
            Ours(status="ignored", until=at(minutes=5)),
            DO,
            id="snoozed for longer",
        ),
        pytest.param(ASSIGN, stand("unresolved"), NOTHING, DO, id="nobody's"),
        pytest.param(
            ASSIGN, stand("unresolved", assignee="ANN@example.com"), NOTHING, ALREADY, id="hers"
        ),
        pytest.param(
            ASSIGN,
            stand("unresolved", assignee="bob@example.com", assigned=BEFORE),
            NOTHING,
            DO,
            id="somebody else's before",
        ),
        pytest.param(
            ASSIGN,
            stand("unresolved", assignee="bob@example.com", assigned=AFTER),
            NOTHING,
            DROP,
            id="somebody else's since",
        ),
        pytest.param(
            ASSIGN,
            stand("unresolved", assignee="bob@example.com", assigned=AFTER),
            Ours(assignee="bob@example.com"),
            DO,
            id="by us, for who acknowledged before",
        ),
        pytest.param(a_task(Act.NOTE, text="T"), stand("resolved"), NOTHING, DO, id="a note"),
    ],
)
def test_a_persons_change_there_wins_over_an_older_one_here(
    task: Task, there: Stand, ours: Ours, verdict: Verdict
):
    assert decide(task, there, ours).verdict is verdict


@pytest.mark.parametrize(
    ("left_at", "is_persons", "has_name", "verdict"),
    [
        pytest.param(at(seconds=0), False, True, DO, id="ours, told a moment later"),
        pytest.param(at(hours=-1), False, False, DROP, id="as we left it long ago, and again now"),
        pytest.param(at(seconds=0), True, True, DROP, id="a person's, where we have a name"),
        pytest.param(at(seconds=0), True, False, DO, id="a person's, whose token we use"),
    ],
)
def test_what_looks_like_ours_may_be_a_persons(
    left_at: datetime, is_persons: bool, has_name: bool, verdict: Verdict
):
    """We resolved it once; it came back, and now it is resolved again."""
    turned = Turned(at=at(seconds=1), by="Bob", is_persons=is_persons)
    ours = Ours(status="resolved", left_at=left_at)
    ruled = decide(ARCHIVE, stand("resolved", turned=turned), ours, has_name=has_name)
    assert ruled.verdict is verdict
    ours = Ours(assignee="bob@example.com", assigned_at=left_at)
    there = stand("unresolved", assignee="bob@example.com", assigned=turned)
    assert decide(ASSIGN, there, ours, has_name=has_name).verdict is verdict


def test_what_no_longer_holds_here_is_not_done():
    acknowledged = an_incident(
        status=IncidentStatus.ACKNOWLEDGED, acknowledged_by_id="usr_ann", acknowledged_at=NOW
    )
    snoozed = an_incident(status=IncidentStatus.SNOOZED, snoozed_until=UNTIL)

    def why(task: Task, incident: Any, *, fires: bool = True) -> str | None:
        return superseded(task, incident, NOW, fires=fires)

    assert why(ASSIGN, acknowledged) is None
    assert why(ASSIGN, replace(acknowledged, acknowledged_by_id="usr_bob")) is not None
    assert why(ASSIGN, replace(acknowledged, status=IncidentStatus.RESOLVED)) is not None
    assert why(a_task(Act.RESOLVE), acknowledged, fires=False) is None
    assert why(a_task(Act.RESOLVE), acknowledged, fires=True) == "it fires again"
    assert why(ARCHIVE, snoozed) is None
    assert why(ARCHIVE, replace(snoozed, snoozed_until=at(hours=2))) is not None
    assert superseded(ARCHIVE, snoozed, UNTIL, fires=True) is not None
    assert why(a_task(Act.NOTE), None) == "its incident is gone"


def test_an_archive_never_ends_before_its_snooze():
    assert minutes_until(at(seconds=61), NOW) == 2
    assert minutes_until(at(seconds=60), NOW) == 1
    assert minutes_until(at(seconds=1), NOW) == 1


@pytest.mark.parametrize(
    ("kind", "minutes", "is_one"),
    [("application", 59, True), ("application", 61, False), ("user", 9, True),
     ("user", 11, False), ("team", 1, False)],
)  # fmt: skip
def test_an_echo_is_one_for_a_while(kind: str, minutes: int, is_one: bool):
    assert is_echo((kind, "7"), Trace(NOW), at(minutes=minutes)) is is_one
    assert is_echo(None, Trace(NOW), NOW) is False


@pytest.mark.parametrize(
    ("kind", "comment", "is_one"),
    [("user", "Rolling back", True), ("user", " Rolling back\n", True), ("user", "Mine", False),
     ("user", "", False), ("application", "whatever Sentry made of it", True)],
)  # fmt: skip
def test_what_a_person_writes_themselves_is_no_echo(kind: str, comment: str, is_one: bool):
    assert is_echo((kind, "7"), Trace(NOW, "Rolling back"), NOW, comment) is is_one


@pytest.mark.parametrize("was", ["", "bob@example.com"])
def test_a_later_assignment_to_a_team_or_to_nobody_wins(was: str):
    later = Stand(status="unresolved", assigned=Turned(at=at(minutes=5), by="Bob"))
    ruling = decide(ASSIGN, later, Ours(assignee=was), has_name=True)
    assert ruling.verdict is Verdict.DROP


@pytest.mark.parametrize(
    ("actor", "found"),
    [
        ({"type": "user", "id": 7, "name": "Ann"}, ("user", "7")),
        ({"type": "application", "id": "ab-12"}, ("application", "ab-12")),
        ({"type": "user"}, None),
        ("Ann", None),
        (None, None),
    ],
)
def test_who_did_it_is_read_whichever_type_their_id_has(actor: Any, found: Any):
    assert actor_of({"actor": actor}) == found


# -- what webhooks lost ---------------------------------------------------------------------------


def listed(**changes: Any) -> Listed:
    plain = Listed(
        issue_id="1", substatus="new", first_seen=at(minutes=-10), last_seen=at(minutes=-5)
    )
    return replace(plain, **changes)


FIRES = Known(last_seen_at=NOW, resolved_at=None, is_open=True)
RECORDED = replace(FIRES, is_open=False)
OVER = Known(last_seen_at=NOW, resolved_at=at(minutes=-3), is_open=False)
#: One of several of an incident that goes on.
OVER_IN_OPEN = replace(OVER, is_open=True)
CONNECTED = at(hours=-1)
BOTH = Opening(actions={CREATED: CONNECTED, UNRESOLVED: CONNECTED})


@pytest.mark.parametrize(
    ("one", "known", "sifting"),
    [
        (listed(), None, Sifting.LOST),
        (listed(first_seen=at(minutes=-1)), None, Sifting.FINE),
        (listed(first_seen=at(hours=-2)), None, Sifting.FINE),
        (listed(first_seen=at(hours=-2), substatus="regressed"), None, Sifting.DOUBTFUL),
        (listed(first_seen=None), None, Sifting.FINE),
        (listed(), FIRES, Sifting.FINE),
        (listed(substatus="new"), OVER, Sifting.FINE),
        (listed(substatus="ongoing"), OVER, Sifting.DOUBTFUL),
        (listed(substatus=None), OVER, Sifting.DOUBTFUL),
        (listed(substatus="ongoing"), OVER_IN_OPEN, Sifting.DOUBTFUL),
        (listed(substatus="regressed"), FIRES, Sifting.FINE),
        (listed(substatus="regressed"), RECORDED, Sifting.DOUBTFUL),
        (listed(substatus="escalating"), RECORDED, Sifting.DOUBTFUL),
        (listed(substatus="ongoing"), RECORDED, Sifting.FINE),
    ],
)
def test_an_unresolved_issue_is_missing_only_where_its_webhook_ought_to_have_come(
    one: Listed, known: Known | None, sifting: Sifting
):
    assert sift(one, known, BOTH, NOW) is sifting


@pytest.mark.parametrize(
    ("one", "known", "opening", "sifting"),
    [
        (listed(), None, {UNRESOLVED}, Sifting.FINE),
        (listed(), None, {CREATED}, Sifting.LOST),
        (listed(substatus="regressed"), None, {UNRESOLVED}, Sifting.DOUBTFUL),
        (listed(substatus="regressed"), None, {}, Sifting.FINE),
        (listed(first_seen=at(hours=-2), substatus="regressed"), None, {CREATED}, Sifting.FINE),
        (listed(substatus="ongoing"), OVER, {}, Sifting.DOUBTFUL),
    ],
)
def test_what_is_unknown_is_missing_only_where_its_webhook_would_have_opened_an_incident(
    one: Listed, known: Known | None, opening: Collection[str], sifting: Sifting
):
    actions = dict.fromkeys(opening, CONNECTED)
    assert sift(one, known, Opening(actions=actions), NOW) is sifting


RULED = Opening(actions=BOTH.actions, rules={"backend": at(minutes=-30)})


@pytest.mark.parametrize(
    ("one", "sifting"),
    [
        (listed(category="error"), Sifting.LOST),
        (listed(category="db_query"), Sifting.FINE),
        (listed(category="db_query", project="backend"), Sifting.LOST),
        (listed(category="db_query", project="frontend"), Sifting.FINE),
        (listed(category="cron", project="backend", first_seen=at(minutes=-40)), Sifting.FINE),
        (listed(category="error", project="backend", first_seen=at(minutes=-40)), Sifting.LOST),
        (listed(category="uptime", substatus="regressed"), Sifting.DOUBTFUL),
    ],
)
def test_of_what_is_no_error_only_a_rule_tells_when_it_is_new(one: Listed, sifting: Sifting):
    assert sift(one, None, RULED, NOW) is sifting


def test_a_rule_tells_nothing_that_no_action_opens():
    one = listed(category="db_query", project="backend")
    assert sift(one, None, replace(RULED, actions={}), NOW) is Sifting.FINE


def test_what_opens_does_since_it_was_first_seen_to_at_a_look():
    both = {CREATED, UNRESOLVED}
    at_first = since_when(None, both, CONNECTED, NOW)
    assert at_first == dict.fromkeys(both, CONNECTED)
    without = since_when(at_first, {UNRESOLVED}, CONNECTED, NOW)
    assert without == {UNRESOLVED: CONNECTED}
    assert since_when(without, both, CONNECTED, NOW) == {CREATED: NOW, UNRESOLVED: CONNECTED}
    assert since_when({}, both, CONNECTED, NOW) == dict.fromkeys(both, NOW)


def test_what_was_resolved_here_came_back_only_after_that():
    def at_(minutes: float, known: Known | None = OVER, status: str = "unresolved") -> bool:
        there = Stand(status=status, reopened_at=at(minutes=minutes))
        return came_back(there, known, BOTH, NOW) is not None

    assert at_(-2.5)
    assert not at_(-4)
    assert at_(-4, replace(OVER, is_sentrys_word=True))
    assert not at_(-1), "it may still be on its way"
    assert not at_(-2.5, FIRES)
    assert not at_(-4, OVER_IN_OPEN)
    assert at_(-4, RECORDED)
    assert not at_(-90, RECORDED), "before the connection was made"
    assert not at_(-2.5, status="resolved")
    assert at_(-2.5, None)
    assert not at_(-90, None)
    assert came_back(Stand(status="unresolved"), OVER, BOTH, NOW) is None


@pytest.mark.parametrize(
    ("there", "ending"),
    [
        (None, Ending.DELETED),
        (stand("pending_deletion"), Ending.DELETED),
        (stand("resolved"), Ending.RESOLVED),
        (stand("ignored"), Ending.ARCHIVED),
        (stand("ignored", ignored_until=at(days=1)), Ending.ARCHIVED),
        (stand("ignored", ignored_until=UNTIL), None),
        (stand("ignored", ignored_until=at(minutes=-1)), None),
        (stand("unresolved"), None),
        (stand("pending_merge"), None),
    ],
)
def test_what_is_open_here_has_ended_there_or_goes_on(there: Stand | None, ending: Ending | None):
    assert ended(there, [UNTIL], NOW) is ending
