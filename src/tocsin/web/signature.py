"""Sentry's signatures: hex HMAC-SHA256 over the raw body."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence

#: Webhooks, requests of UI components, service hooks: the same signature by three names. The first
#: that is there counts.
SIGNATURE_HEADERS = (b"sentry-hook-signature", b"sentry-app-signature", b"x-servicehook-signature")


def signature_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return the signature a request carries; None without one, or with several to choose from."""
    found = [(name.lower(), value) for name, value in headers]
    for wanted in SIGNATURE_HEADERS:
        values = [value for name, value in found if name == wanted]
        if values:
            return values[0] if len(values) == 1 else None
    return None


def is_signed(body: bytes, signature: bytes | None, secrets: Sequence[str]) -> bool:
    """Whether any of the secrets made this signature. Bytes are compared, in constant time."""
    if signature is None:
        return False
    made = [hmac.digest(secret.encode(), body, "sha256").hex().encode() for secret in secrets]
    return any(hmac.compare_digest(one, signature) for one in made)
