"""The world with people, a service and somebody to page, for every page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.store.db import Database
from tocsin.store.vault import Vault

ROLES = "\n".join(
    f"  - {{email: {role}@example.com, name: {role.title()}, role: {role}}}"
    for role in ("viewer", "responder", "manager", "admin", "owner")
)


@pytest.fixture
def world(database: Database, vault: Vault) -> Iterator[World]:
    """Give a world on a fresh database, with one person of every role."""
    with World(database, vault) as made:
        made.configure(PEOPLE.replace("teams:", f"{ROLES}\nteams:"), SERVICE, ONE_STEP)
        yield made
