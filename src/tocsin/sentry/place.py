"""Where an organisation of Sentry lives, and what opens it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

#: Where everything that belongs to no region is: integrations, tokens.
_CONTROL = "https://sentry.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an organisation lives, and what opens it."""

    #: ``https://sentry.io``, ``https://de.sentry.io``, ``http://sentry.internal:9000``.
    host: str
    #: Its slug.
    organization: str
    token: str = field(repr=False)

    @property
    def control(self) -> str:
        """Where integrations are managed: the regions of sentry.io know nothing of them."""
        return self.host if is_own(self.host) else _CONTROL


def host_of(typed: str) -> str:
    """Return the address of a Sentry from what somebody typed. Raises ValueError with a sentence.

    An address of a page will do: only its host counts. The address of an organisation at sentry.io
    (``https://acme.sentry.io``) is that of sentry.io.
    """
    text = typed.strip()
    text = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(text)
        name, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        parts, name, port = urlsplit(""), "", None
    if parts.scheme not in ("http", "https") or not re.fullmatch(r"[a-z0-9_.:-]+", name):
        raise ValueError(f"{typed!r} is no address: write https://sentry.io, or that of your own")
    if parts.username is not None:
        raise ValueError("the address of Sentry holds a name or password: leave it out")
    if name == "sentry.io" or (name.endswith(".sentry.io") and name not in _REGIONS):
        return _CONTROL
    host = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


def token_of(typed: str) -> str:
    """Return a token from what somebody typed or pasted. Raises ValueError with a sentence.

    The sentence does not quote it: most of it may be a good one.
    """
    token = typed.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("that is no token: copy it again, in one line, and nothing around it")
    return token


def leads_to(place: Place, link: str | None) -> bool | None:
    """Whether a link to an issue leads into an organisation; None where it does not tell.

    A Sentry of somebody's own may be asked at another address than the one that people see.
    """
    try:
        parts = urlsplit(link or "")
        name = parts.hostname
    except ValueError:
        return None
    if link is None or name is None:
        return None
    if is_own(link) != is_own(place.host):
        return False
    found = _IN_PATH.match(parts.path) or (name not in _REGIONS and _IN_NAME.fullmatch(name))
    if not found or place.organization.isdecimal():
        return None
    if found[1].lower() != place.organization.lower():
        return False
    return True if not is_own(place.host) or name == urlsplit(place.host).hostname else None


#: Where links name an organisation: ``https://acme.sentry.io``, ``…/organizations/acme/…``.
_IN_PATH = re.compile(r"/organizations/([^/]+)/")
_IN_NAME = re.compile(r"([a-z0-9-]+)\.sentry\.io")

_REGIONS = frozenset({"us.sentry.io", "de.sentry.io"})


def is_own(host: str) -> bool:
    """Whether this is a Sentry that somebody runs themselves."""
    name = urlsplit(host).hostname or ""
    return name != "sentry.io" and not name.endswith(".sentry.io")
