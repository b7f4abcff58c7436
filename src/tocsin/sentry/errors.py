"""What can go wrong between Sentry and us: one sentence for people each, and never the token."""

from __future__ import annotations

from datetime import timedelta


class SentryError(Exception):
    """Sentry did not do what it was asked."""

    #: Whether the same is worth another try later.
    is_temporary = False


class Unreachable(SentryError):
    """No connection, no TLS, or no answer in time; or our own guard said no."""

    is_temporary = True


class RateLimited(SentryError):
    """Sentry wants us to wait."""

    is_temporary = True

    def __init__(self, retry_after: timedelta) -> None:
        """Say for how long."""
        self.retry_after = retry_after
        seconds = retry_after.total_seconds()
        super().__init__(f"Sentry wants fewer requests: it takes more in {seconds:.0f} s")


class NotPermitted(SentryError):
    """The token may not do this."""

    def __init__(self, message: str, *, status: int, scope: str) -> None:
        """Say which scope would."""
        #: The scope that the call needs; empty where the token itself is not valid.
        self.scope = scope
        self.status = status
        super().__init__(message)


class NotThere(SentryError):
    """There is no such thing, or the token does not see it."""


class Refused(SentryError):
    """Sentry does not take what was asked."""

    def __init__(self, message: str, *, status: int, detail: str) -> None:
        """Say why, in Sentry's own words."""
        self.status = status
        self.detail = detail
        super().__init__(message)


class Broken(SentryError):
    """What came is no answer of Sentry's API; or Sentry itself failed."""

    is_temporary = True
