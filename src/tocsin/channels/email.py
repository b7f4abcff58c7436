"""E-mail through the SMTP server of ``TOCSIN_SMTP_URL``."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from tocsin.channels.base import Channel, Message, Outside
from tocsin.channels.guard import Guard
from tocsin.core.retry import Outcome, Report
from tocsin.core.text import one_line

_SAID = 200

#: A server that wants a login says never (5xx) to whoever is not logged in: that is ours to mend,
#: and no word on the mail.
_LOGIN_CODES = frozenset({530, 534, 535, 538})


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """Where and how to hand mail over."""

    host: str
    port: int
    user: str | None
    password: str | None
    sender: str
    #: TLS from the first byte (``smtps://``); else STARTTLS where the server offers it, and it must
    #: where there is a password to hand over.
    is_tls: bool


def parse_smtp_url(url: str) -> SmtpServer:
    """Read ``smtp[s]://user:pass@host:port?from=…``. Raises ValueError with a remedy."""
    parts = urlsplit(url)
    sender = parse_qs(parts.query).get("from", [""])[0]
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or check(sender):
        raise ValueError(
            "write it as smtp://user:pass@host:587?from=tocsin@example.com (smtps:// for TLS)"
        )
    return SmtpServer(
        host=parts.hostname,
        port=parts.port or (465 if parts.scheme == "smtps" else 587),
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        sender=sender,
        is_tls=parts.scheme == "smtps",
    )


def make(outside: Outside) -> Channel:
    """Build the channel."""
    server = parse_smtp_url(outside.smtp_url) if outside.smtp_url else None
    host = urlsplit(outside.public_url).hostname or "tocsin"
    return _EmailChannel(outside.guard, server, host)


def check(address: str) -> str | None:
    """Return what is wrong with an address, or None."""
    try:
        parsed = Address(addr_spec=address)
    except (ValueError, HeaderParseError, IndexError):
        parsed = None
    is_one = parsed is not None and parsed.domain and parsed.username
    # What looks like an encoded word would be decoded where it becomes a header.
    if not is_one or not address.isprintable() or "=?" in address:
        return f"{address!r} is not an e-mail address"
    return None


class _EmailChannel:
    def __init__(self, guard: Guard, server: SmtpServer | None, host: str) -> None:
        self._guard = guard
        self._server = server
        self._host = host

    async def send(self, message: Message, address: str, secret: str | None) -> Report:  # noqa: ARG002
        """Hand one mail over."""
        if self._server is None:
            return _later("no SMTP server is set: see TOCSIN_SMTP_URL")
        try:
            connection = await self._guard.connect(self._server.host, self._server.port)
        except OSError as error:
            return _later(f"no connection to the SMTP server: {error.strerror or error}")
        client = aiosmtplib.SMTP(
            hostname=self._server.host,
            sock=connection,
            use_tls=self._server.is_tls,
            start_tls=None,
            tls_context=ssl.create_default_context(),
            timeout=10,
        )
        try:
            async with client:
                await _log_in(client, self._server, connection)
                _, said = await client.send_message(
                    _mail(message, address, self._server, self._host)
                )
        except (aiosmtplib.SMTPException, _InTheClear, OSError) as error:
            return _failure(error)
        finally:
            connection.close()
        return Report(outcome=Outcome.DELIVERED, detail=f"SMTP 250 {said}"[:_SAID])


class _InTheClear(Exception):
    """The password would go over the network for all to read."""

    def __init__(self) -> None:
        super().__init__(
            "the SMTP server offers no STARTTLS, and the password would go in the clear: use a"
            " server that does, or smtps:// in TOCSIN_SMTP_URL"
        )


async def _log_in(client: aiosmtplib.SMTP, server: SmtpServer, connection: socket.socket) -> None:
    if server.user is None:
        return
    if client.get_transport_info("sslcontext") is None and not _is_here(connection):
        raise _InTheClear
    await client.login(server.user, server.password or "")


def _is_here(connection: socket.socket) -> bool:
    """Whether the other end is on this machine, where nobody listens in between."""
    return ipaddress.ip_address(connection.getpeername()[0].partition("%")[0]).is_loopback


def _later(detail: str) -> Report:
    return Report(outcome=Outcome.RETRY, detail=detail[:_SAID])


def _failure(error: Exception) -> Report:
    """Tell a mail refused for good from everything that can be mended, here or there.

    Never is a 5xx (RFC 5321 4.2.1) to the recipient or to the mail. To the greeting, to the login
    or to the sender it is said of every mail, and no page may be lost by that.
    """
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, _InTheClear):
        return _later(str(error))
    if not isinstance(error, aiosmtplib.SMTPResponseException):
        return _later(f"{type(error).__name__}: {error}")
    is_final = (
        isinstance(error, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError)
        and 500 <= error.code < 600
        and error.code not in _LOGIN_CODES
    )
    outcome = Outcome.REFUSED if is_final else Outcome.RETRY
    return Report(outcome=outcome, detail=f"SMTP {error.code} {error.message}"[:_SAID])


def _header(text: str) -> str:
    """Return a text that begins no header of its own.

    A header ends at a line break. And what looks like an encoded word (RFC 2047) would be decoded
    by the standard library, and its line breaks would end the header.
    """
    return " ".join(one_line(text).split())[:200].replace("=?", "= ?")


def _mail(message: Message, address: str, server: SmtpServer, host: str) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = _header(message.subject)
    mail["From"] = server.sender
    mail["To"] = address
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = f"<{message.id}@{host}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    return mail
