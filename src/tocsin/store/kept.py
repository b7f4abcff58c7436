"""What intake needs to know of the configuration, kept on this machine's disk.

A process that starts while the database is away takes webhooks all the same: it knows from here
which routing key is whose, and what signs. The file is sealed, so that it says nothing to others,
and nobody without the keys can make one.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tocsin.core.plans import Integration
from tocsin.store.vault import Vault, WrongKeys


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """The integrations, and which routing key (hashed) is whose."""

    keys: dict[str, str]
    integrations: dict[str, Integration]


class KeptKeys:
    """The file."""

    def __init__(self, path: Path, vault: Vault) -> None:
        """Name it; nothing is read yet."""
        self._path = path
        self._vault = vault

    def save(self, keys: Mapping[str, str], integrations: Mapping[str, Integration]) -> None:
        """Write it anew, whole or not at all. Raises OSError."""
        known = Known(keys=dict(keys), integrations=dict(integrations))
        sealed = self._vault.seal(msgspec.json.encode(known).decode())
        fresh = self._path.with_suffix(f".{secrets.token_hex(4)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(sealed)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise

    def load(self) -> Known | None:
        """Read it; None if there is none, or none that can be read with these keys."""
        try:
            text = self._vault.open(self._path.read_text("ascii"))
            return msgspec.json.decode(text, type=Known)
        except (OSError, UnicodeDecodeError, WrongKeys, msgspec.MsgspecError):
            return None
