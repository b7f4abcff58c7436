"""Tocsin as it runs: real processes, real signals, real clients of others."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import uuid
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import fresh_sqlite
from tests.outside import (
    Answer,
    MailServer,
    Telephones,
    Tocsin,
    mail_server,
    telephones,
    tls_proxy,
    until,
)
from tocsin.sentry.sender import Issue, encode, headers_of, webhook
from tocsin.store import inbox, jobs
from tocsin.store.db import Database

CONFIGURATION = """
users:
  - email: ann@example.com
    name: Ann
    contact_methods:
      - {{name: hook, channel: webhook, address: "{phones}/ann"}}
      - {{name: mail, channel: email, address: ann@example.com}}
    notification_rules:
      - {{urgency: high, after: 0s, contact_method: hook}}
      - {{urgency: low, after: 0s, contact_method: mail}}
escalation_policies:
  - name: default
    steps:
      - {{targets: [{{user: ann@example.com}}], wait: {wait}}}
services:
  - {{name: checkout, escalation_policy: default}}
integrations:
  - {{name: sentry, service: checkout, routing_key: key-of-sentry}}
  - {{name: events, service: checkout, source: events, routing_key: key-of-events}}
"""


@pytest.fixture
def phones() -> Iterator[Telephones]:
    with telephones() as made:
        yield made


@pytest.fixture
def mails() -> Iterator[MailServer]:
    with mail_server() as made:
        yield made


@contextlib.contextmanager
def running(
    folder: Path, url: str, phones: Telephones, wait: str = "1h", **settings: str
) -> Iterator[Tocsin]:
    """Run one Tocsin."""
    tocsin = Tocsin(folder, url, **settings)
    tocsin.apply(CONFIGURATION.format(phones=phones.base, wait=wait))
    tocsin.start()
    try:
        yield tocsin
    finally:
        tocsin.end()


def trigger(tocsin: Tocsin, id_: str, **issue: Any) -> Answer:
    hook = webhook("issue", "created", Issue(id=id_, **issue))
    return tocsin.request("POST", "/in/key-of-sentry", hook.body, headers_of(hook, None))


def test_a_webhook_becomes_a_page(tmp_path: Path, database_url: str, phones: Telephones):
    """With everything the contract says of it."""
    with running(tmp_path, database_url, phones) as tocsin:
        assert trigger(tocsin, "1", title="E: it broke").status == 202
        page = until(phones.pages, "a page")[0]
        assert tocsin.stop() == 0
    data = page["data"]
    assert page["type"] == "incident.page"
    assert set(data) == {"incident", "user", "reason", "count", "acknowledge_url"}
    assert (data["user"], data["reason"], data["count"]) == (
        {"email": "ann@example.com", "name": "Ann"}, "step 1 of default", 1,
    )  # fmt: skip
    incident = data["incident"]
    assert (incident["title"], incident["status"]) == ("E: it broke", "triggered")
    assert incident["assignees"] == [{"email": "ann@example.com", "name": "Ann"}]
    assert data["acknowledge_url"].startswith(tocsin.base)


def test_a_page_of_low_urgency_goes_by_mail(
    tmp_path: Path, database_url: str, phones: Telephones, mails: MailServer
):
    smtp = f"smtp://127.0.0.1:{mails.port}?from=tocsin@example.com"
    with running(tmp_path, database_url, phones, smtp_url=smtp) as tocsin:
        trigger(tocsin, "1", level="warning", title="W: it may break — déjà vu")
        until(lambda: mails.mails, "a mail")
    _, recipients, mail = mails.mails[0]
    assert recipients == ["ann@example.com"]
    assert "[#1 warning]" in mail["Subject"]
    assert phones.rings == []


def test_after_a_kill_between_the_202_and_the_page_the_page_goes_out_once(
    tmp_path: Path, database_url: str, phones: Telephones
):
    """The web half alone takes it and dies; whoever starts next sends it."""
    tocsin = Tocsin(tmp_path, database_url)
    tocsin.apply(CONFIGURATION.format(phones=phones.base, wait="1h"))
    # Nobody works off what the web half takes.
    tocsin.start("--only", "web")
    try:
        assert trigger(tocsin, "1").status == 202
    finally:
        tocsin.kill()
    assert phones.rings == []
    tocsin.start()
    try:
        until(phones.pages, "the page")
        until(lambda: _is_idle(database_url), "nothing left to do")
        assert len(phones.pages()) == 1
        tocsin.kill()
        tocsin.start()
        until(lambda: _is_idle(database_url), "nothing left to do")
        assert len(phones.pages()) == 1
    finally:
        tocsin.end()


def test_the_halves_may_be_processes_of_their_own(
    tmp_path: Path, postgres_url: str, phones: Telephones
):
    """One takes webhooks in, two work them off: each page goes out once."""
    web = Tocsin(tmp_path / "web", postgres_url)
    workers = [Tocsin(tmp_path / name, postgres_url) for name in ("one", "two")]
    for each in (web, *workers):
        each.folder.mkdir()
    web.apply(CONFIGURATION.format(phones=phones.base, wait="1h"))
    try:
        web.start("--only", "web")
        for worker in workers:
            worker.start_without_door()
        for number in range(10):
            assert trigger(web, str(number)).status == 202
        until(lambda: len(phones.pages()) == 10, "the pages")
        until(lambda: _is_idle(postgres_url), "nothing left to do")
        assert len(phones.pages()) == 10
    finally:
        for each in (web, *workers):
            each.end()


def _is_idle(url: str) -> bool:
    """Whether no delivery waits to become a page, and no page to be sent."""
    database = Database(url)
    with database.read() as connection:
        waits = inbox.is_waiting(connection)
        due = jobs.due_kinds(connection, _far_future())
    database.close()
    return not waits and jobs.Kind.NOTIFY not in due


def _far_future() -> Any:
    from datetime import UTC, datetime, timedelta

    return datetime.now(UTC) + timedelta(hours=2)


def test_a0_a_kill_in_the_middle_of_a_storm_loses_nothing_that_was_accepted(
    tmp_path: Path, database_url: str, phones: Telephones
):
    """A0: 400 keys over 16 connections, SIGKILL in the middle; all answered 2xx are there."""
    accepted: set[str] = set()
    with running(tmp_path, database_url, phones) as tocsin:

        def send(number: int) -> None:
            with contextlib.suppress(Exception):
                if trigger(tocsin, str(number)).status == 202:
                    accepted.add(f"sentry:issue:{number}")
            if number == 200:
                tocsin.kill()

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(send, range(400)))
        assert 100 <= len(accepted) < 400
        tocsin.start()
        key = tocsin.run("key", "create", "--name", "t").stdout.strip()
        until(lambda: _is_idle(database_url), "every page sent", 60)
        there = _keys_of_incidents(tocsin, key)
        assert accepted <= set(there)
        assert len(there) == len(set(there)), "an incident is there twice"
        ids: dict[str, set[str]] = {key: set() for key in there}
        for ring in phones.rings:
            assert ring.page["type"] == "incident.page"
            ids[ring.page["data"]["incident"]["dedup_key"]].add(ring.headers["webhook-id"])
        wrong = {key: found for key, found in ids.items() if len(found) != 1}
        assert not wrong, "each is paged; what goes out again after the kill has the same id"


def _keys_of_incidents(tocsin: Tocsin, key: str) -> list[str]:
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = tocsin.api(key, "GET", f"/incidents?limit=200&cursor={cursor}")
        found += [one["dedup_key"] for one in page["items"]]
        cursor = page["next"]
    return found


def test_a10_32_first_deliveries_at_once_to_two_processes_make_one_incident_and_one_page(
    tmp_path: Path, postgres_url: str, phones: Telephones
):
    """A10, twenty rounds."""
    with (
        running(tmp_path, postgres_url, phones) as one,
        running(tmp_path, postgres_url, phones) as two,
        ThreadPoolExecutor(32) as pool,
    ):
        key = one.run("key", "create", "--name", "t").stdout.strip()
        for number in range(20):
            gate = threading.Barrier(32)

            def send(at: int, number: int = number, gate: threading.Barrier = gate) -> int:
                gate.wait()
                return trigger((one, two)[at % 2], f"r{number}").status

            assert list(pool.map(send, range(32))) == [202] * 32
        until(lambda: len(phones.pages()) >= 20, "a page each")
        until(lambda: _counts(one, key) == [32] * 20, "all counted")
        assert len(phones.pages()) == 20
        for tocsin in (one, two):
            assert tocsin.stop() == 0
            assert "Traceback" not in tocsin.log.read_text()


def _counts(tocsin: Tocsin, key: str) -> list[int]:
    page = tocsin.api(key, "GET", "/incidents?limit=200")
    return [one["occurrence_count"] for one in page["items"]]


def test_a11_trigger_and_resolve_that_cross_leave_one_incident(
    tmp_path: Path, postgres_url: str, phones: Telephones
):
    """A11: whichever is first, there is one incident at most, and never an error."""
    with (
        running(tmp_path, postgres_url, phones) as one,
        running(tmp_path, postgres_url, phones) as two,
        ThreadPoolExecutor(2) as pool,
    ):
        key = one.run("key", "create", "--name", "t").stdout.strip()
        for number in range(50):
            gate = threading.Barrier(2)

            def send(at: int, number: int = number, gate: threading.Barrier = gate) -> int:
                hook = webhook("issue", ("created", "resolved")[at], Issue(id=f"x{number}"))
                gate.wait()
                tocsin = (one, two)[at]
                path = "/in/key-of-sentry"
                return tocsin.request("POST", path, hook.body, headers_of(hook, None)).status

            assert list(pool.map(send, range(2))) == [202, 202]
        until(lambda: _all_processed(one, key), "all processed")
        there = _keys_of_incidents(one, key)
        assert len(there) == len(set(there)) == 50


def _all_processed(tocsin: Tocsin, key: str) -> bool:
    return not tocsin.api(key, "GET", "/deliveries?status=accepted")["items"]


def test_a_second_server_on_one_sqlite_file_is_refused_with_a_remedy(
    tmp_path: Path, sqlite_url: str, phones: Telephones
):
    with running(tmp_path, sqlite_url, phones) as tocsin:
        second = tocsin.program("serve", "--listen", "127.0.0.1:0")
        assert second.returncode == 1
        assert "PostgreSQL" in second.stderr
        assert "Traceback" not in second.stderr


def test_a_port_that_is_taken_is_not_shared(
    tmp_path: Path, database_url: str, phones: Telephones, sqlite_template: Path
):
    """Two programs on one port would each get some of the webhooks."""
    (tmp_path / "second").mkdir()
    with running(tmp_path, database_url, phones) as tocsin:
        second = Tocsin(tmp_path / "second", fresh_sqlite(tmp_path / "second", sqlite_template))
        refused = second.program("serve", "--listen", f"127.0.0.1:{tocsin.port}")
        assert trigger(tocsin, "1").status == 202
        assert tocsin.stop() == 0
        tocsin.start()
        assert trigger(tocsin, "2").status == 202, "one that just ended is no hindrance"
    assert refused.returncode == 1
    assert f"cannot listen on 127.0.0.1:{tocsin.port}: Address already in use" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "ready" not in refused.stdout


@pytest.mark.parametrize("address", ["192.0.2.1:8080", "nothing.invalid:8080"])
def test_an_address_that_is_not_ours_is_one_sentence(tmp_path: Path, sqlite_url: str, address: str):
    done = Tocsin(tmp_path, sqlite_url).program("serve", "--listen", address)
    assert done.returncode == 1
    assert f"cannot listen on {address}" in done.stderr
    assert "TOCSIN_LISTEN" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "ready" not in done.stdout


def test_an_address_may_be_a_name(tmp_path: Path, sqlite_url: str):
    tocsin = Tocsin(tmp_path, sqlite_url)
    tocsin.environment["TOCSIN_LISTEN"] = f"localhost:{tocsin.port}"
    address = socket.getaddrinfo("localhost", tocsin.port, type=socket.SOCK_STREAM)[0][4]
    process = subprocess.Popen([sys.executable, "-m", "tocsin", "serve"], env=tocsin.environment)
    try:
        until(lambda: process.poll() is not None or _connects(address), "listening")
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def _connects(address: Any) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(address[:2]):
        return True
    return False


def test_commands_work_beside_a_busy_server(tmp_path: Path, database_url: str, phones: Telephones):
    with running(tmp_path, database_url, phones) as tocsin, ThreadPoolExecutor(4) as pool:
        sending = [pool.submit(trigger, tocsin, f"b{n}") for n in range(300)]
        until(lambda: tocsin.program("incidents", "--json").returncode == 0, "an incident")
        assert tocsin.program("ack", "1").returncode == 0
        assert tocsin.program("resolve", "2", "--json").returncode == 0
        assert {one.result().status for one in sending} == {202}


def test_itoc360s_own_client_works_unchanged(tmp_path: Path, database_url: str, phones: Telephones):
    from itoc360 import APIError, Client

    with running(tmp_path, database_url, phones) as tocsin:
        client = Client("key-of-sentry", base_url=tocsin.base)
        body = json.loads(webhook("issue", "created", Issue(id="77")).body)
        event = client.send_raw(body)
        assert (event.type, event.fingerprint) == ("ALERT", "sentry:issue:77")
        assert event.payload == body
        assert event.created_at is not None
        body["action"] = "resolved"
        assert client.send_raw(body).type == "RESOLVE"
        with pytest.raises(APIError) as refused:
            Client("nobody-knows-it", base_url=tocsin.base).send_raw(body)
        assert "unknown key" in str(refused.value)


def test_pagerdutys_own_client_works_unchanged(
    tmp_path: Path, database_url: str, phones: Telephones
):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pagerduty

    with running(tmp_path, database_url, phones) as tocsin, tls_proxy(tocsin.port) as tls:
        key = tocsin.run("key", "create", "--name", "t").stdout.strip()

        def client(routing_key: str) -> pagerduty.EventsApiV2Client:
            return pagerduty.EventsApiV2Client(routing_key, base_url=tls.base, verify=tls.context)

        dedup_key = uuid.uuid4().hex
        with client("key-of-events") as events:
            assert events.trigger("disk full", "db1", dedup_key=dedup_key) == dedup_key
            until(phones.pages, "a page")
            assert events.acknowledge(dedup_key) == dedup_key
            until(lambda: _status(tocsin, key) == "acknowledged", "acknowledged")
            assert events.resolve(dedup_key) == dedup_key
            until(lambda: _status(tocsin, key) == "resolved", "resolved")
            assert len(events.trigger("no key of its own", "db1")) == 64
        with client("nobody-knows-it") as stranger, pytest.raises(pagerduty.HttpError):
            stranger.trigger("s", "h")


def _status(tocsin: Tocsin, key: str) -> str:
    status: str = tocsin.api(key, "GET", "/incidents")["items"][0]["status"]
    return status


def test_a_slow_body_is_given_up_and_harms_nobody(
    tmp_path: Path, sqlite_url: str, phones: Telephones
):
    """A client that sends half a body holds nobody up."""
    with running(tmp_path, sqlite_url, phones) as tocsin:
        slow = [socket.create_connection(("127.0.0.1", tocsin.port)) for _ in range(50)]
        for one in slow:
            one.sendall(b"POST /in/key-of-sentry HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        assert trigger(tocsin, "1").status == 202
        slow[0].settimeout(15)
        assert slow[0].recv(100).startswith(b"HTTP/1.1 408")
        for one in slow:
            one.close()


@contextlib.contextmanager
def away(postgres_url: str) -> Iterator[None]:
    """Let a database be away for a while."""
    import psycopg

    from tests.conftest import url_of

    name = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    server = url_of(postgres_url, "postgres")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        try:
            yield
        finally:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def _spool_depth(tocsin: Tocsin) -> int:
    depth: int = tocsin.request("GET", "/readyz").json["spool_depth"]
    return depth


def test_while_the_database_is_away_webhooks_are_taken_all_the_same(
    tmp_path: Path, postgres_url: str, phones: Telephones
):
    """And as soon as it is back everything goes on by itself, in order."""
    with running(tmp_path, postgres_url, phones) as tocsin:
        key = tocsin.run("key", "create", "--name", "t").stdout.strip()
        with away(postgres_url):
            assert [trigger(tocsin, str(n)).status for n in range(20)] == [202] * 20
            hook = webhook("issue", "resolved", Issue(id="3"))
            path, headers = "/in/key-of-sentry", headers_of(hook, None)
            assert tocsin.request("POST", path, hook.body, headers).status == 202
            stranger = tocsin.request("POST", "/in/nobody-knows-it", hook.body, headers)
            assert (stranger.status, bool(stranger.headers["retry-after"])) == (503, True)
            assert tocsin.request("GET", "/healthz").status == 200
            assert tocsin.request("GET", "/readyz").status == 503
            assert _spool_depth(tocsin) == 21
            assert b"tocsin_spool_depth 21.0" in tocsin.request("GET", "/metrics").body
            assert tocsin.request("GET", "/api/v1/me").status < 600
        until(lambda: _spool_depth(tocsin) == 0, "the spool empty")
        until(
            lambda: _all_processed(tocsin, key) and len(_statuses(tocsin, key)) == 20, "all there"
        )
        assert _statuses(tocsin, key) == {
            f"sentry:issue:{n}": "resolved" if n == 3 else "triggered" for n in range(20)
        }
        until(lambda: len(phones.pages()) == 19, "the pages")
        assert "Traceback" not in tocsin.log.read_text()


def _statuses(tocsin: Tocsin, key: str) -> dict[str, str]:
    items = tocsin.api(key, "GET", "/incidents?limit=200&status=triggered,resolved")["items"]
    return {one["dedup_key"]: one["status"] for one in items}


def test_a_process_that_starts_while_the_database_is_away_takes_webhooks_too(
    tmp_path: Path, postgres_url: str, phones: Telephones
):
    """It knows the keys from before; and it hands over what one that was killed had kept."""
    with running(tmp_path, postgres_url, phones) as tocsin:
        trigger(tocsin, "0")
        until(phones.pages, "a page")
        with away(postgres_url):
            assert trigger(tocsin, "1").status == 202
            tocsin.kill()
            tocsin.start(until_ready=False)
            until(lambda: _takes(tocsin, "2"), "webhooks taken")
            assert _spool_depth(tocsin) == 2
            assert tocsin.program("doctor").stdout.startswith("2 webhooks wait")
        until(lambda: len(phones.pages()) == 3, "a page each")
        until(lambda: tocsin.request("GET", "/readyz").status == 200, "all well again")
        assert _spool_depth(tocsin) == 0


def _takes(tocsin: Tocsin, id_: str) -> bool:
    with contextlib.suppress(OSError):
        return trigger(tocsin, id_).status == 202
    return False


def test_a_process_that_never_knew_the_keys_does_not_start_without_the_database(
    tmp_path: Path, postgres_url: str
):
    tocsin = Tocsin(tmp_path, postgres_url)
    with away(postgres_url):
        done = tocsin.program("serve")
        doctor = tocsin.program("doctor")
    assert done.returncode == 1
    assert "the database does not answer" in done.stderr
    assert doctor.returncode == 1
    assert doctor.stdout.startswith("0 webhooks wait")


def test_a_log_that_cannot_be_written_stops_nothing(
    tmp_path: Path, sqlite_url: str, phones: Telephones
):
    """As when its disk is full."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    with running(tmp_path, sqlite_url, phones) as tocsin:
        tocsin.stop()
        tocsin.log = full
        tocsin.start()
        assert trigger(tocsin, "1").status == 202
        until(phones.pages, "a page")
        assert tocsin.stop() == 0


def test_a_wrong_setting_is_one_sentence(tmp_path: Path, sqlite_url: str):
    tocsin = Tocsin(tmp_path, sqlite_url, listem="127.0.0.1:1")
    done = tocsin.program("serve")
    assert done.returncode == 1
    assert "did you mean TOCSIN_LISTEN?" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_sending_a_sample_needs_no_more_than_the_name(
    tmp_path: Path, sqlite_url: str, phones: Telephones
):
    with running(tmp_path, sqlite_url, phones) as tocsin:
        tocsin.environment["TOCSIN_PUBLIC_URL"] = tocsin.base
        assert tocsin.program("send", "sentry").returncode == 0
        until(phones.pages, "a page")
        unknown = tocsin.run("send", "nothing")
        assert unknown.returncode == 1
        assert "no integration" in unknown.stderr
    assert encode({"ä": 1}) == b'{"\\u00e4":1}'
