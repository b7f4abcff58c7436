"""Read a calendar in a process of its own, with an end to its time and memory.

A few lines of iCalendar can ask for more work than there is time: no check finds them all. The
child has nothing but the bytes on its standard input; it opens no connection and knows no secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sys
from asyncio.subprocess import PIPE, Process
from datetime import datetime

import msgspec

from tocsin.calendars.reading import Event, Unreadable, read

#: Seconds of computing, and on the clock; ten megabytes of honest events take about ten.
CPU_SECONDS = 30
CLOCK_SECONDS = 60.0

MEMORY_BYTES = 2**30

#: Paging goes before reading calendars.
_NICER = 10


class _Answer(msgspec.Struct, kw_only=True):
    """What the child says: events, or why there are none."""

    events: list[Event] = []
    error: str | None = None


async def read_boxed(body: bytes, now: datetime) -> list[Event]:
    """Read a calendar as ``reading.read`` does, in bounded time. Raises Unreadable."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        __package__,
        now.isoformat(),
        str(CPU_SECONDS),
        str(MEMORY_BYTES),
        stdin=PIPE,
        stdout=PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={key: value for key, value in os.environ.items() if not key.startswith("TOCSIN_")},
    )
    try:
        async with asyncio.timeout(CLOCK_SECONDS):
            said, _ = await child.communicate(body)
    except TimeoutError:
        raise _too_long() from None
    finally:
        await _end(child)
    if child.returncode:
        raise _too_long()
    answer = msgspec.json.decode(said, type=_Answer)
    if answer.error is not None:
        raise Unreadable(answer.error)
    return answer.events


def _too_long() -> Unreadable:
    return Unreadable(
        f"the calendar takes more than {CPU_SECONDS} seconds or"
        f" {MEMORY_BYTES // 2**20} MiB of memory to read"
    )


async def _end(child: Process) -> None:
    """Let the child not outlive whoever waits for it."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def main() -> None:
    """Be the child: read standard input, and write the answer to standard output."""
    # Before there are limits: what they stop in the middle of an import says nothing sensible.
    import icalendar  # noqa: F401, PLC0415
    import recurring_ical_events  # type: ignore[import-untyped] # noqa: F401, PLC0415

    now, cpu_seconds, memory_bytes = sys.argv[1:]
    os.nice(_NICER)
    for kind, most in (
        (resource.RLIMIT_CPU, int(cpu_seconds)),
        (resource.RLIMIT_AS, int(memory_bytes)),
        (resource.RLIMIT_CORE, 0),
    ):
        # Not every system knows every limit; the clock outside always ends it.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))
    try:
        answer = _Answer(events=read(sys.stdin.buffer.read(), datetime.fromisoformat(now)))
    except Unreadable as error:
        answer = _Answer(error=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(answer))
