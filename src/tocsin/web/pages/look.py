"""How things look on a page: templates, and how times and spans are written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from tocsin import __version__
from tocsin.web.pages.remedies import remedy
from tocsin.web.pages.static import address_of

_SECONDS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))

#: What turns letters around.
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")


def render(template: str, **context: Any) -> str:
    """Fill in a template; ``visit`` is who it is for."""
    return environment().get_template(template).render(**context)


@cache
def environment() -> Environment:
    """Return what templates are read and filled in with. Everything is escaped."""
    made = Environment(
        loader=PackageLoader("tocsin.web.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "ago": ago,
        "at": at,
        "day": day,
        "clock": clock,
        "span": span,
        "pretty": pretty,
        "straight": straight,
        "plural": plural,
        "remedy": remedy,
    }
    made.globals |= {"static": address_of, "version": __version__, "csrf": csrf}
    return made


@pass_context
def csrf(context: Context) -> Markup:
    """Write the field that every form sends back."""
    return Markup('<input type="hidden" name="_csrf_token" value="{}">').format(
        context["visit"].csrf_token
    )


def span(length: timedelta | float) -> str:
    """Write a length of time in its two largest units: ``3 min 12 s``."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    left = max(0, round(seconds))
    parts = []
    for name, size in _SECONDS:
        if left >= size:
            parts.append(f"{left // size} {name}")
            left %= size
    return " ".join(parts[:2]) or "0 s"


def plural(count: int, one: str, many: str = "") -> str:
    """Write a number with its noun: ``1 incident``, ``1,204 incidents``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def pretty(text: str) -> str:
    """Return JSON indented, other text as it is."""
    try:
        return straight(json.dumps(json.loads(text), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        return straight(text)


def straight(text: str) -> str:
    """Write what turns letters around as JSON escapes it: a body reads as it came, in its order."""
    return _TURNS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def written(moment: datetime, visit: Any) -> str:
    """Write an instant in full, on the clock of whoever reads, with its zone."""
    local = moment.astimezone(visit.zone)
    return f"{local:%a %d %b %Y} {hands(local, visit)} {local:%Z}"


def hands(local: datetime, visit: Any) -> str:
    """Write the time of the day as they like it."""
    return f"{local:%H:%M:%S}" if visit.preferences.is_24h else f"{local:%I:%M:%S %p}".lstrip("0")


def _time(moment: datetime, text: str, visit: Any, kind: str) -> Markup:
    return Markup('<time datetime="{}" title="{}" data-{}>{}</time>').format(
        f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", written(moment, visit), kind, text
    )  # fmt: skip


def _filter(kind: str, text: Callable[[datetime, Any], str]) -> Callable[..., Markup | str]:
    """Return a filter that writes an instant as ``<time>``, with all of it as its title."""

    @pass_context
    def write(context: Context, moment: datetime | None) -> Markup | str:
        if moment is None:
            return ""
        return _time(moment, text(moment, context["visit"]), context["visit"], kind)

    return write


def _relative(moment: datetime, visit: Any) -> str:
    away = (moment - visit.now).total_seconds()
    if abs(away) < 5:
        return "now"
    return f"in {span(away)}" if away > 0 else f"{span(-away)} ago"


#: ``4 min ago``, ``in 3 min 12 s``; kept current by a script where there is one.
ago = _filter("ago", _relative)

#: ``Sat 21 Nov 2026 17:20:00 CET``.
at = _filter("at", written)

#: ``Sat 21 Nov``.
day = _filter("day", lambda moment, visit: f"{moment.astimezone(visit.zone):%a %d %b}")

#: ``17:20:00``.
clock = _filter("clock", lambda moment, visit: hands(moment.astimezone(visit.zone), visit))
