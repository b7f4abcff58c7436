"""A power cut, without one: what was written is known, and what of it a disk had to keep.

``strace`` writes down every write to the database and its log, and every sync. From that the files
are made as they would be after a cut: what was written before the last sync that ended is there; of
what was written after it, some pages are, some are not, and some are torn at a sector.
"""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.ledger import flood
from tests.chaos.rig import Rig, running, until
from tests.chaos.taking import QUIET, WARNING
from tests.chaos.verdict import Test, Verdict

SECTOR = 512

#: Calls whose data counts; the data is in full, in hexadecimal.
STRACE = (
    "strace", "-D", "-f", "--seccomp-bpf", "-ttt", "-y", "-xx", "-s", "1000000", "-e",
    "trace=pwrite64,pwritev,write,ftruncate,fdatasync,fsync,unlink,rename,renameat,unlinkat",
)  # fmt: skip

_LINE = re.compile(r"(?P<thread>\d+) +(?P<at>\d+\.\d+) (?P<what>.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(?P<rest>.*)")
_CALL = re.compile(r"(?P<name>\w+)\((?:\d+<(?P<path>[^>]*)>)?(?P<rest>.*)\) += (?P<result>-?\d+)")
_DATA = re.compile(r', "(?P<data>[^"]*)", (?P<size>\d+)(?:, (?P<offset>\d+))?$')


@dataclass(frozen=True, slots=True)
class Call:
    """A call that changed or synced a file."""

    file: str
    began: float
    ended: float
    name: str
    offset: int = 0
    data: bytes = b""


def calls(trace: Path, files: Mapping[str, str]) -> list[Call]:
    """Read the calls about some files, given by path, in the order in which they ended."""
    found, begun = list[Call](), dict[str, tuple[float, str]]()
    for line in trace.open("r", encoding="ascii", errors="replace"):
        if not (split := _LINE.match(line.rstrip())):
            continue
        thread, at, what = split["thread"], float(split["at"]), split["what"]
        began = at
        if what.endswith("<unfinished ...>"):
            begun[thread] = at, what.removesuffix("<unfinished ...>").rstrip()
            continue
        if resumed := _RESUMED.match(what):
            began, first = begun.pop(thread)
            what = first + resumed["rest"]
        call = _CALL.match(what)
        if call is None or int(call["result"]) < 0:
            continue
        path = _plain(call["path"] or "")
        if path in files:
            found.append(_call(files[path], began, at, call))
        elif not path and any(f'"{name}"' in _plain(call["rest"]) for name in files):
            raise AssertionError(f"a file of the database was moved or removed: {what[:200]}")
    return found


def _plain(text: str) -> str:
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), text)


def _call(file: str, began: float, ended: float, call: re.Match[str]) -> Call:
    name, rest = call["name"], call["rest"]
    if name in {"fdatasync", "fsync"}:
        return Call(file, began, ended, "sync")
    if name == "ftruncate":
        return Call(file, began, ended, "truncate", int(rest.removeprefix(", ")))
    data = _DATA.match(rest)
    if name != "pwrite64" or data is None or data["offset"] is None:
        raise AssertionError(f"SQLite wrote in a way that is not understood: {name}{rest[:100]}")
    written = bytes.fromhex(data["data"].replace("\\x", ""))
    assert len(written) == int(data["size"]) == int(call["result"]), "a write is not whole"
    return Call(file, began, ended, "write", int(data["offset"]), written)


@dataclass
class Disk:
    """What a disk has to have of a file, and what it may have."""

    kept: bytearray
    pending: list[Call] = field(default_factory=list)

    def sync(self, sync: Call) -> None:
        """Keep all that was written before a sync began."""
        before = [call for call in self.pending if call.ended <= sync.began]
        for call in before:
            _apply(self.kept, call, None)
        self.pending = [call for call in self.pending if call.ended > sync.began]

    def cut(self, draw: random.Random) -> bytearray:
        """Return what is there after a cut."""
        content = bytearray(self.kept)
        share = draw.random()
        for call in self.pending:
            luck = draw.random()
            if luck < share:
                _apply(content, call, draw if luck < share / 4 else None)
        return content


def _apply(content: bytearray, call: Call, draw: random.Random | None) -> None:
    """Write a call into a file, all of it or, by ``draw``, some of its sectors."""
    if call.name == "truncate":
        del content[call.offset :]
        content.extend(bytes(call.offset - len(content)))
        return
    at = 0
    while at < len(call.data):
        size = min(SECTOR - (call.offset + at) % SECTOR, len(call.data) - at)
        if draw is None or draw.random() < 0.5:
            place = call.offset + at
            content.extend(bytes(max(0, place + size - len(content))))
            content[place : place + size] = call.data[at : at + size]
        at += size


def cuts(
    made: list[Call], base: Mapping[str, bytes], moments: list[float], draw: random.Random
) -> Iterator[tuple[float, Mapping[str, bytearray]]]:
    """Yield the files as they would be after a cut at each of these moments."""
    disks = {file: Disk(bytearray(content)) for file, content in base.items()}
    # A write may be on the disk from when it began; a sync counts from when it ended.
    happened = sorted(
        ((call.ended if call.name == "sync" else call.began), at) for at, call in enumerate(made)
    )
    at = 0
    for moment in sorted(moments):
        while at < len(happened) and happened[at][0] <= moment:
            call = made[happened[at][1]]
            disk = disks[call.file]
            disk.sync(call) if call.name == "sync" else disk.pending.append(call)
            at += 1
        yield moment, {file: disk.cut(draw) for file, disk in disks.items()}


def survived(files: Mapping[str, bytearray], folder: Path) -> tuple[bool, set[str]]:
    """Open the files as SQLite would after the cut: whether all is well, and which issues."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file, content in files.items():
        (folder / file).write_bytes(content)
    connection = sqlite3.connect(folder / "tocsin.db")
    try:
        is_whole = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT dedup_key FROM deliveries")
        return is_whole, {str(row[0]).rpartition(":")[2] for row in rows}
    except sqlite3.DatabaseError:
        return False, set()
    finally:
        connection.close()


async def cut(rig: Rig) -> Verdict:
    """R3, by the files as they would be after a cut."""
    verdict, count = Verdict(), rig.size(50, 1_000)
    tocsin = await rig.fresh("sqlite", QUIET.format(base="http://127.0.0.1:9"))
    path = Path(tocsin.environment["TOCSIN_DATABASE_URL"].removeprefix("sqlite:///"))
    files = {str(path): path.name, f"{path}-wal": f"{path.name}-wal"}
    base = {name: _content(Path(file)) for file, name in files.items()}
    trace = rig.folder / "trace"
    only = (part for file in files for part in ("-P", file))
    tocsin.under = (*STRACE, "-o", str(trace), *only, "--")
    async with running(tocsin):
        issues = map(str, range(rig.size(300, 1_500)))
        ledger = await flood(tocsin.port, WARNING, issues, connections=8)
    await until(lambda: b"+++ killed" in _content(trace)[-1_000:], "the end of the trace")
    made = calls(trace, files)
    ahead = time.time() - time.perf_counter()
    heard = {issue: at + ahead for issue, at in ledger.accepted.items()}
    # Half of them right after an answer, when there is the most to lose.
    moments = rig.random.choices(list(heard.values()), k=count // 2)
    moments += [
        rig.random.uniform(min(heard.values()), max(heard.values())) for _ in range(count // 2)
    ]

    def tried(made: list[Call], moments: list[float]) -> tuple[int, int]:
        lost = damaged = 0
        for moment, there in cuts(made, base, moments, rig.random):
            is_whole, found = survived(there, rig.folder / "after")
            damaged += not is_whole
            lost += len({issue for issue, at in heard.items() if at <= moment} - found)
        return lost, damaged

    lost, damaged = await asyncio.to_thread(tried, made, moments)
    # The same on a disk that does not sync: if nothing is lost there, this test shows nothing.
    unsynced = [call for call in made if call.name != "sync"]
    control, _ = await asyncio.to_thread(tried, unsynced, moments[: max(10, count // 50)])
    writes = sum(call.name == "write" for call in made)
    verdict.note(
        accepted=len(heard), cuts=len(moments), writes=writes, syncs=len(made) - len(unsynced),
        missing=lost, damaged=damaged, missing_if_the_disk_did_not_sync=control,
    )  # fmt: skip
    verdict.must(not ledger.others, f"answers that were no 202: {dict(ledger.others)}")
    verdict.must(lost == 0, "accepted, and not there after a cut")
    verdict.must(damaged == 0, "the database is damaged after a cut")
    verdict.must(control > 0, "without syncs nothing is missing either")
    return verdict


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


TESTS = (
    Test("R3b", "the files as they are after a power cut (strace)", ("G1", "G3"), cut,
         only_full=True, needs="strace"),
)  # fmt: skip
