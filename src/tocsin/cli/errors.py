"""What went wrong, in one sentence with a remedy."""

from __future__ import annotations


def explain(error: Exception) -> str | None:
    """Return the sentence for an error people can do something about; None for a bug."""
    from sqlalchemy.exc import DBAPIError, OperationalError

    from tocsin.boot import AlreadyServed
    from tocsin.config import BadSetting
    from tocsin.core.incident import Refused
    from tocsin.sentry.errors import SentryError
    from tocsin.store.backup import NoCopy
    from tocsin.store.migrations import NewerSchema
    from tocsin.store.moving import NotMoved
    from tocsin.store.vault import WrongKeys
    from tocsin.work.configfile import BadFile
    from tocsin.work.refusals import Conflict, Forbidden, Invalid
    from tocsin.work.respond import NotFound

    if isinstance(error, BadFile):
        return str(error)  # each line begins with its place in the file
    known = (
        BadSetting, AlreadyServed, Refused, NewerSchema, WrongKeys, NotFound, Conflict, Forbidden,
        Invalid, SentryError, NoCopy, NotMoved,
    )  # fmt: skip
    if isinstance(error, known):
        return f"tocsin: {error}"
    if isinstance(error, OperationalError):
        said = " ".join(str(error.orig).split())
        return f"tocsin: the database does not answer: {said} (see TOCSIN_DATABASE_URL)"
    if isinstance(error, DBAPIError):
        # Only the first line: further ones, and the error itself, quote what was to be written.
        said = next(iter(str(error.orig).splitlines()), type(error.orig).__name__)
        return f"tocsin: the database refused this: {said}"
    if isinstance(error, OSError):
        said = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return f"tocsin: {said}"
    return None
