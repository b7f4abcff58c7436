"""When a page to a schedule would reach nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.builders import NOW, a_method, a_service, a_step, a_user, at, some_plans
from tocsin.core.coverage import Hole, coverage, needs_coverage
from tocsin.core.plans import (
    Absence,
    AwayKind,
    Layer,
    Rotation,
    RotationUnit,
    Schedule,
    Target,
)

ANN, BOB, CAT = a_user("ann"), a_user("bob"), a_user("cat")
MUTE = replace(BOB, contact_methods=(a_method("bob", is_verified=False),))


def schedule(*layers: tuple[tuple[str, ...], ...]) -> Schedule:
    """Turns of a day, from the beginning on; each layer is its turns, each turn its people."""
    return Schedule(
        id="sch_1",
        name="primary",
        time_zone="UTC",
        layers=tuple(
            Layer(
                name=str(number),
                rotation=Rotation(unit=RotationUnit.DAY, length=1, start=NOW.replace(tzinfo=None)),
                participants=tuple(tuple(f"usr_{who}" for who in turn) for turn in turns),
            )
            for number, turns in enumerate(layers)
        ),
    )


def found(
    one: Schedule, *users: object, days: float = 4
) -> list[tuple[datetime, datetime, tuple[str, ...]]]:
    people = {user.id: user for user in users}  # type: ignore[attr-defined]
    holes = coverage(one, people, NOW, at(days=days)).holes
    return [(hole.begins_at, hole.ends_at, hole.user_ids) for hole in holes]


def test_everybody_there_is_no_hole():
    assert found(schedule((("ann",), ("cat",))), ANN, CAT) == []


def test_a_turn_of_nobody_is_a_gap():
    assert found(schedule((("ann",), ())), ANN) == [
        (at(days=1), at(days=2), ()), (at(days=3), at(days=4), ()),
    ]  # fmt: skip


def test_a_turn_of_somebody_who_cannot_be_reached_is_a_hole_and_no_gap():
    found_ = coverage(schedule((("ann",), ("bob",))), {"usr_ann": ANN, "usr_bob": MUTE},
                      NOW, at(days=2))  # fmt: skip
    assert found_.gaps == ()
    assert [shift.user_id for shift in found_.unreachable] == ["usr_bob"]
    assert found_.holes == (Hole(begins_at=at(days=1), ends_at=at(days=2), user_ids=("usr_bob",)),)


def test_it_is_none_while_somebody_beside_them_can():
    both = schedule((("bob",),), (("ann",), ()))
    assert found(both, ANN, MUTE, days=2) == [(at(days=1), at(days=2), ("usr_bob",))]


@pytest.mark.parametrize(
    ("kind", "substitute", "holes"),
    [
        pytest.param(AwayKind.AWAY, None, 1, id="away and nobody instead"),
        pytest.param(AwayKind.AWAY, "usr_ann", 0, id="away with a substitute"),
        pytest.param(AwayKind.AWAY, "usr_bob", 1, id="the substitute cannot be reached"),
        pytest.param(AwayKind.QUIET, None, 0, id="quiet only for what is not urgent"),
    ],
)
def test_an_absence(kind: AwayKind, substitute: str | None, holes: int):
    away = Absence(
        id="abs_1", user_id="usr_cat", kind=kind, begins_at=at(hours=-5), ends_at=at(hours=6),
        substitute_id=substitute,
    )  # fmt: skip
    cat = replace(CAT, absences=(away,))
    assert found(schedule((("cat",),)), cat, ANN, MUTE) == [
        (NOW, at(hours=6), ("usr_cat",))
    ] * holes  # fmt: skip


def test_the_same_holes_have_the_same_digest():
    one = coverage(schedule((("ann",), ())), {"usr_ann": ANN}, NOW, at(days=4))
    assert (
        one.digest == coverage(schedule((("ann",), ())), {"usr_ann": ANN}, NOW, at(days=4)).digest
    )
    assert (
        one.digest != coverage(schedule((("ann",), ())), {"usr_ann": ANN}, NOW, at(days=6)).digest
    )


def test_only_a_schedule_that_a_living_service_counts_on_needs_coverage():
    step = replace(a_step("ann"), targets=(Target(kind="schedule", ids=("sch_1",)),))
    one = schedule((("ann",),))
    assert needs_coverage(one, some_plans(step))
    assert not needs_coverage(replace(one, layers=()), some_plans(step))
    assert not needs_coverage(one, some_plans(a_step("ann")))
    assert not needs_coverage(one, some_plans(step, service=a_service(is_deleted=True)))


def test_a_year_of_hourly_turns_is_found_in_good_time():
    turns = tuple((f"p{number}",) for number in range(100))
    hourly = schedule(turns)
    fast = replace(
        hourly.layers[0],
        rotation=Rotation(unit=RotationUnit.HOUR, length=1, start=NOW.replace(tzinfo=None)),
    )
    people = {f"usr_p{n}": a_user(f"p{n}", contact_methods=()) for n in range(100)}
    found_ = coverage(replace(hourly, layers=(fast,)), people, NOW, NOW + timedelta(days=14))
    assert len(found_.holes) == 14 * 24
