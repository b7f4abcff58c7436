"""Every channel through the same battery, against real servers on the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socketserver
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from tests.outside import MailServer, Telephones, free_port, mail_server, telephones
from tocsin.channels import email
from tocsin.channels.base import REGISTRY, Message, Outside, make_channels
from tocsin.channels.guard import Guard, guarded_client
from tocsin.core.model import (
    MessageType,
)
from tocsin.core.retry import Outcome, Report

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
NASTY = "<script>x</script>\r\nBcc: eve@example.com\r\n\r\nhello \u202e 💥"


def message(**changes: str) -> Message:
    return Message(
        id=changes.get("id", "not_1"),
        type=MessageType.PAGE,
        at=datetime.now(UTC),
        subject=changes.get("subject", "[#1 error] T"),
        text=changes.get("text", "T\n"),
        document=b'{"type":"incident.page"}',
    )


def send(
    channel: str,
    address: str,
    *,
    secret: str | None = None,
    smtp_url: str | None = None,
    allowed: tuple[ipaddress.IPv4Network, ...] = LOOPBACK,
    one: Message | None = None,
) -> Report:
    async def work() -> Report:
        guard = Guard(allowed)
        async with guarded_client(guard) as http:
            outside = Outside(
                guard=guard, http=http, smtp_url=smtp_url, public_url="https://t.example.com"
            )
            return await make_channels(outside)[channel].send(one or message(), address, secret)

    return asyncio.run(work())


@pytest.fixture
def phones() -> Iterator[Telephones]:
    with telephones() as made:
        yield made


@pytest.fixture
def mails() -> Iterator[MailServer]:
    with mail_server() as made:
        yield made


def smtp(mails: MailServer) -> str:
    return f"smtp://127.0.0.1:{mails.port}?from=tocsin@example.com"


# -- the table


@pytest.mark.parametrize("name", REGISTRY)
def test_a_channel_checks_its_addresses(name: str):
    kind = REGISTRY[name]
    assert kind.check(kind.address_hint) is None
    for address in ("", "x", "ftp://example.com/", "@", "http://", "a b@example.com", "a@", "\0"):
        assert kind.check(address), address


def test_only_webhooks_have_secrets():
    assert REGISTRY["webhook"].check_secret(SECRET) is None
    assert REGISTRY["webhook"].check_secret("whsec_")
    assert REGISTRY["email"].check_secret(SECRET)


@pytest.mark.parametrize("name", REGISTRY)
def test_a_private_address_is_not_connected_to(name: str, phones: Telephones, mails: MailServer):
    address = {"webhook": f"{phones.base}/ann", "email": "ann@example.com"}[name]
    report = send(name, address, smtp_url=smtp(mails), allowed=())
    assert report.outcome is Outcome.RETRY
    assert "TOCSIN_OUTBOUND_ALLOW" in report.detail
    assert phones.rings == []
    assert mails.mails == []


@pytest.mark.parametrize("name", REGISTRY)
def test_a_server_that_is_away_is_tried_again(name: str):
    port = free_port()
    address = {"webhook": f"http://127.0.0.1:{port}/s3cr3t", "email": "ann@example.com"}[name]
    report = send(name, address, smtp_url=f"smtp://u:s3cr3t@127.0.0.1:{port}?from=t@example.com")
    assert report.outcome is Outcome.RETRY
    assert "s3cr3t" not in report.detail


# -- webhook


def test_a_webhook_carries_the_message_and_a_signature_the_library_accepts(phones: Telephones):
    report = send("webhook", f"{phones.base}/ann", secret=SECRET)
    assert report == Report(outcome=Outcome.DELIVERED, detail="HTTP 204")
    ring = phones.rings[0]
    assert ring.headers["webhook-id"] == "not_1"
    assert Webhook(SECRET).verify(ring.body, dict(ring.headers)) == {"type": "incident.page"}


def test_without_a_secret_a_webhook_is_not_signed(phones: Telephones):
    send("webhook", f"{phones.base}/ann")
    assert "webhook-signature" not in phones.rings[0].headers


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DELIVERED),
        (202, Outcome.DELIVERED),
        (299, Outcome.DELIVERED),
        (301, Outcome.RETRY),
        (302, Outcome.RETRY),
        (400, Outcome.RETRY),
        (401, Outcome.RETRY),
        (404, Outcome.RETRY),
        (410, Outcome.GONE),
        (429, Outcome.RETRY),
        (500, Outcome.RETRY),
        (503, Outcome.RETRY),
    ],
)
def test_what_an_answer_means(phones: Telephones, status: int, outcome: Outcome):
    phones.answers.append((status, {"Location": f"{phones.base}/elsewhere"}, b"said"))
    report = send("webhook", f"{phones.base}/ann")
    assert report.outcome is outcome
    assert report.detail.startswith(f"HTTP {status}")
    assert [ring.path for ring in phones.rings] == ["/ann"], "redirects are not followed"


@pytest.mark.parametrize(
    ("value", "waits"),
    [
        ("120", timedelta(minutes=2)),
        ("0", timedelta()),
        ("soon", None),
        ("-5", None),
        ("999999999999999", timedelta(days=1)),
    ],
)
def test_retry_after_is_read(phones: Telephones, value: str, waits: timedelta | None):
    phones.answers.append((429, {"Retry-After": value}, b""))
    assert send("webhook", f"{phones.base}/ann").retry_after == waits


def test_retry_after_may_be_a_date(phones: Telephones):
    later = datetime.now(UTC) + timedelta(minutes=10)
    phones.answers.append((503, {"Retry-After": f"{later:%a, %d %b %Y %H:%M:%S} GMT"}, b""))
    waits = send("webhook", f"{phones.base}/ann").retry_after
    assert waits is not None
    assert timedelta(minutes=9) < waits <= timedelta(minutes=10)


def test_an_endless_answer_is_not_read_to_its_end(phones: Telephones):
    phones.answers.append((500, {}, b"x" * 10_000_000))
    report = send("webhook", f"{phones.base}/ann")
    assert report.outcome is Outcome.RETRY
    assert len(report.detail) < 300


# -- e-mail


def test_a_mail_has_one_subject_one_recipient_and_a_stable_id(mails: MailServer):
    report = send("email", "ann@example.com", smtp_url=smtp(mails))
    assert report.outcome is Outcome.DELIVERED
    sender, recipients, mail = mails.mails[0]
    assert (sender, recipients) == ("tocsin@example.com", ["ann@example.com"])
    assert mail["Subject"] == "[#1 error] T"
    assert mail["Message-ID"] == "<not_1@t.example.com>"
    assert mail.get_payload() == "T\r\n"


@pytest.mark.parametrize("title", [NASTY, "=?utf-8?q?=0d=0aBcc:_eve=40example.com?="])
def test_a_title_adds_no_header_to_a_mail(mails: MailServer, title: str):
    send("email", "ann@example.com", smtp_url=smtp(mails), one=message(subject=title, text=title))
    _, recipients, mail = mails.mails[0]
    assert recipients == ["ann@example.com"]
    assert mail["Bcc"] is None
    assert mail.get_content_type() == "text/plain"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("550 no such person", Outcome.REFUSED),
        ("450 try later", Outcome.RETRY),
        ("250 OK", Outcome.DELIVERED),
    ],
)
def test_a_recipient_refused_for_good_is_not_tried_again(
    mails: MailServer, answer: str, outcome: Outcome
):
    mails.rcpt_answer = answer
    assert send("email", "ann@example.com", smtp_url=smtp(mails)).outcome is outcome


@pytest.mark.parametrize(
    ("answer", "outcome"), [("554 spam", Outcome.REFUSED), ("451 full", Outcome.RETRY)]
)
def test_a_mail_refused_for_good_is_not_tried_again(
    mails: MailServer, answer: str, outcome: Outcome
):
    mails.data_answer = answer
    assert send("email", "ann@example.com", smtp_url=smtp(mails)).outcome is outcome


GOOD = {
    "CONNECT": "220 here", "EHLO": "250-here\r\n250 AUTH PLAIN LOGIN", "HELO": "250 here",
    "AUTH": "235 welcome", "MAIL": "250 OK", "RCPT": "250 OK", "DATA": "354 go on", ".": "250 kept",
    "RSET": "250 OK", "QUIT": "221 bye",
}  # fmt: skip


@contextlib.contextmanager
def scripted_server(**answers: str) -> Iterator[tuple[int, list[str]]]:
    """Answer each command as told, else well; give the port, and what was said there."""
    told = GOOD | answers
    lines: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(f"{told['CONNECT']}\r\n".encode())
            in_mail = False
            for line in self.rfile:
                text = line.decode().rstrip("\r\n")
                word = text.partition(" ")[0].upper()
                if in_mail and text != ".":
                    continue
                lines.append(text)
                in_mail = word == "DATA" and told["DATA"].startswith("3")
                self.wfile.write(f"{told.get(word, '500 what')}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1], lines
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("command", "answer", "outcome"),
    [
        pytest.param("CONNECT", "554 go away", Outcome.RETRY, id="a greeting that is none"),
        pytest.param("EHLO", "550 who", Outcome.RETRY, id="an unknown name"),
        pytest.param("AUTH", "535 wrong", Outcome.RETRY, id="a wrong password"),
        pytest.param("AUTH", "534 too weak", Outcome.RETRY, id="a way to log in it does not like"),
        pytest.param("AUTH", "538 encrypt", Outcome.RETRY, id="a login in the clear"),
        pytest.param("AUTH", "454 later", Outcome.RETRY, id="a login that fails for now"),
        pytest.param("MAIL", "530 log in", Outcome.RETRY, id="a sender that has to log in"),
        pytest.param("MAIL", "550 not you", Outcome.RETRY, id="a sender it does not take"),
        pytest.param("RCPT", "530 log in", Outcome.RETRY, id="a recipient only after a login"),
        pytest.param("RCPT", "550 nobody", Outcome.REFUSED, id="nobody of that name"),
        pytest.param("DATA", "554 no", Outcome.REFUSED, id="no mail today"),
        pytest.param(".", "554 spam", Outcome.REFUSED, id="a mail it does not take"),
        pytest.param(".", "452 full", Outcome.RETRY, id="a full disk"),
        pytest.param("QUIT", "500 what", Outcome.DELIVERED, id="a strange goodbye"),
    ],
)
def test_only_a_word_on_the_mail_is_final(command: str, answer: str, outcome: Outcome):
    """A wrong login concerns every page: to mend it must be enough for all of them to go out."""
    with scripted_server(**{command: answer, "HELO": "550 who"}) as (port, lines):
        url = f"smtp://ann:s3cr3t@127.0.0.1:{port}?from=t@example.com"
        report = send("email", "ann@example.com", smtp_url=url)
    assert report.outcome is outcome, report
    assert "s3cr3t" not in report.detail
    if outcome is not Outcome.DELIVERED:
        assert answer[:3] in report.detail
        assert lines or command == "CONNECT"


def test_a_password_is_not_handed_over_in_the_clear(monkeypatch: pytest.MonkeyPatch):
    """Neither to a server without STARTTLS, nor to one that somebody made look so."""
    monkeypatch.setattr(email, "_is_here", lambda _connection: False)
    with scripted_server() as (port, lines):
        url = f"smtp://ann:s3cr3t@127.0.0.1:{port}?from=t@example.com"
        report = send("email", "ann@example.com", smtp_url=url)
        assert report.outcome is Outcome.RETRY
        assert "STARTTLS" in report.detail
        assert "TOCSIN_SMTP_URL" in report.detail
        assert not [line for line in lines if line.startswith("AUTH")]
        unnamed = f"smtp://127.0.0.1:{port}?from=t@example.com"
        sent = send("email", "ann@example.com", smtp_url=unnamed)
        assert sent.outcome is Outcome.DELIVERED, "without a password there is none to lose"


def test_without_a_mail_server_the_reason_names_the_setting():
    assert "TOCSIN_SMTP_URL" in send("email", "ann@example.com").detail
