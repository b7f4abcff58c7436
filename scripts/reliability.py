"""Make docs/reliability.md from the lines that `python -m tests.chaos --json FILE` wrote.

python scripts/reliability.py FILE
"""

# ruff: noqa: ISC004 - the pairs are plain to see
from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reliability.md"

#: What is promised, and what shows it besides the tests of faults.
GUARANTEES: Mapping[str, tuple[str, str]] = {
    "G1": ("A 202 means that the body is on at least one disk, synced. Never before.", ""),
    "G2": ("Sentry's second is kept, also while PostgreSQL is away.", ""),
    "G3": (
        "What was accepted is never lost: by a kill, a restart, a full disk, or the database.",
        "[kills](../tests/processes/test_processes.py), [spool](../tests/store/test_spool.py), "
        "[group commit](../tests/web/test_commit.py), [disk](../tests/store/test_room.py), "
        "[backups](../tests/store/test_backup.py)",
    ),
    "G4": (
        "One incident for each integration, dedup key and open period, however often it is sent.",
        "[the model](../tests/scenarios/test_machine.py)",
    ),
    "G5": (
        "Each page that is due is attempted at least once; without faults exactly once. "
        "No more go out again than were in flight, by the same id.",
        "[leases](../tests/scenarios/test_outbox.py)",
    ),
    "G6": (
        "From the webhook to the first call of a provider: half of them within 300 ms, 99 % "
        "within 2 s at 50 events a second.",
        "[measured](performance.md)",
    ),
    "G7": (
        "A dead provider never delays another by more than a second.",
        "[names](../tests/contracts/test_guard.py)",
    ),
    "G8": (
        "No page is begun after an acknowledgement.",
        "[races](../tests/scenarios/test_races.py)",
    ),
    "G9": (
        "No input makes Tocsin answer 500, and none costs more than a second.",
        "[hostile bodies](../tests/web/test_hostile.py)",
    ),
    "G10": (
        "When Tocsin cannot page, it tells somebody, and tells nobody outside that all is well.",
        "[the auditor](../tests/scenarios/test_auditor.py)",
    ),
}

HEAD = """\
# Reliability

<!-- Made by scripts/reliability.py from what `make chaos-full` wrote; change it there. -->

What Tocsin promises, which test shows it, and the figures of its last run. The tests kill and
freeze real processes, stop and start a real PostgreSQL that syncs as it should, cut connections
between a `COMMIT` and its answer, and compare what clients were told with what is in the database
afterwards.

`make chaos` runs the quick set, in four minutes at most and without any privilege, beside whatever
else the machine does: there only counts fail (lost, twice, missed, not 202), and what takes twenty
times as long as it may. `make chaos-full` runs all of it at full size, with the limits in seconds,
on a machine that does nothing else; for `strace` and a small disk it has to be root. Both print one
line for each test, and take `CHAOS="--only R4 --seed 7"`. The tests are in
[tests/chaos](../tests/chaos/__main__.py).

What is behind it is told in [keep it running](how-to/keep-it-running.md).
"""


def main() -> None:
    """Write the page."""
    lines = map(json.loads, Path(sys.argv[1]).read_text("utf-8").splitlines())
    # Of a test that was run twice the last one counts.
    PAGE.write_text(page({line["name"]: line for line in lines}.values()), "utf-8")


def page(lines: Iterable[Mapping[str, Any]]) -> str:
    """Return the page."""
    found = sorted(lines, key=lambda line: (int(line["name"].strip("Rab")), line["name"]))
    return "\n".join((HEAD, "\n".join(_promises()), "", "\n".join(_figures(found)), ""))


def _promises() -> Iterable[str]:
    yield "## What is promised\n"
    yield "| | Promise | Shown by |"
    yield "|---|---|---|"
    for name, (text, more) in GUARANTEES.items():
        tests = [test.name for test in _all_tests() if name in test.guarantees]
        yield f"| {name} | {text} | {', '.join([*tests, *([more] if more else [])])} |"


def _figures(lines: list[Mapping[str, Any]]) -> Iterable[str]:
    yield "## What was measured\n"
    when = sorted({f"{line['date']} at {line['commit']}" for line in lines})
    machines = sorted({line["machine"] for line in lines})
    yield (
        f"Measured {'; '.join(when)}. Machine: {'; '.join(machines)}, which the clients, the"
        " providers and the databases share.\n"
    )
    yield "| Test | What is done | Size | Figures | Result | Seed |"
    yield "|---|---|---|---|---|---|"
    for line in lines:
        figures = ", ".join(
            f"{name.replace('_', ' ')} {_value(value)}" for name, value in line["figures"].items()
        )
        result = "passes" if line["passed"] else f"**fails**: {'; '.join(line['wrong'])}"
        what = f"{line['title']} | {line['profile']}"
        yield f"| {line['name']} | {what} | {figures} | {result} | {line['seed']} |"
    there = {line["name"] for line in lines}
    missing = [f"{test.name} ({test.title})" for test in _all_tests() if test.name not in there]
    if missing:
        yield f"\nNot in this run: {'; '.join(missing)}."


def _all_tests() -> Sequence[Any]:
    sys.path.insert(0, str(ROOT))
    from tests.chaos.__main__ import TESTS

    return TESTS


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int | float) else str(value)


if __name__ == "__main__":
    main()
