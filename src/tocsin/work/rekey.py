"""Seal everything anew with the first secret key, while servers run and pages are sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from tocsin.core.model import COMMAND_LINE
from tocsin.store import sealed
from tocsin.store.audit import Change
from tocsin.store.db import Database
from tocsin.store.plans import changed
from tocsin.store.sealed import Place, Survey
from tocsin.store.vault import Vault

#: Rows of one transaction: nobody who pages waits long behind it.
_ROWS = 20

#: Rows that somebody holds are tried again so often, and so long after.
_PASSES = 50
_AGAIN_SECONDS = 0.1

#: How far it is: rows done, of how many.
Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rekeyed:
    """What was done."""

    #: Whether the database was at another key before.
    is_moved: bool
    #: How many secrets were sealed anew.
    resealed: int
    #: How it is now.
    survey: Survey


class Rekeying:
    """Moves a database to the first key. Stopped anywhere, it goes on when it is begun again."""

    def __init__(self, database: Database, vault: Vault) -> None:
        """Name the database, and the keys, the new one first."""
        self._database = database
        self._vault = vault
        self._first = vault.with_first()

    def survey(self) -> Survey:
        """Return how it is."""
        with self._database.read() as connection:
            return sealed.survey(connection, self._vault)

    def run(self, now: datetime, told: Told = lambda _done, _total: None) -> Rekeyed:
        """Do it. From the first step on every server seals with the first key; the rest follows."""
        is_moved = self._database.run(lambda connection: self._move(connection, now))
        done = 0
        for again in range(_PASSES):
            gone = self._pass(done, told)
            if gone is None:
                break
            done += gone
            if again and not gone:
                time.sleep(_AGAIN_SECONDS)
        return Rekeyed(is_moved=is_moved, resealed=done, survey=self.survey())

    def _move(self, connection: Connection, now: datetime) -> bool:
        survey = sealed.survey(connection, self._vault)
        if survey.at == 0:
            return False
        sealed.move_to(connection, self._first)
        old, new = (self._vault.names[place] for place in (survey.at, 0))
        what = Change(kind="secrets.rotated", subject="secret keys", detail=f"from {old} to {new}")
        # Servers load the plans anew for it, and the key to seal with comes with them.
        changed(connection, now, COMMAND_LINE, what)
        return True

    def _pass(self, before: int, told: Told) -> int | None:
        """Seal anew what is left, but for rows that somebody holds; None where nothing is left."""
        with self._database.read() as connection:
            todo = {place: sealed.left(connection, self._first, place) for place in sealed.PLACES}
        total = before + sum(map(len, todo.values()))
        if total == before:
            return None
        done = 0
        for place, keys in todo.items():
            for start in range(0, len(keys), _ROWS):
                some = keys[start : start + _ROWS]
                done += self._database.run(partial(self._reseal, place, some))
                told(before + done, total)
        return done

    def _reseal(self, place: Place, keys: Sequence[str], connection: Connection) -> int:
        return sealed.reseal(connection, self._first, place, keys)
