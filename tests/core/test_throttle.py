"""Which page goes now, with which others, and which waits."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOW, at
from tocsin.channels.base import REGISTRY
from tocsin.core.throttle import (
    PERSONAL,
    THROTTLES,
    Hold,
    Lane,
    Send,
    Waiting,
    decide,
    throttle_of,
)


def page(id_: str = "a", due: datetime = NOW, **changes: bool) -> Waiting:
    plain = {"is_retry": False, "is_loud": True, "is_held": True} | changes
    return Waiting(id=id_, due_at=due, **plain)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


FULL = [ago(minutes=14, seconds=-number) for number in range(15)]
BRIM = [ago(minutes=14, seconds=-number) for number in range(60)]
QUIET = page(is_loud=False)


@pytest.mark.parametrize(
    ("lane", "verdict"),
    [
        pytest.param(Lane(waiting=[page()]), Send("a", ()), id="nothing went out: it goes"),
        pytest.param(
            Lane(waiting=[page("a"), page("b"), page("c")]),
            Send("a", ("b", "c")),
            id="what is due together goes together",
        ),
        pytest.param(
            Lane(waiting=[page()], out=[ago(seconds=10)]),
            Hold(at(seconds=60)),
            id="after a message they gather",
        ),
        pytest.param(
            Lane(waiting=[page("a", ago(seconds=40)), page("b")], out=[ago(seconds=50)]),
            Hold(at(seconds=20)),
            id="for a span from the first of them",
        ),
        pytest.param(
            Lane(waiting=[page("a", ago(seconds=60)), page("b")], out=[ago(seconds=70)]),
            Send("a", ("b",)),
            id="then they go",
        ),
        pytest.param(
            Lane(waiting=[page("a", ago(hours=1)), page("b")], out=[ago(hours=1)]),
            Send("a", ("b",)),
            id="after an outage they go at once",
        ),
        pytest.param(
            Lane(waiting=[page()], out=[ago(seconds=61)]), Send("a", ()), id="a span later: alone"
        ),
        pytest.param(
            Lane(waiting=[page()], out=[ago(minutes=14), ago(minutes=6), ago(minutes=3)]),
            Hold(at(minutes=4)),
            id="for longer after the third message in a quarter of an hour",
        ),
        pytest.param(
            Lane(waiting=[page()], out=[ago(minutes=16), ago(minutes=15), ago(seconds=30)]),
            Hold(at(minutes=1)),
            id="what is longer ago does not count",
        ),
        pytest.param(
            Lane(waiting=[page()], is_busy=True),
            Hold(at(seconds=60)),
            id="beside a message under way they gather, too",
        ),
        pytest.param(
            Lane(waiting=[page("a"), page("b", is_retry=True)], out=[NOW], all_out=BRIM),
            Send("b", ("a",)),
            id="what is tried again takes along what waits",
        ),
        pytest.param(
            Lane(waiting=[page("a"), page("b", is_retry=True, is_held=False)], is_busy=True),
            Hold(at(seconds=60)),
            id="but not what somebody else tries again",
        ),
        pytest.param(
            Lane(waiting=[page("a", is_loud=False), page("b")]),
            Send("b", ("a",)),
            id="a loud one leads",
        ),
        pytest.param(
            Lane(waiting=[QUIET], out=[ago(minutes=10)], all_out=FULL),
            Hold(at(minutes=1)),
            id="at the cap, what can wait waits until there is room",
        ),
        pytest.param(
            Lane(waiting=[QUIET], all_out=FULL),
            Send("a", ()),
            id="but not the first alert of a service",
        ),
        pytest.param(
            Lane(waiting=[page()], out=[ago(minutes=10)], all_out=FULL),
            Send("a", ()),
            id="nor what is loud",
        ),
        pytest.param(
            Lane(waiting=[page()], all_out=BRIM),
            Hold(at(minutes=1)),
            id="the hard cap holds everything",
        ),
    ],
)
def test_a_lane(lane: Lane, verdict: Send | Hold):
    assert decide(lane, PERSONAL, NOW) == verdict


def test_a_throttle_is_of_a_channel_that_is_bundled():
    assert all(REGISTRY[name].is_bundled for name in THROTTLES)
    assert not REGISTRY["webhook"].is_bundled
    assert throttle_of("a channel to come") is PERSONAL


@given(
    pages=st.lists(
        st.tuples(st.integers(-7200, 0), st.booleans(), st.booleans(), st.booleans()),
        min_size=1, max_size=8,
    ),
    out=st.lists(st.integers(0, 7200), max_size=70),
    is_busy=st.booleans(),
)  # fmt: skip
def test_a_verdict_is_about_every_page_and_a_hold_ends(
    pages: list[tuple[int, bool, bool, bool]], out: list[int], is_busy: bool
):
    """Nothing is left out or waits in the past, and loud ones wait the longest span at most."""
    waiting = sorted(
        (
            Waiting(
                id=str(number),
                due_at=at(seconds=due),
                is_retry=retry,
                is_loud=loud,
                is_held=held or number == 0,
            )
            for number, (due, retry, loud, held) in enumerate(pages)
        ),
        key=lambda one: one.due_at,
    )
    sent = [ago(seconds=second) for second in out]
    lane = Lane(waiting=waiting, out=sent[::2], all_out=sent, is_busy=is_busy)
    verdict = decide(lane, PERSONAL, NOW)
    if isinstance(verdict, Send):
        assert {verdict.lead, *verdict.along} == {one.id for one in waiting}
        assert verdict.lead not in verdict.along
        assert next(one for one in waiting if one.id == verdict.lead).is_held
        return
    assert verdict.until > NOW
    count, window = PERSONAL.hard[0]
    is_full = len([one for one in sent if one > NOW - window]) >= count
    if any(one.is_loud for one in waiting) and not is_full:
        held = [one for one in waiting if one.is_held]
        assert verdict.until <= min(one.due_at for one in held) + PERSONAL.spans[-1]


QUARTER = timedelta(minutes=15)


@given(st.lists(st.integers(0, 7200), min_size=1, max_size=120))
def test_in_a_storm_five_messages_go_in_a_quarter_of_an_hour(
    seconds: list[int],
):
    """However the pages of a service come, and however long it lasts; and none waits for long."""
    came = sorted(at(seconds=second) for second in seconds)
    looks, out, waits = sorted(set(came)), list[datetime](), list[timedelta]()
    while looks:
        now = looks.pop(0)
        waiting = [due for due in came if due <= now][len(waits) :]
        if not waiting:
            continue
        pages = [page(str(number), due) for number, due in enumerate(waiting)]
        recent = [sent for sent in out if sent > now - PERSONAL.longest]
        verdict = decide(Lane(waiting=pages, out=recent, all_out=recent), PERSONAL, now)
        if isinstance(verdict, Hold):
            looks = sorted({*looks, verdict.until})
            continue
        out.append(now)
        waits += [now - due for due in waiting]
    assert len(waits) == len(came)
    assert max(waits) <= timedelta(minutes=5)
    assert max(sum(sent <= other < sent + QUARTER for other in out) for sent in out) <= 5
