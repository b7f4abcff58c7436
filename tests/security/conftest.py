"""Worlds for the security tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.test_copies import programs  # noqa: F401 - a fixture
from tests.pages.conftest import _quick_hashes  # noqa: F401 - a fixture
from tests.pages.things import SCHEDULE, people
from tests.world import ONE_STEP, SERVICE, World
from tocsin.store.db import Database
from tocsin.store.vault import Vault


@pytest.fixture
def blank(database: Database, vault: Vault) -> Iterator[World]:
    """Give a world without configuration, on both databases."""
    with World(database, vault) as world:
        yield world


@pytest.fixture
def world(blank: World) -> World:
    """Give a world with one person of every role, a service, and somebody to page."""
    blank.configure(people("payments"), SERVICE, ONE_STEP, SCHEDULE)
    return blank
