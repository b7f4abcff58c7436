"""What is seen of the demo: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tocsin.cli.demo.show import Show

#: The steps that are seen at once, and the lines of a step that is under way.
_STEPS = 9
_DETAILS = 4

_COLOURS = {
    "triggered": "red",
    "acknowledged": "yellow",
    "resolved": "green",
    "rejected": "magenta",
    "unrecognised": "magenta",
}


def _coloured(word: str | None) -> Text:
    return Text(word or "", style=_COLOURS.get(word or "", ""))


class Screen:
    """The live table of a terminal."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *_exc: object) -> None:
        self._live.stop()

    def update(self, show: Show) -> None:
        """Draw what has happened so far."""
        self._live.update(drawing(show), refresh=True)


def drawing(show: Show) -> RenderableType:
    """Draw what has happened so far."""
    deliveries = Table(
        "delivery", "what Sentry sent", "answer", "became", "incident", "why", box=None
    )
    numbers = {one.id: f"#{one.number}" for one in show.incidents}
    for one in show.deliveries:
        deliveries.add_row(
            f"{one.received_at:%H:%M:%S}",
            f"{one.resource or '?'}.{one.action or ''}".rstrip("."),
            str(one.http_status),
            _coloured(one.became),
            numbers.get(one.incident_id or "", ""),
            Text(one.reason or "", style="dim", no_wrap=True, overflow="ellipsis"),
        )
    incidents = Table("incident", "status", "severity", "seen", "title", box=None)
    for incident in show.incidents:
        incidents.add_row(
            f"#{incident.number}",
            _coloured(incident.status),
            incident.severity,
            str(incident.occurrence_count),
            Text(incident.title, no_wrap=True, overflow="ellipsis"),
        )
    pages = Table("page", "to", "what", "about", box=None)
    for row in show.pages[-6:]:
        pages.add_row(*row)
    head = Text(f"{show.scene}", style="bold")
    return Group(head, _help(show), "", _steps(show), "", deliveries, "", incidents, "", pages)


_STATES = {"doing": ("…", "yellow"), "done": ("✓", "green"), "failed": ("✗", "red")}


def _steps(show: Show) -> RenderableType:
    """Draw the steps both ways; what one did on its way only as long as it lasts."""
    rows = Table.grid(padding=(0, 1))
    for step in show.steps[-_STEPS:]:
        sign, style = _STATES[step.state]
        rows.add_row(Text(sign, style), Text(step.line))
        for line in step.details[-_DETAILS:] if step.state == "doing" else ():
            rows.add_row("", Text(line, "dim", no_wrap=True, overflow="ellipsis"))
    return rows


def _help(show: Show) -> Text:
    return Text(
        f"Page: {show.base}  sign in: ann@example.com  password: {show.password}\n"
        f"API: {show.base}/api/v1/incidents  key: {show.api_key}  end: Ctrl-C",
        style="dim",
        no_wrap=True,
    )


class Lines:
    """One line per thing, where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_begun = False
        self._steps = 0
        self._details = 0
        self._sent = 0
        self._answers = 0
        self._pages = 0
        self._became: dict[str, str] = {}

    def __enter__(self) -> None:
        """Nothing has to be begun."""

    def __exit__(self, *_exc: object) -> None:
        """Nor ended."""

    def update(self, show: Show) -> None:
        """Print what has happened since."""
        if not self._is_begun:
            self._say(_help(show).plain)
            self._is_begun = True
        for hook in show.sent[self._sent :]:
            status = "dropped on purpose" if hook.was_dropped else hook.status
            self._say(f"sentry   webhook {hook.what}: {status}")
            self._sent += 1
        for says, answer, _ in show.answers[self._answers :]:
            self._say(f"sentry   {says}: {answer.status} in {answer.seconds * 1000:.0f} ms")
            self._answers += 1
        for one in reversed(show.deliveries):
            became = one.became
            if became != "accepted" and self._became.get(one.id) != became:
                self._became[one.id] = became
                self._say(f"delivery {one.resource or '?'} {one.action or ''} became {became}")
        for at, who, kind, about in show.pages[self._pages :]:
            self._say(f"phone    {who}: {kind} {about} at {at}")
            self._pages += 1
        self._say_steps(show)

    def _say_steps(self, show: Show) -> None:
        for number, step in enumerate(show.steps[self._steps :], self._steps + 1):
            for line in step.details[self._details :]:
                self._say(f"connect  {line}")
                self._details += 1
            if number > show.settled:
                return
            self._steps, self._details = number, 0
            self._say(f"step {number}   {step.line}")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def say_goodbye(show: Show) -> None:
    """Count it all, and say what was not as it had to be."""
    pages = sum(kind == "page" for _, _, kind, _ in show.pages)
    resolved = sum(one.status == "resolved" for one in show.incidents)
    print(
        f"{len(show.answers) + sum(not one.was_dropped for one in show.sent)} webhooks sent,"
        f" {len(show.incidents)} incidents shown"
        f" ({resolved} resolved), {pages} pages rang"
    )
    for step in show.steps:
        if step.state == "failed":
            print(step.line, file=sys.stderr)
    for one in show.sent:
        if not one.is_right:
            print(f"wrong answer to the webhook {one.what}: {one.status}", file=sys.stderr)
    for says, answer, right in show.answers:
        if not right:
            said = answer.body.decode(errors="replace")[:200]
            print(f"wrong answer to “{says}”: {answer.status} {said}", file=sys.stderr)
