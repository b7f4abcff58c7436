"""Read what ``strace`` wrote: whether a sync came before each 202."""

from __future__ import annotations

import re
from pathlib import Path

_SYNC = re.compile(r"(fdatasync|fsync)\(.*= 0|<\.\.\. (fdatasync|fsync) resumed.*= 0")
_ANSWER = re.compile(r"(sendto|write|writev)\(.*HTTP/1\.1 202")


def violations(trace: Path) -> tuple[int, int]:
    """Return the answers, and how many of them no sync has preceded since the one before.

    With one client that waits for each answer: one sync at least for each.
    """
    answers = unsynced = syncs = 0
    for line in trace.read_text("utf-8", "replace").splitlines():
        if _SYNC.search(line):
            syncs += 1
        elif _ANSWER.search(line):
            answers += 1
            unsynced += syncs == 0
            syncs = 0
    return answers, unsynced
