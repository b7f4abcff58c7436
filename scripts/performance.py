"""Make docs/performance.md and its plots from the figures that `make bench-full` wrote.

python scripts/performance.py FILE
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.figures import Figure, Line

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "pictures"

#: The part of the page that is made; what is around it is written.
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"

#: Title of a benchmark to what is measured.
PARTS: Mapping[str, str] = {
    "webhooks accepted": (
        "Each on disk before its 202, beside the same server answering 202 without storage in the"
        " same run. Bodies are Sentry-shaped and signed; two cores are shared with the load"
        " generator; the worker runs beside and processes what comes in."
    ),
    "storms": (
        "From end to end: accepted, understood, an incident, a page queued. A row counts until"
        " nothing waits any more, so that its processor time, database included, is that of the"
        " whole way."
    ),
    "on call": "Shifts, steps that are due at one instant, and the way from a webhook to a page.",
    "the web page": (
        "Pages and lists of a long history, and 200 browsers that look on while webhooks come in."
    ),
    "growth": "What an event costs as the history, or what is open, grows; and while old rows go.",
}

_PAIR = re.compile(r"([0-9,]+): ([0-9.]+) ms")
_COLOURS = ("#0f62fe", "#9f1853", "#198038", "#b28600")
_WIDE, _HIGH, _LEFT, _LOW = 640, 300, 60, 50


def main() -> int:
    """Write the tables, and a plot for each figure that was measured at several sizes."""
    lines = [
        msgspec.json.decode(line, type=Line) for line in Path(sys.argv[1]).read_bytes().splitlines()
    ]
    parts: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        parts[line.benchmark].append(line)
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    made = "\n\n".join(_part(title, parts[title]) for title in PARTS if title in parts)
    PAGE.write_text(f"{head}{BEGIN}\n\n{made}\n\n{END}{tail}")
    print(PAGE.relative_to(ROOT))
    return 0


def _part(title: str, lines: Sequence[Line]) -> str:
    first = lines[0]
    size = "full size" if first.is_full else "scaled down"
    rows = [
        f"| {one.figure.what} | {one.figure.storage} | {one.figure.got} | {one.figure.wanted} |"
        f" {'met' if one.figure.is_met else 'missed'} |"
        for one in lines
    ]
    table = "\n".join(["| what | storage | measured | wanted | |", "|---|---|---|---|---|", *rows])
    plots = "".join(_plots([one.figure for one in lines]))
    return (
        f"## {title[0].upper()}{title[1:]}\n\n{PARTS[title]} ({first.date}, {size};"
        f" {first.machine}.)\n\n{table}{plots}"
    )


def _plots(figures: Sequence[Figure]) -> list[str]:
    series: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(dict)
    for figure in figures:
        points = [(int(size.replace(",", "")), float(ms)) for size, ms in _PAIR.findall(figure.got)]
        if len(points) > 1:
            series[figure.what][figure.storage] = points
    links = []
    for what, lines in series.items():
        path = PLOTS / f"growth-{re.sub('[^a-z0-9]+', '-', what)}.svg"
        path.write_text(plot(what, lines))
        links.append(f"\n\n![{what}, in milliseconds]({path.relative_to(PAGE.parent)})")
    return links


def plot(title: str, lines: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Draw lines over sizes, each ten times the one before it, as an SVG document."""
    sizes = sorted({size for points in lines.values() for size, _ in points})
    most = max(value for points in lines.values() for _, value in points) * 1.2
    across = (_WIDE - 2 * _LEFT) / max(1, len(sizes) - 1)
    place = {size: _LEFT + across * at for at, size in enumerate(sizes)}

    def high(value: float) -> float:
        return _HIGH - _LOW - (_HIGH - 2 * _LOW) * value / most

    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {_HIGH}"'
    parts = [
        f'{head} font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDE}" height="{_HIGH}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="24" font-size="15">{title}, ms</text>',
    ]
    for value in (0.0, most / 2, most):
        parts.append(
            f'<path d="M{_LEFT} {high(value):.1f}H{_WIDE - _LEFT}" stroke="#ddd"/>'
            f'<text x="{_LEFT - 6}" y="{high(value) + 4:.1f}" text-anchor="end">{value:.1f}</text>'
        )
    for size, x in place.items():
        label = f'<text x="{x:.1f}" y="{_HIGH - _LOW + 20}" text-anchor="middle">{size:,}</text>'
        parts.append(label)
    for number, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        way = " ".join(f"{place[size]:.1f},{high(value):.1f}" for size, value in points)
        parts.append(
            f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>'
            f'<text x="{_LEFT + 120 * number}" y="{_HIGH - 8}" fill="{colour}">{name}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


if __name__ == "__main__":
    sys.exit(main())
