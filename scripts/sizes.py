"""Fail on a source file over 600 lines or a function over 60; print the largest of each."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_FILE = 600
MAX_FUNCTION = 60
ROOT = Path(__file__).resolve().parent.parent


def functions(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the length and place of every function in a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            yield length, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def main() -> int:
    """Measure; return the exit code."""
    paths = [
        path
        for path in sorted((ROOT / "src").rglob("*.py"))
        if "versions" not in path.parts and path.name != "tables.py"
    ]
    files = sorted(((len(path.read_text("utf-8").splitlines()), str(path.relative_to(ROOT)))
                    for path in paths), reverse=True)  # fmt: skip
    found = sorted((one for path in paths for one in functions(path)), reverse=True)
    long = [one for one in files if one[0] > MAX_FILE] + [o for o in found if o[0] > MAX_FUNCTION]
    for lines, name in long:
        print(f"too long: {name} has {lines} lines", file=sys.stderr)
    print(f"largest: {files[0][1]} {files[0][0]}, {found[0][1]} {found[0][0]} lines")
    return 1 if long else 0


if __name__ == "__main__":
    sys.exit(main())
