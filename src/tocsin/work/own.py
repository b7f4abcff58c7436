"""What belongs to one person alone: the browsers they are signed in in, and how they like it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from tocsin.core.access import Caller
from tocsin.core.session import Preferences
from tocsin.store import audit, sessions
from tocsin.store.db import Database
from tocsin.store.sessions import Session
from tocsin.work.respond import NotFound

#: How the page may look.
THEMES = ("auto", "light", "dark")


@dataclass(frozen=True, slots=True)
class Own:
    """Where people look after what is theirs alone. Each of these is one transaction."""

    database: Database

    def sessions(self, user_id: str) -> list[Session]:
        """Return where a person is signed in, the last used first."""
        with self.database.read() as connection:
            return sessions.of_user(connection, user_id)

    def end_session(self, caller: Caller, id_: str, now: datetime) -> None:
        """Let one browser of theirs out. Raises NotFound."""

        def work(connection: Connection) -> None:
            mine = sessions.of_user(connection, caller.by.user_id or "")
            if not any(one.id == id_ for one in mine):
                raise NotFound("there is no such session of yours any more")
            sessions.end(connection, id_)
            audit.add(connection, now, caller.by, "session.ended", caller.by.name)

        self.database.run(work)

    def end_others(self, caller: Caller, but: str, now: datetime) -> int:
        """Let every other browser of theirs out; return how many."""

        def work(connection: Connection) -> int:
            mine = sessions.of_user(connection, caller.by.user_id or "")
            sessions.end_all(connection, caller.by.user_id or "", but)
            audit.add(connection, now, caller.by, "session.ended", caller.by.name, "all others")
            return sum(one.id != but for one in mine)

        return self.database.run(work)

    def prefer(self, user_id: str, wanted: Preferences) -> None:
        """Let a person have the page so."""
        self.database.run(lambda connection: sessions.set_preferences(connection, user_id, wanted))
