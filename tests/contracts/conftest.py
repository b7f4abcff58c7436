"""Worlds for contracts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.store.db import Database
from tocsin.store.vault import Vault


@pytest.fixture
def blank(database: Database, vault: Vault) -> Iterator[World]:
    """Give a world without configuration, on both databases."""
    with World(database, vault) as world:
        yield world


@pytest.fixture
def world(blank: World) -> World:
    """Give a world where Ann is paged for everything, at once, by webhook."""
    blank.configure(PEOPLE, ONE_STEP, SERVICE)
    return blank
