"""A bell between processes on one PostgreSQL: "something came in, look now".

A hint and nothing more: what is due is found by looking, rung for or not. So whatever fails here is
tried again in a while, and said once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from sqlalchemy import text

from tocsin.store.db import Database

log = structlog.get_logger("bell")

#: What is listened to (``LISTEN tocsin``, PostgreSQL documentation, "NOTIFY").
CHANNEL = "tocsin"

#: Seconds between two rings: many webhooks are one piece of news.
_BETWEEN = 0.05

#: Seconds until a connection that broke is made anew.
_AGAIN = 10.0

#: Seconds after which whoever listens looks whether it shall end.
_PATIENCE = 0.3


class Ringer:
    """Rings, from a thread of its own."""

    def __init__(self, database: Database) -> None:
        """Ring through the connections of a database."""
        self._database = database
        self._rung = threading.Event()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ringer", daemon=True)
        self._thread.start()

    def ring(self) -> None:
        """Let all who listen know, soon; never blocks."""
        self._rung.set()

    def close(self) -> None:
        """Ring no more."""
        self._is_over.set()
        self._rung.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._rung.wait()
            if self._is_over.is_set():
                return
            self._rung.clear()
            try:
                with self._database.one_write() as connection:
                    connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})
            except Exception as error:  # noqa: BLE001 - they look by themselves too
                log.warning("cannot ring", error=type(error).__name__)
                self._is_over.wait(_AGAIN)
            self._is_over.wait(_BETWEEN)


class Listener:
    """Listens, from a thread of its own, on a connection of its own."""

    def __init__(self, url: str, heard: Callable[[], None]) -> None:
        """Call ``heard`` in the thread at each ring; ``url`` must not lead through a pooler."""
        self._url = url
        self._heard = heard
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        has_failed = False
        while not self._is_over.is_set():
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001 - the database may be away; it will be back
                if not has_failed:
                    log.warning("cannot listen; polling goes on", error=type(error).__name__)
                has_failed = True
                self._is_over.wait(_AGAIN)

    def _listen(self) -> None:
        import psycopg  # noqa: PLC0415 - slow to import, and of no use on SQLite

        with psycopg.connect(self._url, autocommit=True, connect_timeout=5) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            while not self._is_over.is_set():
                for _ in connection.notifies(timeout=_PATIENCE, stop_after=1):
                    self._heard()
