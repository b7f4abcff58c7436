"""Hash passwords: slow on purpose, so at most two at once, and few that wait for their turn."""

from __future__ import annotations

import base64
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tocsin.core.password import LONGEST, normal

#: Webhooks are answered meanwhile: on a small machine two take what they may.
_AT_ONCE = 2
_WAITING = 2


class Throttled(Exception):
    """Too often; the message says when it may be tried again."""

    def __init__(self, wait: timedelta) -> None:
        """Say how long to wait."""
        self.seconds = max(1, round(wait.total_seconds()))
        minutes = -(-self.seconds // 60)
        span = f"{self.seconds} seconds" if self.seconds < 100 else f"{minutes} minutes"
        super().__init__(f"too many tries: try again in {span}")


class Hashing:
    """Makes and checks hashes of passwords."""

    def __init__(self) -> None:
        """Take the parameters: 46 MiB and three passes, on one core."""
        self._hasher = PasswordHasher(time_cost=3, memory_cost=47104, parallelism=1)
        self._turn = threading.BoundedSemaphore(_AT_ONCE)
        self._places = threading.BoundedSemaphore(_AT_ONCE + _WAITING)

    def make(self, password: str) -> str:
        """Return the hash of a password. Raises Throttled where many wait already."""
        with self._taken():
            return self._hasher.hash(_bytes(password))

    def is_right(self, hashed: str | None, password: str) -> bool:
        """Whether this is the password; where there is none it takes as long to say no.

        Raises Throttled where many wait already.
        """
        against = hashed or self._nobodys
        if len(password) > LONGEST:
            password = ""
        with self._taken():
            try:
                self._hasher.verify(against, _bytes(password))
            except (VerificationError, InvalidHashError):
                return False
        return hashed is not None

    def is_outdated(self, hashed: str) -> bool:
        """Whether a hash was made by other parameters than today's."""
        return self._hasher.check_needs_rehash(hashed)

    @property
    def _nobodys(self) -> str:
        """A hash by today's parameters that was never made: no password has it."""
        one = self._hasher
        salt, made = (
            base64.b64encode(secrets.token_bytes(length)).decode().rstrip("=")
            for length in (one.salt_len, one.hash_len)
        )
        how = f"m={one.memory_cost},t={one.time_cost},p={one.parallelism}"
        return f"$argon2id$v=19${how}${salt}${made}"

    @contextmanager
    def _taken(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise Throttled(timedelta(seconds=2))
        try:
            with self._turn:
                yield
        finally:
            self._places.release()


def _bytes(password: str) -> bytes:
    return normal(password).encode("utf-8", "surrogatepass")


#: One for the whole process: what it limits is the process's.
HASHING = Hashing()
