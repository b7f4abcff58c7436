"""Run the tests of faults and print one line for each, and one of JSON.

python -m tests.chaos [--quick | --full] [--seed N] [--only NAME] [--soak-minutes N] [--json FILE]

Of the quick set only counts fail (lost, twice, missed, not 202), and what takes many times as long
as it may: the machine may be slow, and do other things. The full set has its limits in seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import os
import platform
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.chaos import paging, powercut, soak, taking
from tests.chaos.rig import Postgres, Rig, commit_of, drop
from tests.chaos.verdict import Test, Verdict

ROOT = Path(__file__).resolve().parents[2]
TESTS = sorted(
    (*taking.TESTS, *powercut.TESTS, *paging.TESTS, *soak.TESTS),
    key=lambda test: (int(test.name.strip("Rab")), test.name),
)

#: The row of what mostly waits.
WAITS = 2

#: What is told of a test.
Line = dict[str, object]

#: A test that takes longer hangs.
MOST_SECONDS = {True: 240.0, False: 3_600.0}

#: Threads in which is waited: more than all that wait at once.
THREADS = 64


async def run_one(test: Test, rig: Rig) -> Line:
    """Run one test; return its line."""
    began, wrong = time.perf_counter(), ""
    try:
        most = MOST_SECONDS[rig.is_quick] + (60 * rig.soak_minutes if test.name == "R15" else 0)
        async with asyncio.timeout(most):
            verdict = await test.run(rig)
    except (Exception, TimeoutError) as error:  # noqa: BLE001 - it failed; the others go on
        verdict = Verdict()
        traceback.print_exc()
        wrong = f"{type(error).__name__}: {error}"[:500]
    finally:
        rig.clear()
    reasons = [*verdict.wrong, *([wrong] if wrong else [])]
    seconds = time.perf_counter() - began
    named = verdict.figures.items()
    figures = " ".join(f"{name.replace(' ', '.')}={value}" for name, value in named)
    print(f"{test.name} {figures} {'FAIL' if reasons else 'PASS'} ({seconds:.0f} s)", flush=True)
    for reason in reasons:
        print(f"    {reason}", flush=True)
    return {
        "name": test.name, "title": test.title, "guarantees": test.guarantees,
        "figures": verdict.figures, "passed": not reasons, "wrong": reasons,
        "seconds": round(seconds, 1), "seed": rig.seed,
        "profile": "quick" if rig.is_quick else "full",
    }  # fmt: skip


def left_out(test: Test, *, is_quick: bool) -> str:
    """Say why a test does not run here; empty if it does."""
    if test.needs and not shutil.which(test.needs):
        return f"there is no {test.needs} here"
    if test.needs == "mount" and os.geteuid():
        return "it mounts a small disk, which only root may"
    return "it is part of the full set" if is_quick and test.only_full else ""


async def run_all(
    tests: Sequence[Test],
    *,
    is_quick: bool,
    seed: int,
    soak_minutes: float,
    told: Callable[[Line], None],
) -> list[Line]:
    """Run them in rows beside each other; at full size only what mostly waits is beside.

    Each line is ``told`` as soon as it is there: what a run that is cut off has shown stays shown.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    folder = Path(tempfile.mkdtemp(prefix="tocsin-chaos-"))
    folder.chmod(0o755)  # noqa: ASYNC240 - once; the database may have a user of its own
    rows: dict[int, list[Test]] = defaultdict(list)
    for test in tests:
        rows[test.row if is_quick or test.row == WAITS else 0].append(test)
    # A test of the first row may stop the database: what runs beside it has another.
    postgres = {
        kind: await asyncio.to_thread(Postgres, _folder(folder, f"postgres-{kind}"))
        for kind in sorted({bool(row) for row in rows})
    }

    async def run_row(row: int) -> list[Line]:
        lines = []
        for test in rows[row]:
            rig = Rig(
                is_quick=is_quick,
                seed=seed,
                folder=_folder(folder, test.name),
                postgres=postgres[bool(row)],
                soak_minutes=soak_minutes,
            )
            lines.append(await run_one(test, rig))
            told(lines[-1])
        return lines

    try:
        lines = await asyncio.gather(*map(run_row, sorted(rows)))
    finally:
        for one in postgres.values():
            await asyncio.to_thread(one.end)
        drop(folder)
    return [line for row in lines for line in row]


def _folder(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made


def main() -> int:
    """Read the options, run, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the published sizes")
    parser.add_argument("--quick", action="store_true", help="small sizes (the default)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--only", action="append", help="such as R4; may be given again")
    parser.add_argument("--soak-minutes", type=float, default=30.0, help="how long R15 takes (30)")
    parser.add_argument("--json", type=Path, help="add each line there as it comes")
    options = parser.parse_args()
    tests = []
    for test in TESTS:
        is_asked = not options.only or test.name in options.only
        why = left_out(test, is_quick=not options.full and not options.only)
        if is_asked and not why:
            tests.append(test)
        elif is_asked:
            print(f"{test.name} left out ({test.title}): {why}", flush=True)
    began = time.perf_counter()
    about = {
        "commit": commit_of(ROOT),
        "date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}",
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
    }

    def told(line: Line) -> None:
        said = json.dumps({**line, **about})
        print(said, flush=True)
        if options.json:
            with options.json.open("a", encoding="utf-8") as file:
                file.write(f"{said}\n")

    running = run_all(
        tests,
        is_quick=not options.full,
        seed=options.seed,
        soak_minutes=options.soak_minutes,
        told=told,
    )
    lines = asyncio.run(running)
    failed = [str(line["name"]) for line in lines if not line["passed"]]
    took = time.perf_counter() - began
    print(f"{len(lines) - len(failed)} of {len(lines)} passed in {took:.0f} s, seed {options.seed}")
    return 1 if failed or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
