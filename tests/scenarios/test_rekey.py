"""Secrets are sealed anew with the first key while others read and change them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from tests.conftest import TEST_KEY
from tests.furnished import furnish
from tests.scenarios.test_doctor import FALLBACK
from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.store import sealed
from tocsin.store.audit import Wanted, page
from tocsin.store.db import Database
from tocsin.store.migrations import migrate
from tocsin.store.plans import PlansCache, revision
from tocsin.store.tables import contact_methods
from tocsin.store.vault import Vault, new_secret_key
from tocsin.work import rekey
from tocsin.work.doctor import Patient, examine
from tocsin.work.rekey import Rekeying

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def furnished(database: Database, vault: Vault) -> Database:
    """Give a database with something sealed in every place."""
    furnish(database, vault)
    return database


@pytest.fixture
def both(fresh_key: str) -> Vault:
    """Give the new key before the old one, as every server has them by now."""
    return Vault([fresh_key, TEST_KEY])


def opened(database: Database, vault: Vault) -> dict[str, list[str]]:
    """Return what is in every place, in the clear."""
    with database.read() as connection:
        return {
            str(place): [
                vault.open(one)
                for one in connection.scalars(select(place.column).order_by(place.key))
                if one
            ]
            for place in sealed.PLACES
        }


def test_everything_is_what_it_was_and_the_new_key_alone_opens_it(
    furnished: Database, vault: Vault, both: Vault, fresh_key: str
):
    before = opened(furnished, vault)
    assert all(before.values()), "something is sealed in every place"
    told: list[tuple[int, int]] = []
    done = Rekeying(furnished, both).run(NOW, lambda *how_far: told.append(how_far))
    total = sum(map(len, before.values()))
    assert (done.is_moved, done.resealed, done.survey.sealed) == (True, total, {0: total})
    assert told[-1] == (total, total)
    assert opened(furnished, Vault([fresh_key])) == before
    assert migrate(furnished, Vault([fresh_key])) is False


def test_a_second_time_there_is_nothing_to_do(furnished: Database, both: Vault):
    Rekeying(furnished, both).run(NOW)
    with furnished.read() as connection:
        at = revision(connection)
    again = Rekeying(furnished, both).run(NOW)
    assert (again.is_moved, again.resealed) == (False, 0)
    with furnished.read() as connection:
        assert revision(connection) == at
        told = page(connection, Wanted(kind="secrets"), 10).items
    assert [(one.kind, one.actor) for one in told] == [("secrets.rotated", "command line")]


def test_stopped_half_way_it_goes_on_when_it_is_begun_again(
    furnished: Database, both: Vault, monkeypatch: pytest.MonkeyPatch, fresh_key: str
):
    monkeypatch.setattr(rekey, "_ROWS", 1)

    class Death(BaseException):
        pass

    def dies(done: int, _total: int) -> None:
        if done == 4:
            raise Death

    with pytest.raises(Death):
        Rekeying(furnished, both).run(NOW, dies)
    survey = Rekeying(furnished, both).survey()
    assert (survey.at, survey.sealed[0]) == (0, 4)
    assert opened(furnished, both)
    again = Rekeying(furnished, both).run(NOW)
    assert again.resealed == survey.sealed[1]
    assert opened(furnished, Vault([fresh_key]))


def test_what_others_change_meanwhile_is_kept(
    furnished: Database, vault: Vault, both: Vault, fresh_key: str, monkeypatch: pytest.MonkeyPatch
):
    """Servers that have seen the move and one that has not: the latest secret wins, whole."""
    monkeypatch.setattr(rekey, "_ROWS", 1)
    with furnished.read() as connection:
        ids = list(connection.scalars(select(contact_methods.c.id).order_by(contact_methods.c.id)))
    latest: dict[str, str] = {}
    stop = threading.Event()

    def change(id_: str, own: Vault) -> None:
        for number in range(10_000):
            if stop.is_set():
                return
            secret = f"{id_} {number}"
            with furnished.write() as connection:
                connection.execute(
                    update(contact_methods)
                    .where(contact_methods.c.id == id_)
                    .values(secret_encrypted=own.seal(secret))
                )
            latest[id_] = secret

    with ThreadPoolExecutor(len(ids)) as pool:
        hands = [
            pool.submit(change, id_, own)
            for id_, own in zip(ids, (both, vault, Vault([fresh_key])), strict=True)
        ]
        try:
            for _ in range(3):
                Rekeying(furnished, both).run(NOW)
        finally:
            stop.set()
        for hand in hands:
            hand.result()
    Rekeying(furnished, both).run(NOW)
    query = select(contact_methods.c.id, contact_methods.c.secret_encrypted)
    with furnished.read() as connection:
        found = {row.id: Vault([fresh_key]).open(row.secret_encrypted) for row in
                 connection.execute(query)}  # fmt: skip
    assert found == latest


def test_a_row_that_somebody_holds_is_waited_for_without_holding_any(
    postgres_url: str, vault: Vault, both: Vault, monkeypatch: pytest.MonkeyPatch
):
    with closing(Database(postgres_url)) as database:
        furnish(database, vault)
        waits: list[float] = []
        with database.engine.connect() as holder:
            holder.execute(select(contact_methods).with_for_update())

            def wait(seconds: float) -> None:
                waits.append(seconds)
                holder.rollback()

            monkeypatch.setattr(rekey.time, "sleep", wait)
            done = Rekeying(database, both).run(NOW)
        assert len(waits) == 1
        assert done.survey.sealed == {0: done.resealed}


def test_a_server_follows_as_soon_as_it_looks(database: Database, both: Vault, fresh_key: str):
    """What it writes before is of the old key, and afterwards of the new one."""
    other = Vault([fresh_key, TEST_KEY])
    plans = PlansCache(database, other)
    plans.refresh()
    assert other.place_of(other.seal("x")) == 1
    Rekeying(database, both).run(NOW)
    plans.refresh()
    assert other.place_of(other.seal("x")) == 0


def test_one_key_has_nothing_to_rotate(database: Database, vault: Vault):
    done = Rekeying(database, vault).run(NOW)
    assert (done.is_moved, done.resealed) == (False, 0)


# -- what the doctor says --------------------------------------------------------------------------


@pytest.fixture
def well(blank: World) -> World:
    blank.configure(PEOPLE, ONE_STEP, SERVICE, FALLBACK)
    return blank


def said(world: World, folder: Path, keys: list[str]) -> list[str]:
    with world.database.read() as connection:
        findings = examine(
            Patient(
                connection=connection,
                plans=PlansCache(world.database, Vault(keys)).current(connection),
                now=world.now,
                data_dir=folder,
                public_url="https://tocsin.example.com",
                has_smtp=True,
                vault=Vault(keys),
            )
        )
    return [f"{one.text} → {one.remedy}" for one in findings]


def test_the_doctor_leads_through_a_rotation(well: World, tmp_path: Path, fresh_key: str):
    world, keys = well, [fresh_key, TEST_KEY]
    assert said(world, tmp_path, [TEST_KEY]) == []
    new, old = Vault(keys).names
    (begun,) = said(world, tmp_path, keys)
    assert f"the first secret key, {new}, is not in use yet" in begun
    assert "tocsin secrets rotate" in begun
    with world.database.write() as connection:
        late = connection.scalar(select(contact_methods.c.id).limit(1))
    Rekeying(world.database, Vault(keys)).run(world.now)
    (unneeded,) = said(world, tmp_path, keys)
    assert f"the secret key {old} opens nothing any more" in unneeded
    assert "a day after" in unneeded
    with world.database.write() as connection:
        connection.execute(
            update(contact_methods)
            .where(contact_methods.c.id == late)
            .values(secret_encrypted=Vault([TEST_KEY]).seal("x"))
        )
    (rest,) = said(world, tmp_path, keys)
    assert rest == "1 secrets are sealed by an older key → run `tocsin secrets rotate`"
    Rekeying(world.database, Vault(keys)).run(world.now)
    assert said(world, tmp_path, [fresh_key]) == []


def test_the_doctor_finds_a_secret_that_no_key_opens(well: World, tmp_path: Path):
    with well.database.write() as connection:
        connection.execute(
            update(contact_methods).values(secret_encrypted=Vault([new_secret_key()]).seal("x"))
        )
        some = connection.scalar(text("SELECT count(*) FROM contact_methods"))
    with well.database.read() as connection:
        survey = sealed.survey(connection, Vault([TEST_KEY]))
    assert survey.closed == {"contact_methods.secret_encrypted": some}
