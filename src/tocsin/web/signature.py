"""Sentry's signatures: hex HMAC-SHA256 over the raw body."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence

#: Webhooks, requests of UI components, service hooks: the same signature by three names. The first
#: that is there counts.
SIGNATURE_HEADERS = (b"sentry-hook-signature", b"sentry-app-signature", b"x-servicehook-signature")


def signature_of(
    headers: Mapping[bytes, bytes],
    raw: Sequence[tuple[bytes, bytes]],
    names: Sequence[bytes] = SIGNATURE_HEADERS,
) -> bytes | None:
    """Return the signature a request carries; None without one, or with several to choose from."""
    for wanted in names:
        value = headers.get(wanted)
        if value is not None:
            is_one = len(headers) == len(raw) or sum(name == wanted for name, _ in raw) == 1
            return value if is_one else None
    return None


#: Where the requests of UI components have theirs.
COMPONENT_HEADER = (b"sentry-app-signature",)


def is_signed(body: bytes, signature: bytes | None, secrets: Sequence[str]) -> bool:
    """Whether any of the secrets made this signature. Bytes are compared, in constant time.

    An empty secret is everybody's: it makes none.
    """
    if signature is None:
        return False
    made = [
        hmac.digest(secret.encode(), body, "sha256").hex().encode() for secret in secrets if secret
    ]
    return any(hmac.compare_digest(one, signature) for one in made)
