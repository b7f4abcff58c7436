"""The world with people, a service and somebody to page, for every page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from tests.pages.things import people
from tests.world import ONE_STEP, SERVICE, World
from tocsin.store.db import Database
from tocsin.store.vault import Vault
from tocsin.work.hashing import HASHING


@pytest.fixture
def world(database: Database, vault: Vault) -> Iterator[World]:
    """Give a world on a fresh database, with one person of every role."""
    with World(database, vault) as made:
        made.configure(people("payments"), SERVICE, ONE_STEP)
        yield made


@pytest.fixture(autouse=True, scope="session")
def _quick_hashes() -> None:
    """Hash passwords in no time: what is tested is who is let in, not how long that takes."""
    HASHING._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
