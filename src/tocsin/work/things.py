"""Every collection there is, by its name in a URL."""

from __future__ import annotations

from collections.abc import Mapping

from tocsin.store.db import Database
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
