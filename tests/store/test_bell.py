"""Processes on one PostgreSQL let each other know."""

from __future__ import annotations

import threading

from tests.outside import until
from tocsin.store.bell import Listener, Ringer
from tocsin.store.db import Database


def test_whoever_listens_hears_what_another_rings(postgres_url: str):
    heard = threading.Event()
    listener, database = Listener(postgres_url, heard.set), Database(postgres_url)
    ringer = Ringer(database)
    try:

        def rings() -> bool:
            # Nobody hears what is rung before he listens.
            ringer.ring()
            return heard.wait(0.1)

        until(rings, "the bell")
    finally:
        ringer.close()
        listener.close()
        database.close()


def test_a_bell_that_cannot_be_rung_or_heard_is_no_error_of_anybodys():
    """The database is away: both go on trying, and both can be ended."""
    url = "postgresql://nobody@127.0.0.1:1/nowhere"
    database = Database(url)
    listener, ringer = Listener(url, lambda: None), Ringer(database)
    ringer.ring()
    ringer.close()
    listener.close()
    database.close()
