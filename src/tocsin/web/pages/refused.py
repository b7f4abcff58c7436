"""What use cases refuse, as sentences at a form."""

from __future__ import annotations

from tocsin.work.configfile import BadFile
from tocsin.work.refusals import Conflict, Forbidden, Invalid
from tocsin.work.respond import NotFound

#: What a form may be shown again for.
REFUSALS = (BadFile, Invalid, Conflict, Forbidden, NotFound)


def sentences(error: Exception) -> list[str]:
    """Say what is wrong, each fault as a sentence."""
    found = error.findings if isinstance(error, BadFile) else (str(error),)
    return [sentence(one) for one in found]


def sentence(text: str) -> str:
    """Begin with a capital and end with a full stop."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")


def status_of(error: Exception) -> int:
    """Return with what a form is shown again."""
    kinds: dict[type[Exception], int] = {Conflict: 409, Forbidden: 403, NotFound: 404}
    return next((status for kind, status in kinds.items() if isinstance(error, kind)), 422)
