"""S13: a secret of every kind goes through everything, and is found nowhere afterwards.

A real Tocsin, on both databases: it is set up, signed in to, sent good and bad webhooks, pages, and
fails to. Then its log, its metrics, its pages, its exports and every row of its database are read.
"""

from __future__ import annotations

import ast
import contextlib
import hmac
import http.client
import io
import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
import structlog
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from tests.outside import Answer, MailServer, Telephones, Tocsin, mail_server, telephones, until
from tests.pages.test_access import HANDLERS
from tests.pages.things import PARAMETER
from tests.security.test_comparing import SOURCE
from tests.world import World
from tocsin import logs
from tocsin.sentry.sender import Issue, webhook
from tocsin.store.backup import _opened, save
from tocsin.store.db import Database
from tocsin.work.respond import Desk

#: Kind of secret to what it is; each is looked for everywhere.
ROUTING = "canary-routing-0123456789"
EVENTS = "canary-events-0123456789"
UNKNOWN = "canary-unknown-0123456789"
SIGNING = "canary-signing-0123456789"
PASSWORD = "canary odd password words"
WRONG_PASSWORD = "canary wrong password words"
SMTP = "canary-smtp-0123456789"
POSTGRES = "canary-postgres-0123456789"
HOOK = "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5"
HEARTBEAT = "canary-heartbeat-0123456789"
COOKIE = "canary-cookie-0123456789"
BEARER = "canary-bearer-0123456789"

CONFIGURATION = """
users:
  - email: ann@example.com
    name: Ann
    role: owner
    contact_methods:
      - {{name: hook, channel: webhook, address: "{phones}/canary-path-0123456789", secret: {hook}}}
      - {{name: mail, channel: email, address: ann@example.com}}
  - {{email: vic@example.com, name: Vic, role: viewer}}
escalation_policies:
  - name: default
    steps:
      - {{targets: [{{user: ann@example.com}}], wait: 1h}}
services:
  - {{name: checkout, escalation_policy: default}}
integrations:
  - name: sentry
    service: checkout
    routing_key: {routing}
    signing_secrets: [{signing}]
  - {{name: events, service: checkout, source: events, routing_key: {events}}}
"""

ISSUE = webhook("issue", "created", Issue(id="1", title="E: it broke")).body


class Person:
    """A browser that keeps its cookies."""

    def __init__(self, tocsin: Tocsin) -> None:
        self.tocsin = tocsin
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, fields: Mapping[str, str] | None = None) -> Answer:
        headers = {"Accept": "text/html", "Referer": f"{self.tocsin.base}/x?token={COOKIE}"}
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = None
        if fields is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(fields).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.tocsin.port, timeout=15)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = Answer(response.status, dict(response.getheaders()), response.read())
        for line in response.msg.get_all("set-cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        connection.close()
        return answer

    def post(self, path: str, fields: Mapping[str, str]) -> Answer:
        page = self.ask("GET", "/login" if "tocsin" not in self.cookies else "/help")
        token = re.search(rb'name="_csrf_token" value="([^"]*)"', page.body)
        assert token is not None
        return self.ask("POST", path, {**fields, "_csrf_token": token[1].decode()})


def with_password(url: str) -> str:
    """Write a password into the URL of a PostgreSQL that asks for none."""
    return re.sub(r"^(postgresql://[^:/@]+):?[^@]*@", rf"\1:{POSTGRES}@", url)


def dump(url: str) -> str:
    """Return every row of every table, as text."""
    if url.startswith("postgresql:"):
        engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:", 1))
    else:
        engine = create_engine(url)
    parts: list[str] = []
    with engine.connect() as connection:
        for table in inspect(connection).get_table_names():
            for row in connection.execute(text(f'SELECT * FROM "{table}"')):
                parts += [
                    bytes(value).decode("utf-8", "replace")
                    if isinstance(value, bytes | memoryview)
                    else str(value)
                    for value in row
                ]
    engine.dispose()
    return "\n".join(parts)


@pytest.fixture
def phones() -> contextlib.AbstractContextManager[Telephones]:
    with telephones() as made:
        yield made


@pytest.fixture
def mails() -> contextlib.AbstractContextManager[MailServer]:
    with mail_server() as made:
        yield made


def drive(tocsin: Tocsin, phones: Telephones) -> dict[str, str]:
    """Let everything happen in which a secret has a part; return the secrets made meanwhile."""
    made = {"API key": tocsin.run("key", "create", "--name", "k", "--role", "owner").stdout.strip()}
    links = {}
    for who in ("ann", "vic"):
        said = tocsin.run("user", "link", f"{who}@example.com")
        links[who] = re.search(r"/(invite|reset)/\S+", said.stdout)[0]  # type: ignore[index]
        made[f"link of {who}"] = links[who].rpartition("/")[2]
    people = {who: Person(tocsin) for who in links}
    for who, link in links.items():
        assert people[who].ask("GET", link).status == 200
        assert people[who].post(link, {"password": f"{PASSWORD} {who}"}).status == 303
    wrong = Person(tocsin)
    wrong.post("/login", {"email": "ann@example.com", "password": WRONG_PASSWORD})
    wrong.post("/login", {"email": WRONG_PASSWORD, "password": "mistyped into the wrong field"})
    made |= {f"session of {who}": person.cookies["tocsin"] for who, person in people.items()}
    made |= {f"form of {who}": next(v for k, v in person.cookies.items() if "form" in k)
             for who, person in people.items()}  # fmt: skip

    signature = hmac.digest(SIGNING.encode(), ISSUE, "sha256").hex()
    strange = {"Cookie": COOKIE, "X-Api-Key": COOKIE, "Proxy_Authorization": COOKIE}
    phones.answers += [(500, {}, b"no"), (302, {"Location": "/canary"}, b"")]
    for path, headers in (
        (f"/in/{ROUTING}", {"Sentry_Hook_Signature": signature, **strange}),
        (f"/in/{ROUTING}", {"Sentry_Hook_Signature": "0" * 64, **strange}),
        (f"/in/{ROUTING}", {"Content_Encoding": "gzip"}),
        (f"/in/{UNKNOWN}", {}),
        (f"/v1/events/sentry/{ROUTING}", {}),
        (f"/functions/v1/events?token={ROUTING}", {}),
        ("/functions/v1/events", {"Authorization": f"Bearer {UNKNOWN}"}),
        (f"/api/integrations/sentry?integrationId={ROUTING}", {}),
        ("/api/events", {"Authorization": f"Token token={EVENTS}"}),
        ("/api/events", {"Authorization": f"Bearer {BEARER}"}),
    ):
        tocsin.post(path, ISSUE, **headers)
    event = {"routing_key": EVENTS, "event_action": "trigger",
             "payload": {"summary": "s", "source": "x", "severity": "error"}}  # fmt: skip
    tocsin.post("/v2/enqueue", json.dumps(event).encode())
    tocsin.request("GET", f"/in/{ROUTING}")
    tocsin.request("GET", "/api/v1/me", headers={"Authorization": f"Bearer {BEARER}"})
    tocsin.request("GET", f"/calendars/{UNKNOWN}.ics")
    tocsin.request("GET", f"/a/{UNKNOWN}")
    until(lambda: phones.rings, "a page tried")
    body = {"name": "again", "service": "checkout", "signing_secrets": [SIGNING], "oops": SIGNING}
    tocsin.request("POST", "/api/v1/integrations", json.dumps(body).encode(), {
        "Authorization": f"Bearer {made['API key']}", "Content-Type": "application/json",
    })  # fmt: skip
    made["pages of vic"] = "".join(seen(people["vic"]))
    made["pages of ann"] = "".join(seen(people["ann"]))
    return made


def seen(person: Person) -> list[str]:
    """Return every page that needs no thing of its own, and those of the incident."""
    paths = [path for method, path, _ in HANDLERS if method == "GET" and not PARAMETER.search(path)]
    paths = [path for path in paths if not path.startswith("/live")]
    paths += ["/incidents/1", "/incidents/1.md", "/services/checkout", "/integrations/sentry",
              "/deliveries?integration=sentry", "/audit.csv", "/nowhere"]  # fmt: skip
    return [person.ask("GET", path).body.decode("utf-8", "replace") for path in paths]


def backup(tocsin: Tocsin, target: Path) -> str:
    """Make a backup as it is typed; return what is in the file, unpacked."""
    done = tocsin.run("backup", str(target))
    assert done.returncode == 0, done.stderr
    if tocsin.environment["TOCSIN_DATABASE_URL"].startswith("sqlite:"):
        return target.read_bytes().decode("latin-1") + done.stdout
    unpacked = subprocess.run(
        ["pg_restore", "--file=-", str(target)],
        env={**os.environ, "PATH": tocsin.environment["PATH"]},
        check=True, capture_output=True,
    )  # fmt: skip
    return unpacked.stdout.decode("utf-8", "replace") + done.stdout


def all_files(folder: Path, url: str) -> str:
    """Return whatever a server keeps on its disk, logs of the database and freed pages too."""
    folders = (
        {folder, Path(url.removeprefix("sqlite:///")).parent} if "sqlite:" in url else {folder}
    )
    return "".join(
        path.read_bytes().decode("latin-1")
        for one in folders
        for path in one.rglob("*")
        # Its log is looked at by itself; and the file that was applied is the owner's own.
        if path.is_file() and path.suffix not in (".log", ".yaml")
    )


def test_s13_no_secret_is_found_anywhere_it_does_not_belong(
    tmp_path: Path, database_url: str, phones: Telephones, mails: MailServer, programs: str
):
    url = with_password(database_url)
    tocsin = Tocsin(
        tmp_path, url,
        smtp_url=f"smtp://ann:{SMTP}@127.0.0.1:{mails.port}?from=t@example.com",
        heartbeat_url=f"{phones.base}/{HEARTBEAT}",
    )  # fmt: skip
    tocsin.apply(CONFIGURATION.format(
        phones=phones.base, hook=HOOK, routing=ROUTING, signing=SIGNING, events=EVENTS,
    ))  # fmt: skip
    tocsin.start()
    try:
        made = drive(tocsin, phones)
        metrics = tocsin.request("GET", "/metrics").body.decode()
        key = {"Authorization": f"Bearer {made['API key']}"}
        log_of_deliveries = "".join(
            tocsin.request("GET", f"/api/v1/deliveries/{one['id']}", headers=key).body.decode()
            for one in tocsin.api(made["API key"], "GET", "/deliveries")["items"]
        )
        command = Path(f"/proc/{tocsin.pid}/cmdline").read_text("utf-8")
        tocsin.environment["PATH"] = programs
        saved = backup(tocsin, tmp_path / "saved")
        files = all_files(tmp_path, url)
        exported = "".join(
            done.stdout + done.stderr
            for done in (
                tocsin.run("export"), tocsin.run("doctor"), tocsin.run("config", "show"),
                tocsin.run("incidents"), tocsin.run("deliveries"), tocsin.run("key", "list"),
            )
        )  # fmt: skip
        assert tocsin.stop() == 0
    finally:
        tocsin.end()
    pages = {who: made.pop(f"pages of {who}") for who in ("vic", "ann")}
    assert "E: it broke" in pages["vic"]
    assert "E: it broke" in exported
    assert "E: it broke" in saved
    everywhere = {
        "routing key": ROUTING, "key of events": EVENTS, "unknown key": UNKNOWN,
        "signing secret": SIGNING, "password": PASSWORD, "wrong password": WRONG_PASSWORD,
        "SMTP password": SMTP, "PostgreSQL password": POSTGRES, "webhook secret": HOOK,
        "path of a webhook": "canary-path", "path of the heartbeat": HEARTBEAT, "cookie": COOKIE,
        "bearer": BEARER, "secret key": tocsin.environment["TOCSIN_SECRET_KEYS"], **made,
    }  # fmt: skip
    places = {
        "log": tocsin.log.read_text("utf-8"), "metrics": metrics, "ps": command,
        "deliveries": log_of_deliveries, "commands": exported, "database": dump(url),
        "backup": saved, "files": files,
        "pages of a viewer": pages["vic"], "pages of an owner": pages["ann"],
    }  # fmt: skip
    assert min(len(text) for text in places.values()) > 20
    found = {
        (kind, place)
        for kind, secret in everywhere.items()
        for place, text_ in places.items()
        if secret in text_ or quote(secret) in text_
    }
    assert found - ALLOWED == set()


#: Where a secret belongs: who configures an integration is shown its address; a form has its own
#: token; and where a contact method leads is configuration, which is shown and exported.
ALLOWED = {
    ("path of a webhook", "commands"),
    ("routing key", "pages of an owner"),
    ("key of events", "pages of an owner"),
    ("path of a webhook", "pages of an owner"),
    ("path of a webhook", "database"),
    ("path of a webhook", "backup"),
    ("path of a webhook", "files"),
    ("form of ann", "pages of an owner"),
    ("form of vic", "pages of a viewer"),
}


# -- tracebacks


@pytest.mark.parametrize("form", ["json", "console"])
def test_s13_a_traceback_tells_where_and_not_what(
    blank: World, form: str, monkeypatch: pytest.MonkeyPatch
):
    """Neither the values of a statement that failed, nor those of a function that did."""
    out, before = io.StringIO(), structlog.get_config()

    def fails(_desk: Desk, *_arguments: object, **_named: object) -> None:
        secret = PASSWORD

        def work(connection: Connection) -> None:
            connection.execute(text("SELECT :x FROM nowhere"), {"x": secret})

        blank.database.run(work)

    monkeypatch.setattr(Desk, "act", fails)
    try:
        logs.configure(form, out)
        monkeypatch.setattr("tocsin.web.problems.log", structlog.get_logger("web"))
        answer = blank.call("POST", "/incidents/1/acknowledge")
    finally:
        structlog.configure(**before)
    assert answer.status_code == 500
    assert "Traceback" in out.getvalue(), "it is in the log"
    assert "nowhere" in out.getvalue()
    assert PASSWORD not in out.getvalue()
    assert "nowhere" not in answer.text


def test_s13_whatever_opens_a_database_hides_the_values_of_statements(
    blank: World, sqlite_url: str, tmp_path: Path
):
    """One that looks at a backup, too; and who adds another way must say so as well."""
    made = save(Path(sqlite_url.removeprefix("sqlite:///")), tmp_path / "copy", lambda *_: None)
    with _opened(made.path) as connection, pytest.raises(DBAPIError) as wrong:
        connection.execute(text("SELECT :x FROM nowhere"), {"x": PASSWORD})
    assert "nowhere" in str(wrong.value)
    assert PASSWORD not in str(wrong.value)
    calls = [
        ast.unparse(node)
        for path in SOURCE.rglob("*.py")
        if "create_engine" in (source := path.read_text("utf-8"))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("create_engine")
    ]
    # The last one is never connected: it is asked for its dialect.
    loud = [call for call in calls if "hide_parameters=True" not in call]
    assert loud == ["create_engine('postgresql+psycopg://')"]
    assert len(calls) >= 4


def test_s13_a_statement_that_fails_does_not_tell_its_values(database: Database):
    def work(connection: Connection) -> None:
        connection.execute(text("SELECT :x FROM nowhere"), {"x": PASSWORD})

    with pytest.raises(DBAPIError) as wrong:
        database.run(work)
    assert PASSWORD not in str(wrong.value)
