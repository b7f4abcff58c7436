"""``tocsin page``: the whole chain, through a server that runs, or that does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from tests.outside import MailServer, Telephones, Tocsin, mail_server, telephones
from tocsin.cli import page
from tocsin.store.db import Database
from tocsin.store.tables import notifications

PEOPLE = """
users:
  - email: ann@example.com
    name: Ann
    contact_methods:
      - {{name: hook, channel: webhook, address: "{phones}/ann"}}
      - {{name: mail, channel: email, address: ann@example.com}}
  - {{email: bob@example.com, name: Bob}}
"""


@pytest.fixture
def phones() -> Iterator[Telephones]:
    with telephones() as made:
        yield made


@pytest.fixture
def mails() -> Iterator[MailServer]:
    with mail_server() as made:
        yield made


@pytest.fixture
def tocsin(
    tmp_path: Path, database_url: str, phones: Telephones, mails: MailServer
) -> Iterator[Tocsin]:
    """Give a Tocsin that can be started, with two people."""
    smtp = f"smtp://127.0.0.1:{mails.port}?from=tocsin@example.com"
    made = Tocsin(tmp_path, database_url, smtp_url=smtp)
    made.apply(PEOPLE.format(phones=phones.base))
    yield made
    made.end()


def states(database_url: str) -> list[str]:
    database = Database(database_url)
    with database.read() as connection:
        found = connection.execute(notifications.select().order_by(notifications.c.id)).all()
    database.close()
    return [row.state for row in found]


def test_every_way_is_tried_and_told(
    tocsin: Tocsin, database_url: str, phones: Telephones, mails: MailServer
):
    tocsin.start()
    done = tocsin.run("page", "ann@example.com")
    assert done.returncode == 0, done.stderr
    rows = [line.strip().split(maxsplit=3) for line in done.stdout.splitlines()[1:]]
    assert rows[0] == ["hook", "webhook", "delivered", "HTTP 204"]
    assert rows[1][:3] == ["mail", "email", "delivered"]
    assert [ring.page["type"] for ring in phones.rings] == ["test"]
    assert phones.rings[0].page["data"]["reason"] == "a test by the command line"
    assert mails.mails[0][2]["Subject"] == "Test: Tocsin reaches you here"
    # A way that fails now is a failure, told with a remedy, and is not tried again behind one's
    # back.
    phones.answers.append((500, {}, b"out of order"))
    mails.rcpt_answer = "550 no such user"
    done = tocsin.run("page", "ann@example.com", "--json")
    assert done.returncode == 1
    assert [(row["contact_method"], row["outcome"]) for row in json.loads(done.stdout)] == [
        ("hook", "failed"), ("mail", "failed"),
    ]  # fmt: skip
    assert "hook (HTTP 500: out of order): correct the address" in done.stderr
    assert "no such user" in done.stderr
    assert states(database_url) == ["sent", "sent", "cancelled", "failed"]


def test_who_cannot_be_reached_and_who_is_not_there(tocsin: Tocsin):
    done = tocsin.run("page", "bob@example.com")
    assert done.returncode == 1
    assert "bob@example.com cannot be reached" in done.stderr
    done = tocsin.run("page", "eve@example.com")
    assert (done.returncode, done.stderr) == (1, "tocsin: there is no user eve@example.com\n")


def test_without_a_worker_it_says_so_and_nothing_goes_out_later(
    tocsin: Tocsin,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    for name, value in tocsin.environment.items():
        if name.startswith("TOCSIN_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(page, "TAKEN_WITHIN", 0.3)
    with pytest.raises(typer.Exit) as exit_:
        page.page_user("ann@example.com", as_json=False)
    assert exit_.value.exit_code == 1
    said = capsys.readouterr()
    assert "not taken" in said.out
    assert "is `tocsin serve` running" in said.err
    assert states(database_url) == ["cancelled", "cancelled"]
