"""Settings: one row each. Read by ``boot`` and ``cli`` only; everyone else is handed values."""

from __future__ import annotations

import difflib
import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tocsin.channels.guard import IpNetwork
from tocsin.core.times import format_span, parse_span

PREFIX = "TOCSIN_"


class BadSetting(ValueError):
    """A setting is wrong; the message names it and says what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A row of the table."""

    name: str
    #: As people see it; the value used is worked out in ``load`` where it depends on others.
    default: str
    help: str
    #: From text to value. Raises ValueError with a sentence.
    read: Callable[[str], Any]
    is_secret: bool = False

    @property
    def variable(self) -> str:
        """The environment variable."""
        return PREFIX + self.name.upper()


def _size(text: str) -> int:
    units = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
    unit = next((unit for unit in units if text.endswith(unit)), "")
    digits = text.removesuffix(unit).strip()
    if not digits.isdecimal() or not 0 < int(digits) * units.get(unit, 1) <= 2**30:
        raise ValueError(f"{text!r} is not a size: write 2MiB or a number of bytes")
    return int(digits) * units.get(unit, 1)


def _listen(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 <= int(port) < 65536:
        raise ValueError(f"{text!r} is not an address: write 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def _networks(text: str) -> tuple[IpNetwork, ...]:
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def _http_url(text: str) -> str:
    if urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).hostname:
        raise ValueError(f"{text!r} is not an http:// or https:// URL")
    return text.rstrip("/")


def _database_url(text: str) -> str:
    if text.startswith(("postgresql://", "postgres://")):
        return text
    if text.startswith("sqlite:///") and len(text) > len("sqlite:///"):
        return text
    raise ValueError("write postgresql://user:password@host/database, or sqlite:///path")


def _postgres_url(text: str) -> str:
    if text.startswith(("postgresql://", "postgres://")):
        return text
    raise ValueError("write postgresql://user:password@host/database")


def _smtp_url(text: str) -> str:
    from tocsin.channels.email import parse_smtp_url  # noqa: PLC0415 - slow to import

    parse_smtp_url(text)
    return text


def _words(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{text!r} is not one of {', '.join(allowed)}")
        return text

    return read


def _keys(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


SETTINGS: tuple[Setting, ...] = (
    Setting(
        name="data_dir",
        default="./tocsin-data",
        help="Folder of the SQLite file, the spool and the generated keys (files readable by their"
        " owner only).",
        read=Path,
    ),
    Setting(
        name="database_url",
        default="SQLite in the data folder",
        help="Where the data is: `postgresql://user:password@host/database` (anything libpq"
        " understands) for more than one process or machine.",
        read=_database_url,
        is_secret=True,
    ),
    Setting(
        name="database_direct_url",
        default="the database's",
        help="The same PostgreSQL past a pooler (pgbouncer in transaction mode), on which workers"
        " listen for what other processes take in. Without it they look four times a second.",
        read=_postgres_url,
        is_secret=True,
    ),
    Setting(
        name="listen",
        default="127.0.0.1:8080",
        help="Address and port the server listens on.",
        read=_listen,
    ),
    Setting(
        name="public_url",
        default="http:// and the listen address",
        help="Base of every link that Tocsin sends or shows.",
        read=_http_url,
    ),
    Setting(
        name="trusted_proxies",
        default="",
        help="Networks of your own proxies, comma-separated: only what one of them says in"
        " `X-Forwarded-For` is believed. Tries at passwords are limited by the address that they"
        " come from, so set it where a proxy stands in front.",
        read=_networks,
    ),
    Setting(
        name="secret_keys",
        default="generated in the data folder",
        help="Keys that encrypt secrets in the database, comma-separated; the first encrypts, all"
        " decrypt. Make one with `tocsin config new-key`; a new first one comes into use with"
        " `tocsin secrets rotate`.",
        read=_keys,
        is_secret=True,
    ),
    Setting(
        name="outbound_allow",
        default="",
        help="Networks that outgoing HTTP and SMTP may reach although they are private,"
        " comma-separated: `127.0.0.0/8,10.1.0.0/16`.",
        read=_networks,
    ),
    Setting(
        name="smtp_url",
        default="",
        help="Mail server: `smtp://user:password@host:587?from=tocsin@example.com` (`smtps://` for"
        " TLS from the first byte; else STARTTLS where the server offers it). A password is handed"
        " over only under TLS, or to a server on this machine.",
        read=_smtp_url,
        is_secret=True,
    ),
    Setting(
        name="sentry_token",
        default="",
        help="What `tocsin sentry connect` and `tocsin sentry disconnect` ask Sentry with, where no"
        " token is given; the server does not use it.",
        read=str.strip,
        is_secret=True,
    ),
    Setting(
        name="heartbeat_url",
        default="",
        help="Address that is asked for once a minute while pages go out, and not while they do"
        " not: a dead man's switch, such as a check of Healthchecks, raises the alarm then.",
        read=_http_url,
        is_secret=True,
    ),
    Setting(
        name="max_body",
        default="2MiB",
        help="Largest body the intake takes; a larger one is answered 413.",
        read=_size,
    ),
    Setting(
        name="spool_size",
        default="1GiB",
        help="How much of the disk webhooks may take while PostgreSQL is away; what comes then is"
        " answered 503.",
        read=_size,
    ),
    Setting(
        name="retention",
        default="90d",
        help="How long deliveries are kept.",
        read=parse_span,
    ),
    Setting(
        name="log_format",
        default="console on a terminal, else json",
        help="`console` or `json`.",
        read=_words("console", "json"),
    ),
)

_BY_VARIABLE = {setting.variable: setting for setting in SETTINGS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, read and checked."""

    data_dir: Path
    database_url: str
    #: None: that of the database.
    database_direct_url: str | None
    listen: tuple[str, int]
    public_url: str
    trusted_proxies: tuple[IpNetwork, ...]
    #: Empty: the keys of the data folder.
    secret_keys: tuple[str, ...]
    outbound_allow: tuple[IpNetwork, ...]
    smtp_url: str | None
    sentry_token: str | None
    heartbeat_url: str | None
    max_body: int
    spool_size: int
    retention: timedelta
    #: None: console on a terminal, else JSON.
    log_format: str | None
    #: Setting name to where its value came from.
    origins: Mapping[str, str]


def load(environment: Mapping[str, str] | None = None, **given: str | None) -> Settings:
    """Read the settings. ``given`` are those of the command line. Raises BadSetting.

    A variable beats the default; ``TOCSIN_X_FILE`` names a file that holds the value of
    ``TOCSIN_X``; a command-line option beats both.
    """
    env = os.environ if environment is None else environment
    _refuse_unknown(env)
    texts: dict[str, str] = {}
    origins: dict[str, str] = {}
    for setting in SETTINGS:
        found = _find(setting, env)
        option = given.get(setting.name)
        if option is not None:
            found = option, "command line"
        if found is not None and found[0]:
            texts[setting.name], origins[setting.name] = found
        else:
            origins[setting.name] = "default"
    values = {s.name: _read(s, texts[s.name]) for s in SETTINGS if s.name in texts}
    listen = values.get("listen", ("127.0.0.1", 8080))
    data_dir = values.get("data_dir", Path("./tocsin-data")).absolute()
    return Settings(
        data_dir=data_dir,
        database_url=values.get("database_url", f"sqlite:///{data_dir / 'tocsin.db'}"),
        database_direct_url=values.get("database_direct_url"),
        listen=listen,
        public_url=values.get("public_url", f"http://{_host_port(listen)}"),
        trusted_proxies=values.get("trusted_proxies", ()),
        secret_keys=values.get("secret_keys", ()),
        outbound_allow=values.get("outbound_allow", ()),
        smtp_url=values.get("smtp_url"),
        sentry_token=values.get("sentry_token"),
        heartbeat_url=values.get("heartbeat_url"),
        max_body=values.get("max_body", 2 * 2**20),
        spool_size=values.get("spool_size", 2**30),
        retention=values.get("retention", timedelta(days=90)),
        log_format=values.get("log_format"),
        origins=origins,
    )


def _host_port(listen: tuple[str, int]) -> str:
    host, port = listen
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _refuse_unknown(env: Mapping[str, str]) -> None:
    known = {name for variable in _BY_VARIABLE for name in (variable, f"{variable}_FILE")}
    for variable in sorted(env):
        # TOCSIN_TEST_… belongs to the test suite.
        if variable.startswith(PREFIX) and variable not in known and "_TEST_" not in variable:
            close = difflib.get_close_matches(variable, known, n=1, cutoff=0.5)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise BadSetting(f"{variable} is no setting{hint} (see: tocsin config show)")


def _find(setting: Setting, env: Mapping[str, str]) -> tuple[str, str] | None:
    plain, file = env.get(setting.variable), env.get(f"{setting.variable}_FILE")
    if plain and file:
        raise BadSetting(f"{setting.variable} and {setting.variable}_FILE are both set: choose one")
    if file:
        try:
            return Path(file).read_text("utf-8").strip(), f"{setting.variable}_FILE ({file})"
        except OSError as error:
            raise BadSetting(
                f"{setting.variable}_FILE: {file}: {error.strerror or error}"
            ) from None
    return (plain, setting.variable) if plain else None


def _read(setting: Setting, text: str) -> Any:
    try:
        return setting.read(text)
    except ValueError as error:
        raise BadSetting(f"{setting.variable}: {error}") from None


def show(settings: Settings) -> list[tuple[str, str, str]]:
    """Return variable, value (secrets masked) and origin of every setting."""
    return [
        (
            setting.variable,
            _shown(setting, getattr(settings, setting.name)),
            settings.origins[setting.name],
        )
        for setting in SETTINGS
    ]


def _shown(setting: Setting, value: Any) -> str:
    if not value:
        return ""
    if setting.is_secret:
        return masked(value)
    if isinstance(value, timedelta):
        return format_span(value)
    if setting.name == "listen":
        return _host_port(value)
    if setting.name in ("max_body", "spool_size"):
        return f"{value} bytes"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def masked(value: str | tuple[str, ...]) -> str:
    """Mask a password in a URL, or the path of one that is asked for; anything else whole."""
    if isinstance(value, tuple):
        return ", ".join("•••" for _ in value)
    if "://" not in value:
        return "•••"
    parts = urlsplit(value)
    if parts.scheme in ("http", "https"):
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/•••"
    if parts.password is None and "password" not in parts.query:
        return value
    host = parts.netloc.rpartition("@")[2]
    query = "•••" if "password" in parts.query else parts.query
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:•••@{host}", query=query))


def reference() -> str:
    """Return the docs page of the settings, made from the table."""
    rows = "\n".join(
        f"| `{setting.variable}` | {_code(setting)} | {setting.help} |" for setting in SETTINGS
    )
    return f"""# Settings

<!-- Made from the table in src/tocsin/config.py by `make docs`; change it there. -->

Tocsin is set up by environment variables. Each can also be given as a file:
`TOCSIN_SMTP_URL_FILE` names a file that holds the value of `TOCSIN_SMTP_URL`. A `TOCSIN_` name that
is not in this table is an error. `tocsin config show` prints the values in force, secrets masked,
and where each came from.

| Name | Default | Meaning |
|---|---|---|
{rows}
"""


def _code(setting: Setting) -> str:
    is_literal = setting.default and " " not in setting.default
    return f"`{setting.default}`" if is_literal else setting.default or "empty"
