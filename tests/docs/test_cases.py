"""Every on-call case is a test that bears its id."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent

#: Group to the numbers of its first and last case.
CASES = {"a": (0, 12), "b": (1, 9), "c": (1, 15), "d": (1, 6)}


def named() -> set[str]:
    """Return the ids that tests bear in their names."""
    pattern = re.compile(r"def test_([a-d]\d{1,2})_")
    return {id_ for path in TESTS.rglob("test_*.py") for id_ in pattern.findall(path.read_text())}


def test_every_case_is_a_test_that_bears_its_id():
    wanted = {
        f"{group}{number}"
        for group, (first, last) in CASES.items()
        for number in range(first, last + 1)
    }
    assert len(wanted) == 43
    assert named() == wanted


def test_the_cases_are_those_that_were_written_down(shared: Path):
    text = (shared / "cases" / "oncall-cases.md").read_text("utf-8")
    written = {id_.lower() for id_ in re.findall(r"^### ([A-D]\d{1,2}) ", text, flags=re.MULTILINE)}
    assert named() == written
