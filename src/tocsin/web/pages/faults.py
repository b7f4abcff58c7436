"""What was wrong with a form, to be told on the form itself."""

from __future__ import annotations

from tocsin.work.configfile import BadFile
from tocsin.work.refusals import Conflict, Forbidden, Invalid

#: What use cases raise about what was typed; anything else is a page of its own.
FAULTS = (BadFile, Conflict, Forbidden, Invalid)


def faults_of(error: Exception) -> list[str]:
    """Return one sentence for each thing that is wrong."""
    found = error.findings if isinstance(error, BadFile) else (str(error),)
    return [f"{one[:1].upper()}{one[1:]}." for one in found]
