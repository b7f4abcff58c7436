"""Run the tests of faults and print one line for each, and one of JSON.

python -m tests.chaos [--quick | --full] [--seed N] [--only NAME] [--json FILE]
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
from collections.abc import Sequence
from pathlib import Path

from tests.chaos import paging, taking
from tests.chaos.rig import Postgres, Rig, commit_of, drop
from tests.chaos.verdict import Test, Verdict

ROOT = Path(__file__).resolve().parents[2]
TESTS = sorted(
    (*taking.TESTS, *paging.TESTS), key=lambda test: (int(test.name.strip("Rab")), test.name)
)

#: Programs that a test needs besides what is installed with the others.
NEEDS = {"R3a": "strace"}

#: A test that takes longer hangs.
MOST_SECONDS = {True: 240.0, False: 3_600.0}


async def run_one(test: Test, rig: Rig) -> dict[str, object]:
    """Run one test; return its line."""
    began, wrong = time.perf_counter(), ""
    try:
        async with asyncio.timeout(MOST_SECONDS[rig.is_quick]):
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


async def run_all(tests: Sequence[Test], *, is_quick: bool, seed: int) -> list[dict[str, object]]:
    """Run them one after the other, those that mostly wait beside the others."""
    folder = Path(tempfile.mkdtemp(prefix="tocsin-chaos-"))
    folder.chmod(0o755)  # noqa: ASYNC240 - once; the database may have a user of its own
    postgres: list[Postgres] = []

    async def rig(test: Test) -> Rig:
        # One that stops the database has it for itself.
        if not postgres or test.is_beside:
            place = folder / f"postgres-{len(postgres)}"
            place.mkdir()
            postgres.append(await asyncio.to_thread(Postgres, place))
        mine = postgres[-1] if test.is_beside else postgres[0]
        own = folder / test.name
        own.mkdir()
        return Rig(is_quick=is_quick, seed=seed, folder=own, postgres=mine)

    lines: list[dict[str, object]] = []
    try:
        first = [test for test in tests if not test.is_beside]
        if first:
            prepared = await rig(first[0])
        beside = [
            asyncio.create_task(run_one(test, await rig(test))) for test in tests if test.is_beside
        ]
        for test in first:
            needed = NEEDS.get(test.name)
            if needed and not shutil.which(needed):
                print(f"{test.name} skipped: there is no {needed} here", flush=True)
                continue
            lines.append(await run_one(test, prepared if test is first[0] else await rig(test)))
        lines += [await one for one in beside]
    finally:
        for one in postgres:
            await asyncio.to_thread(one.end)
        drop(folder)
    return lines


def main() -> int:
    """Read the options, run, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the published sizes")
    parser.add_argument("--quick", action="store_true", help="small sizes (the default)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--only", action="append", help="such as R4; may be given again")
    parser.add_argument("--json", type=Path, help="write the lines there too")
    options = parser.parse_args()
    tests = [
        test
        for test in TESTS
        if (options.full or not test.only_full or options.only)
        and (not options.only or test.name in options.only)
    ]
    began = time.perf_counter()
    lines = asyncio.run(run_all(tests, is_quick=not options.full, seed=options.seed))
    about = {
        "commit": commit_of(ROOT),
        "date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}",
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
    }
    lines = [{**line, **about} for line in sorted(lines, key=lambda line: str(line["name"]))]
    for line in lines:
        print(json.dumps(line))
    if options.json:
        options.json.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    failed = [str(line["name"]) for line in lines if not line["passed"]]
    took = time.perf_counter() - began
    print(f"{len(lines) - len(failed)} of {len(lines)} passed in {took:.0f} s, seed {options.seed}")
    return 1 if failed or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
