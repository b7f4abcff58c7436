"""People with passwords, for tests of signing in."""

from __future__ import annotations

import html
import re
from typing import Any

from sqlalchemy import select

from tests.browsing import Browser
from tests.world import World
from tocsin.store.tables import audit
from tocsin.work.accounts import Accounts

PASSWORD = "three odd words"


def accounts_of(world: World) -> Accounts:
    return Accounts(world.database, world.plans, world.vault, world.has_mail)


def give_password(world: World, *who: str, password: str = PASSWORD) -> None:
    for name in who:
        accounts_of(world).give_password(world.user(name).id, password, world.now)


def sign_in(browser: Browser, who: str, password: str = PASSWORD, **headers: str) -> Any:
    """Type e-mail address and password; return the answer, unfollowed."""
    browser.get("/login", **headers)
    token = re.search(r'name="_csrf_token" value="([^"]*)"', browser.text)
    from urllib.parse import urlencode

    fields = {"email": f"{who}@example.com", "password": password, "next": "/people",
              "_csrf_token": token[1] if token else ""}  # fmt: skip
    return browser._ask(
        "POST",
        "/login",
        urlencode(fields).encode(),
        content_type="application/x-www-form-urlencoded",
        **headers,
    )


def told(world: World) -> list[tuple[str, str, str]]:
    """Return actor, kind and subject of every row of the audit log, in order."""
    with world.database.read() as connection:
        query = select(audit.c.actor, audit.c.kind, audit.c.subject).order_by(audit.c.id)
        return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def kinds_told(world: World) -> list[str]:
    return [kind for _, kind, _ in told(world)]


def link_on(browser: Browser) -> str:
    """Return the path of the link that a page shows to copy."""
    found = re.search(r'<code id="link"[^>]*>([^<]*)</code>', browser.text)
    assert found is not None, browser.words
    return html.unescape(found[1]).removeprefix("http://tocsin.test")
