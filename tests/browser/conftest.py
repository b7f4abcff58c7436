"""A browser, pages that fail their test when they complain, and a Tocsin to look at.

Playwright holds an event loop while it runs, and other tests start loops of their own: it runs no
longer than the tests of this folder do. One process gets all tests of a file, one after another
(`tests/conftest.py`), so that a file starts one browser at most.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.chromium import launch, node
from tests.browser.complaints import Complaints
from tests.browser.furnished import Furnished, furnish
from tests.conftest import fresh_sqlite
from tests.outside import PATIENCE, Tocsin
from tocsin.store.vault import Vault

#: Opens a page in a context of its own; takes the options of Playwright's ``new_context``.
OpenPage = Callable[..., Page]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Give a Chromium; what a page is expected to show has as long as anything outside has."""
    expect.set_options(timeout=PATIENCE * 1000)
    os.environ["PLAYWRIGHT_NODEJS_PATH"] = node()
    with sync_playwright() as player:
        started = launch(player.chromium)
        yield started
        started.close()


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Hear what the pages of a test complain of; what it does not allow fails it."""
    heard = Complaints()
    yield heard
    if left := heard.left():
        pytest.fail("the browser complained:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture
def open_page(browser: Browser, complaints: Complaints) -> Iterator[OpenPage]:
    """Open pages, each in a context of its own: ``open_page(color_scheme="dark")``."""
    contexts = []

    def opened(**options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        complaints.listen(context)
        return context.new_page()

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """Give a page in a context of its own."""
    return open_page()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Tocsin]:
    """Give a Tocsin that runs on SQLite; ``served.base`` is its address. Its tests share it."""
    folder = tmp_path_factory.mktemp("browser")
    tocsin = Tocsin(folder, fresh_sqlite(folder, sqlite_template))
    tocsin.start()
    try:
        yield tocsin
        assert tocsin.stop() == 0
        log = tocsin.log.read_text()
        assert "Traceback" not in log, log
    finally:
        tocsin.end()


@pytest.fixture(scope="package")
def furnished(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, vault: Vault
) -> Iterator[Furnished]:
    """Give a Tocsin with something of every kind in it. Its tests share it."""
    folder = tmp_path_factory.mktemp("furnished")
    tocsin = Tocsin(folder, fresh_sqlite(folder, sqlite_template))
    made = None
    try:
        made = furnish(tocsin, vault)
        yield made
        assert tocsin.stop() == 0
        log = tocsin.log.read_text()
        assert "Traceback" not in log, log
    finally:
        tocsin.end()
        if made is not None:
            made.database.close()
