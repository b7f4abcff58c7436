"""Secrets at rest: what must be shown or used again is encrypted, the rest is hashed."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import secrets
from collections.abc import Sequence

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

_KNOWN = "tocsin"


class WrongKeys(Exception):
    """The secret keys are not those this database was written with."""

    def __init__(self) -> None:
        """Say so, with the remedy."""
        super().__init__(
            "the secret keys do not open this database: set TOCSIN_SECRET_KEYS to the keys it was"
            " made with, or use the same data folder (file secret-keys)"
        )


class Vault:
    """Decrypts with any key, encrypts with one: the first, unless a database is at another yet.

    Servers get a new first key one after the other. Until all have it, what it encrypts could not
    be read by the rest, so they go on with the key that the database is at (``follow``), and
    ``tocsin secrets rotate`` moves the database, and with it all of them, to the first one.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        """Take Fernet keys (32 bytes, URL-safe base64). Raises ValueError for anything else."""
        self._fernets = [Fernet(key) for key in keys]
        self._any = MultiFernet(self._fernets)
        self._keys = [key.encode() for key in keys]
        self._used = 0

    @property
    def names(self) -> tuple[str, ...]:
        """What the keys are called where people read it; nobody can tell a key from its name."""
        return tuple(hashlib.sha256(b"name of " + key).hexdigest()[:8] for key in self._keys)

    def with_first(self) -> Vault:
        """Return a vault of the same keys that encrypts with the first."""
        return Vault([key.decode() for key in self._keys])

    def follow(self, check: str) -> int:
        """Encrypt with the key that ``check`` was made with; return its place. Raises WrongKeys."""
        place = self.place_of(check)
        if place is None or self.open(check) != _KNOWN:
            raise WrongKeys
        self._used = place
        return place

    def place_of(self, sealed: str) -> int | None:
        """Return the place of the key that opens something; None where none does."""
        for place, fernet in enumerate(self._fernets):
            with contextlib.suppress(InvalidToken):
                fernet.decrypt(sealed.encode())
                return place
        return None

    def seal(self, text: str) -> str:
        """Encrypt."""
        return self._fernets[self._used].encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """Decrypt. Raises WrongKeys."""
        try:
            return self._any.decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise WrongKeys from None

    def seal_all(self, texts: Sequence[str]) -> str:
        """Encrypt several as one."""
        return self.seal(msgspec.json.encode(list(texts)).decode())

    def open_all(self, sealed: str) -> tuple[str, ...]:
        """Decrypt what ``seal_all`` made. Raises WrongKeys."""
        return msgspec.json.decode(self.open(sealed), type=tuple[str, ...])

    def sign(self, purpose: str, text: str) -> str:
        """Return a signature of 128 bits, good for this purpose and no other, fit for a URL."""
        return _signature(self._keys[self._used], purpose, text)

    def has_signed(self, purpose: str, text: str, signature: str) -> bool:
        """Whether ``sign`` made this signature, with any of the keys."""
        given = signature.encode()
        return any(
            hmac.compare_digest(_signature(key, purpose, text).encode(), given)
            for key in self._keys
        )

    def check(self) -> str:
        """Return a text by which ``follow`` will know the key again."""
        return self.seal(_KNOWN)


def _signature(key: bytes, purpose: str, text: str) -> str:
    whole = hmac.digest(key, f"{purpose}\0{text}".encode(), "sha256")
    return base64.urlsafe_b64encode(whole[:16]).decode().rstrip("=")


def new_secret_key() -> str:
    """Return a new key for the vault."""
    return Fernet.generate_key().decode()


def new_key(prefix: str) -> str:
    """Return a new random key of 192 bits, for instance ``tocsin_…``."""
    return f"{prefix}_{secrets.token_urlsafe(24)}"


def key_hash(key: str) -> str:
    """Return how a routing key or API key is stored: long and random, one SHA-256 is enough.

    Any text has one: a stranger's key may be a lone surrogate.
    """
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
