"""Draw docs/demo.svg: run the demo for one round and keep its last screen.

.venv/bin/python scripts/picture.py
"""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console

from tocsin.cli.demo.screen import drawing
from tocsin.cli.demo.stage import run_demo

TARGET = Path(__file__).resolve().parent.parent / "docs" / "demo.svg"


def main() -> None:
    """Run, draw, keep."""
    show = run_demo(22)
    with Path("/dev/null").open("w") as nowhere:
        console = Console(record=True, width=104, file=nowhere, force_terminal=True)
        console.print(drawing(show))
        svg = console.export_svg(title="make demo")
    # The picture fetches nothing: a font that is there is good enough.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = re.sub(r"tocsin_\w{20,}", "tocsin_…", svg)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    TARGET.write_text(svg.replace("Fira Code", "ui-monospace"), "utf-8")


if __name__ == "__main__":
    main()
