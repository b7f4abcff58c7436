"""What stands outside, for real: telephones (HTTP), a mail server, Tocsin's own process."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import http.server
import io
import json
import os
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message as Mail
from pathlib import Path
from typing import Any
from unittest.mock import patch

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

#: How long a test waits for what must happen; it ends as soon as it has.
PATIENCE = 20.0


def until(happened: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait until something has happened, and return it. Fails when patience ends."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = happened()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"in {seconds:.0f} seconds it did not happen: {what}")


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Ring:
    """A request to a telephone."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def page(self) -> Any:
        """The message."""
        return json.loads(self.body)


@dataclass(slots=True)
class Telephones:
    """An HTTP server that takes pages, and answers as it is told."""

    base: str
    rings: list[Ring] = field(default_factory=list)
    #: Status, headers and body of the answers to come; 204 when there are none.
    answers: list[tuple[int, Mapping[str, str], bytes]] = field(default_factory=list)

    def pages(self, path: str | None = None) -> list[Any]:
        """Return the pages that came, to one telephone or to all."""
        found = [ring for ring in self.rings if path is None or ring.path == path]
        return [ring.page for ring in found if ring.page["type"] == "incident.page"]


@contextlib.contextmanager
def telephones() -> Iterator[Telephones]:
    """Run telephones on the loopback interface."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"] or 0)
            body = self.rfile.read(length)
            if len(body) < length:
                return  # whoever called died in the middle of it
            made.rings.append(Ring(self.path, dict(self.headers.items()), body))
            status, headers, said = made.answers.pop(0) if made.answers else (204, {}, b"")
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(said)

        do_GET = do_POST  # noqa: N815 - the hook of the library

        def log_message(self, *_args: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

    server = Server(("127.0.0.1", 0), Handler)
    made = Telephones(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(slots=True)
class Shelf:
    """An HTTP server that gives documents, and remembers what it was asked."""

    base: str
    #: Path to document; each has an ETag. What is not here is 404.
    documents: dict[str, bytes] = field(default_factory=dict)
    #: Path to the headers of its answer, besides (or, with ``status``, instead of) its own.
    answers: dict[str, tuple[int, Mapping[str, str]]] = field(default_factory=dict)
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    #: Paths of which only the first half comes; the rest when this is set.
    halved: set[str] = field(default_factory=set)
    let_go: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def shelf() -> Iterator[Shelf]:
    """Run a server of documents on the loopback interface."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            made.asked.append((self.path, dict(self.headers.items())))
            document = made.documents.get(path)
            etag = f'"{hashlib.sha256(document or b"").hexdigest()[:16]}"'
            status, headers = made.answers.get(path, (200, {}))
            if document is None:
                status, document = (404 if status == 200 else status), b"nothing here"
            elif self.headers.get("If-None-Match") == etag:
                status, document = 304, b""
            self.send_response(status)
            for name, value in {"ETag": etag, **headers}.items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Length", str(len(document)))
            self.end_headers()
            with contextlib.suppress(OSError):
                if path in made.halved:
                    self.wfile.write(document[: len(document) // 2])
                    self.wfile.flush()
                    made.let_go.wait(PATIENCE)
                    return
                self.wfile.write(document)

        def log_message(self, *_args: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    made = Shelf(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class MailServer:
    """An SMTP server that keeps what it takes, and answers RCPT and DATA as it is told."""

    port: int = 0
    mails: list[tuple[str, list[str], Mail]] = field(default_factory=list)
    rcpt_answer: str = "250 OK"
    data_answer: str = "250 OK: kept"

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        """Answer a recipient."""
        if self.rcpt_answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return self.rcpt_answer

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Take a mail."""
        content = envelope.content
        if self.data_answer.startswith("2") and isinstance(content, bytes):
            mail = message_from_bytes(content)
            self.mails.append((envelope.mail_from or "", list(envelope.rcpt_tos), mail))
        return self.data_answer


@contextlib.contextmanager
def mail_server() -> Iterator[MailServer]:
    """Run a mail server on the loopback interface."""
    made = MailServer(port=free_port())
    controller = Controller(made, hostname="127.0.0.1", port=made.port)
    controller.start()
    try:
        yield made
    finally:
        controller.stop()


@dataclass(frozen=True, slots=True)
class Tls:
    """A proxy that ends TLS, as one stands before Tocsin in real life."""

    base: str
    #: Trusts the proxy's certificate.
    context: ssl.SSLContext


@contextlib.contextmanager
def tls_proxy(port: int) -> Iterator[Tls]:
    """Run a proxy that ends TLS before a port of the loopback interface."""
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                contextlib.suppress(OSError),
                server_context.wrap_socket(self.request, server_side=True) as here,
                socket.create_connection(("127.0.0.1", port)) as there,
            ):
                back = threading.Thread(target=_copy, args=(there, here), daemon=True)
                back.start()
                _copy(here, there)
                back.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Tls(f"https://127.0.0.1:{server.server_address[1]}", client_context)
        server.shutdown()
        thread.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copy all that comes, then say that no more will."""
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@dataclass(slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


class Tocsin:
    """``tocsin serve`` as a process of its own."""

    #: What is run.
    module = "tocsin"

    #: A program that runs it, such as ``strace -D``, with its options.
    under: Sequence[str] = ()

    #: How long it may take to start and to end, in seconds.
    patience = PATIENCE

    def __init__(self, folder: Path, database_url: str, **settings: str) -> None:
        """Name its folder, database and settings; nothing runs yet."""
        self.folder = folder
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"serve-{self.port}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("TOCSIN_")},
            "TOCSIN_DATA_DIR": str(folder),
            "TOCSIN_DATABASE_URL": database_url,
            "TOCSIN_LISTEN": f"127.0.0.1:{self.port}",
            "TOCSIN_SECRET_KEYS": _test_key(),
            "TOCSIN_OUTBOUND_ALLOW": "127.0.0.0/8",
            **{f"TOCSIN_{name.upper()}": value for name, value in settings.items()},
        }

    def start(self, *options: str, until_ready: bool = True) -> None:
        """Start it, and wait until it is ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.under, sys.executable, "-m", self.module, "serve", *options],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        if not until_ready:
            return
        try:
            until(self._is_ready, "tocsin ready", self.patience)
        except AssertionError as error:
            self.end()
            raise AssertionError(f"{error}\n{self.log.read_text()}") from None

    def start_without_door(self) -> None:
        """Start its workers alone: nobody can ask them whether they are ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tocsin", "serve", "--only", "worker"],
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "it has ended"
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.request("GET", "/readyz").status == 200
        return False

    def kill(self) -> None:
        """End it as a power cut would (but for the disk's cache)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def freeze(self) -> None:
        """Stop it where it stands."""
        self.signal(signal.SIGSTOP)

    def stop(self) -> int:
        """Let it end in good order; return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=self.patience)

    def end(self) -> None:
        """Make sure it does not outlive the test."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside it, within this process: a program of its own takes a second."""
        from tocsin.cli import main

        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in "oe")
        with (
            patch.dict(os.environ, self.environment, clear=True),
            patch.object(sys, "argv", ["tocsin", *arguments]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code: Any = 0
            try:
                main()
            except SystemExit as ended:
                code = ended.code or 0
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read(), err.read())

    def program(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside it as it is typed: as a program of its own."""
        return subprocess.run(
            [sys.executable, "-m", "tocsin", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=self.patience * 3,
            check=False,
        )

    def apply(self, text: str) -> None:
        """Apply a configuration."""
        path = Path(self.environment["TOCSIN_DATA_DIR"]) / f"config-{time.monotonic_ns()}.yaml"
        path.write_text(text, "utf-8")
        done = self.run("apply", str(path))
        assert done.returncode == 0, done.stderr

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 15,
    ) -> Answer:
        """Send a request over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def post(self, path: str, body: bytes, **headers: str) -> Answer:
        """Send JSON (or what claims to be)."""
        named = {"Content-Type": "application/json"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", path, body, named)

    def api(self, key: str, method: str, path: str, body: Any = None) -> Any:
        """Call the API and return what it says."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        answer = self.request(method, f"/api/v1{path}", content, headers)
        assert answer.status < 300, (answer.status, answer.body)
        return answer.json


def _test_key() -> str:
    from tests.conftest import TEST_KEY

    return TEST_KEY
