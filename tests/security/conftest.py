"""Worlds for the security tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.world import World
from tocsin.store.db import Database
from tocsin.store.vault import Vault


@pytest.fixture
def blank(database: Database, vault: Vault) -> Iterator[World]:
    """Give a world without configuration, on both databases."""
    with World(database, vault) as world:
        yield world
