"""Every collection there is, by its name in a URL."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from tocsin.store.db import Database, Joined
from tocsin.store.plans import PlansCache
from tocsin.store.vault import Vault
from tocsin.work.collection import Collection
from tocsin.work.dated import ABSENCES, WINDOWS, Dated
from tocsin.work.edit import KINDS, Section

LEDGERS = {"maintenance-windows": WINDOWS, "absences": ABSENCES}


def collections(
    database: Database, plans: PlansCache, vault: Vault, *, public_url: str
) -> Mapping[str, Collection]:
    """Return them, each with what it needs."""
    sections = {
        section.replace("_", "-"): Section(kind, database, plans, vault, public_url)
        for section, kind in KINDS.items()
    }
    dated = {path: Dated(ledger, database, plans) for path, ledger in LEDGERS.items()}
    return sections | dated


def within(connection: Connection, vault: Vault) -> Mapping[str, Collection]:
    """Return them as part of a transaction under way, to change several things or none.

    What they have seen in it is not seen by others before it is committed, and never if it is not.
    """
    joined = Joined(connection)
    return collections(joined, PlansCache(joined, vault), vault, public_url="")
