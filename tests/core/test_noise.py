"""Noise rules as tables: what each holds, gathers and ends, and what it says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.builders import NOW, a_service, a_signal, an_alert, an_incident, at
from tocsin.core import effects as fx
from tocsin.core.model import (
    Incident,
    IncidentStatus,
    Knowledge,
    Priority,
    Severity,
    Sight,
    Signal,
)
from tocsin.core.noise import (
    belongs,
    group_key,
    grown_title,
    held_until,
    hold,
    is_first_sight,
    matters,
    over,
    sentences,
    too_loud,
    unopened,
)
from tocsin.core.plans import Hold, Noise, Service
from tocsin.core.suppress import release

SEEN = an_alert()
NEVER_OPENED = an_alert(incident_id=None, first_seen_at=at(days=-1))
JUST_SEEN = an_alert(incident_id=None, first_seen_at=at(minutes=-5))
RESOLVED_UNOPENED = an_alert(incident_id=None, resolved_at=NOW)

HOLD = Hold(lasts=timedelta(minutes=10), events=100, users=10)


def an_issue(sight: Sight | None = Sight.NEW, **changes: Any) -> Signal:
    """Return a trigger of issue 1, as its source knows it; low unless it says otherwise."""
    known = {
        name: changes.pop(name) for name in list(changes) if name in Knowledge.__dataclass_fields__
    }
    signal = a_signal(**{"priority": Priority.LOW, "projects": ("backend",), **changes})
    return replace(signal, known=Knowledge(**{"about": "issue", "sight": sight, **known}))


def with_noise(**rules: Any) -> Service:
    return a_service(noise=Noise(**rules))


@pytest.mark.parametrize(
    ("signal", "alert", "is_new"),
    [
        pytest.param(an_issue(Sight.NEW), None, True, id="said so, and never seen"),
        pytest.param(an_issue(Sight.NEW), NEVER_OPENED, True, id="recorded before"),
        pytest.param(an_issue(Sight.NEW), SEEN, False, id="it has been through a cycle"),
        pytest.param(an_issue(None), None, True, id="not said, and never seen"),
        pytest.param(an_issue(None), JUST_SEEN, True, id="not said, and told twice at once"),
        pytest.param(an_issue(None), NEVER_OPENED, False, id="not said, and known for a while"),
        pytest.param(an_issue(None), RESOLVED_UNOPENED, False, id="not said, and over once"),
        pytest.param(an_issue(Sight.REGRESSED), None, False, id="a regression"),
        pytest.param(an_issue(Sight.ESCALATING), None, False, id="escalating"),
        pytest.param(an_issue(Sight.BACK), None, False, id="taken up by a person"),
        pytest.param(an_issue(None, about="metric"), None, False, id="a metric alert"),
        pytest.param(a_signal(), None, False, id="of a source that knows no issues"),
    ],
)
def test_what_is_seen_for_the_first_time(signal: Signal, alert: Any, is_new: bool):
    assert is_first_sight(signal, alert, NOW) is is_new


@pytest.mark.parametrize(
    ("said", "before", "severity", "priority"),
    [
        ("medium", "low", "error", "medium"),
        (None, "low", "error", "low"),
        (None, None, "critical", "high"),
        (None, None, "error", "high"),
        (None, None, "warning", "medium"),
        (None, None, "info", "low"),
    ],
)
def test_how_much_it_matters(said: str | None, before: str | None, severity: str, priority: str):
    signal = a_signal(priority=said and Priority(said), severity=Severity(severity))
    alert = an_alert(priority=Priority(before)) if before else None
    assert matters(signal, alert) == priority


@pytest.mark.parametrize(
    ("signal", "is_held"),
    [
        pytest.param(an_issue(), True, id="new and low"),
        pytest.param(an_issue(priority=Priority.MEDIUM), False, id="not low"),
        pytest.param(an_issue(event_count=99, user_count=9), True, id="just below both"),
        pytest.param(an_issue(event_count=100), False, id="so many events"),
        pytest.param(an_issue(user_count=10), False, id="so many users"),
        pytest.param(an_issue(is_test=True), False, id="a test of the source"),
        pytest.param(an_issue(Sight.ESCALATING), False, id="not new"),
    ],
)
def test_what_is_held(signal: Signal, is_held: bool):
    held = hold(with_noise(hold=HOLD), signal, None, NOW)
    assert (held is not None) is is_held
    assert held is None or held.until == at(minutes=10)


def test_a_hold_without_thresholds_has_none():
    service = with_noise(hold=Hold(lasts=timedelta(hours=1)))
    held = hold(service, an_issue(event_count=10**6, user_count=10**6), None, NOW)
    assert held is not None
    assert held.text == (
        "held for 1h: new, and of low priority; nobody is paged before 2026-01-05 13:00 UTC"
    )


@pytest.mark.parametrize(
    ("signal", "seen", "why"),
    [
        pytest.param(an_issue(), 2, "", id="nothing new"),
        pytest.param(an_issue(), 100, "100 events", id="seen so often here"),
        pytest.param(an_issue(event_count=2000), 2, "2,000 events", id="counted by its source"),
        pytest.param(an_issue(user_count=11), 2, "11 users", id="users"),
        pytest.param(an_issue(priority=Priority.HIGH), 2, "it is of high priority now", id="high"),
        pytest.param(an_issue(Sight.REGRESSED), 2, "it is regressed", id="a regression"),
        pytest.param(an_issue(Sight.BACK), 2, "", id="a person looked at it"),
    ],
)
def test_what_becomes_too_loud_to_be_held(signal: Signal, seen: int, why: str):
    assert too_loud(with_noise(hold=HOLD), signal, SEEN, seen) == why


def a_held_incident(**changes: Any) -> Incident:
    held = hold(with_noise(hold=HOLD), an_issue(), None, NOW)
    assert held is not None
    return an_incident(suppressed_until=held.until, suppressed_by=(held.key,), **changes)


def test_a_hold_knows_its_end():
    assert held_until(a_held_incident()) == at(minutes=10)
    assert held_until(an_incident(suppressed_by=("win_1:abc",))) is None


@pytest.mark.parametrize(
    ("minutes", "rules", "effects"),
    [
        pytest.param(5, {"hold": HOLD}, [fx.Suppress], id="not yet"),
        pytest.param(10, {"hold": HOLD}, [fx.Unsuppress, fx.Restart], id="its time has come"),
        pytest.param(500, {"hold": HOLD}, [fx.Unsuppress, fx.Restart], id="long after"),
        pytest.param(5, {}, [fx.Unsuppress, fx.Restart], id="the rule is gone"),
    ],
)
def test_a_hold_ends_by_its_time_or_with_its_rule(
    minutes: int, rules: dict[str, Any], effects: list[type]
):
    found = release(a_held_incident(), (), at(minutes=minutes), with_noise(**rules))
    assert [type(one) for one in found] == effects


def test_a_hold_that_goes_on_says_nothing_again():
    (again,) = release(a_held_incident(), (), at(minutes=5), with_noise(hold=HOLD))
    assert isinstance(again, fx.Suppress)
    assert (again.text, again.until) == ("", at(minutes=10))


def test_first_sight_is_recorded_where_the_rule_says_so():
    recording = with_noise(records_first_sight=True)
    assert unopened(recording, an_issue(), None, NOW).startswith(
        "seen for the first time: checkout"
    )
    assert unopened(recording, an_issue(Sight.REGRESSED), None, NOW) == ""
    assert unopened(recording, an_issue(is_test=True), None, NOW) == ""
    assert unopened(a_service(), an_issue(), None, NOW) == ""


RELEASES = {"one_per_release": True}
METRICS = {"joins_metric_issues": True}


@pytest.mark.parametrize(
    ("rules", "signal", "key"),
    [
        pytest.param(RELEASES, an_issue(release="2.4.1"), "release:backend:2.4.1", id="a release"),
        pytest.param(RELEASES, an_issue(), None, id="none is said"),
        pytest.param(RELEASES, an_issue(release="2.4.1", is_test=True), None, id="a test"),
        pytest.param({}, an_issue(release="2.4.1"), None, id="no rule"),
        pytest.param(METRICS, an_issue(is_metric=True, title="Slow  Checkout"),
                     "metric:backend:slow checkout", id="a metric, whatever its spaces"),
        pytest.param(METRICS, an_issue(about="metric", is_metric=True, title="slow checkout"),
                     "metric:backend:slow checkout", id="the alert of the metric"),
        pytest.param(METRICS, an_issue(), None, id="no metric"),
        pytest.param(RELEASES, an_issue(is_metric=True, release="2"), "release:backend:2",
                     id="a metric, without the rule for it"),
    ],
)  # fmt: skip
def test_what_belongs_together(rules: dict[str, Any], signal: Signal, key: str | None):
    assert group_key(with_noise(**rules), signal) == key


def test_of_a_release_only_what_is_new_is_its_doing():
    assert belongs(an_issue(release="2"), None, NOW)
    assert not belongs(an_issue(Sight.REGRESSED, release="2"), None, NOW)
    assert belongs(an_issue(Sight.REGRESSED, is_metric=True), SEEN, NOW)


def test_keys_are_never_longer_than_their_column():
    long = group_key(with_noise(**METRICS), an_issue(is_metric=True, title="x" * 1024))
    other = group_key(with_noise(**METRICS), an_issue(is_metric=True, title="x" * 1023 + "y"))
    assert long != other
    assert len(long or "") <= 255


def test_the_title_counts_and_keeps_the_first():
    one = an_incident(title="KeyError: 'sku'")
    two = grown_title(one, an_issue(release="backend@2.4.1"))
    assert two == "2 issues since backend@2.4.1: KeyError: 'sku'"
    grown = replace(one, title=two, alert_count=30)
    assert grown_title(grown, an_issue(release="backend@2.4.1")) == (
        "31 issues since backend@2.4.1: KeyError: 'sku'"
    )
    assert grown_title(one, an_issue(is_metric=True, release="2")) == one.title
    assert len(grown_title(replace(one, title="x" * 1024), an_issue(release="y" * 200))) <= 1024


QUIET = timedelta(hours=6)
LASTS = timedelta(hours=8)


def heard(hours: float, **changes: Any) -> Any:
    """Return an alert of an issue, heard of so many hours after the beginning."""
    return an_alert(last_seen_at=at(hours=hours), **{"about": "issue", **changes})


@pytest.mark.parametrize(
    ("alerts", "hours", "again"),
    [
        pytest.param([heard(0)], 6, None, id="quiet for so long"),
        pytest.param([heard(0)], 5, 6, id="not yet"),
        pytest.param([heard(2)], 6, 8, id="heard of meanwhile"),
        pytest.param([heard(0), heard(3)], 6, 9, id="the latest of several"),
        pytest.param([heard(0), heard(3, resolved_at=NOW)], 6, None, id="what is over is over"),
        pytest.param([heard(0), heard(0, about="metric")], 6, 12, id="a metric is waited for"),
    ],
)
def test_when_it_was_quiet_long_enough(alerts: list[Any], hours: float, again: float | None):
    effects = over(an_incident(), with_noise(quiet_after=QUIET), alerts, at(hours=hours))
    if again is None:
        assert isinstance(effects[0], fx.Resolve)
        assert effects[0].text == "Sentry was quiet about it for 6h"
    else:
        assert effects == (fx.ResolveAt(at=at(hours=again)),)


@pytest.mark.parametrize(
    ("hours", "seen", "again"),
    [
        pytest.param(8, 7, None, id="its time is over, quiet or not"),
        pytest.param(6, 5, 8, id="its end comes before the quiet does"),
        pytest.param(20, 19, 25, id="seen after its end: it was re-opened"),
    ],
)
def test_its_own_time_ends_it_as_well(hours: float, seen: float, again: float | None):
    service = a_service(noise=Noise(quiet_after=QUIET), auto_resolve_after=LASTS)
    effects = over(an_incident(), service, [heard(seen)], at(hours=hours))
    if again is None:
        assert isinstance(effects[0], fx.Resolve)
    else:
        assert effects == (fx.ResolveAt(at=at(hours=again)),)


@pytest.mark.parametrize(
    ("hours", "asked", "again"),
    [
        pytest.param(6, 6, None, id="asked since, and nothing"),
        pytest.param(6, 5.9, 6 + 5 / 60, id="not asked since: a little later"),
        pytest.param(6, None, 6 + 5 / 60, id="never asked"),
        pytest.param(11.95, 5.9, 12, id="not for longer than once more"),
        pytest.param(12, 5.9, None, id="it cannot be asked for too long"),
    ],
)
def test_where_sentry_can_be_asked_it_is(hours: float, asked: float | None, again: float | None):
    until = None if asked is None else at(hours=asked)
    alerts = [heard(0)]
    effects = over(
        an_incident(), with_noise(quiet_after=QUIET), alerts, at(hours=hours), {"int_1": until}
    )
    if again is None:
        assert isinstance(effects[0], fx.Resolve)
    else:
        assert effects == (fx.ResolveAt(at=at(hours=again)),)


def test_what_sentry_saw_itself_counts_as_if_it_had_told():
    alerts = [replace(heard(0), source_seen_at=at(hours=4))]
    service = with_noise(quiet_after=QUIET)
    effects = over(an_incident(), service, alerts, at(hours=6), {"int_1": at(hours=6)})
    assert effects == (fx.ResolveAt(at=at(hours=10)),)


def test_without_the_rule_its_time_ends_it():
    (ended, *_) = over(an_incident(), a_service(), [], NOW)
    assert isinstance(ended, fx.Resolve)
    assert ended.text == "resolved by itself after its time"


def test_what_no_source_tells_of_is_never_quiet():
    assert over(an_incident(), with_noise(quiet_after=QUIET), [], at(days=9)) == ()


def test_a_test_of_the_source_ends_whatever_the_rules_are():
    (ended, *_) = over(an_incident(is_test=True), with_noise(quiet_after=QUIET), [heard(0)], NOW)
    assert isinstance(ended, fx.Resolve)


def test_what_is_resolved_stays_so():
    closed = an_incident(status=IncidentStatus.RESOLVED)
    assert over(closed, with_noise(quiet_after=QUIET), [heard(0)], at(days=9)) == ()


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({}, ()),
        (
            {"hold": HOLD},
            (
                (
                    "A new issue of low priority is held for 10m before it pages, or until it has"
                    " 100 events or 10 users."
                ),
            ),
        ),
        (
            {"hold": Hold(lasts=QUIET, priorities=frozenset({Priority.LOW, Priority.MEDIUM}))},
            ("A new issue of medium or low priority is held for 6h before it pages.",),
        ),
        (
            {"records_first_sight": True},
            (
                (
                    "A new issue is recorded and opens no incident: only one that regresses or"
                    " escalates does."
                ),
            ),
        ),
        ({"one_per_release": True}, ("All new issues of one release are one incident.",)),
        (
            {"follows_archive": True, "quiet_after": QUIET},
            (
                (
                    "What is archived in Sentry is resolved here, and its errors page nobody until"
                    " Sentry takes it up again."
                ),
                "An incident resolves by itself when Sentry was quiet about it for 6h.",
            ),
        ),
    ],
)
def test_each_rule_is_a_sentence(rules: dict[str, Any], said: tuple[str, ...]):
    assert tuple(sentences(Noise(**rules))) == said
