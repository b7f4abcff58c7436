"""What ``tocsin sentry`` does: step by step, each shown while it is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tocsin.boot import Store, now, open_store, sentry_asker
from tocsin.cli.daily import me
from tocsin.cli.output import print_json, say
from tocsin.config import Settings, load
from tocsin.core.access import Caller
from tocsin.sentry.client import SentryError, host_of
from tocsin.sentry.place import token_of
from tocsin.store.views import DeliveryView
from tocsin.work.connect import Ask, Connector, Untested
from tocsin.work.connected import Connections, Undoing
from tocsin.work.connectplan import Here, Missing, Plan, There, Wish

#: Servers look at the configuration twice a second: by then they know the client secret.
_SEEN_WITHIN = 1.0

_LOOK_EVERY = 0.2

_SIGNS = {"done": ("✓", "green"), "doing": ("…", "yellow"), "failed": ("✗", "red"),
          "waiting": ("·", "dim")}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for on the command line."""

    organization: str
    host: str
    projects: tuple[str, ...]
    integration: str
    service: str | None
    own_token_file: str | None
    tests: bool
    wait: int


@dataclass(slots=True)
class Row:
    """One line of the display."""

    key: str
    text: str
    #: ``waiting``, ``doing``, ``done`` or ``failed``.
    state: str = "waiting"
    said: str = ""


class Display:
    """Rows that change while people look; where nobody does, a line as each is settled."""

    def __init__(self, *, is_quiet: bool) -> None:
        """Show on a terminal, print into a pipe, or keep quiet for JSON."""
        self.rows: list[Row] = []
        self._is_quiet = is_quiet
        self._is_live = sys.stdout.isatty() and not is_quiet
        self._live = Live(console=Console(highlight=False), auto_refresh=False)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show, as long as it lasts."""
        if not self._is_live:
            yield
            return
        with self._live:
            yield

    def plan(self, rows: Sequence[Row]) -> None:
        """Show these rows."""
        self.rows = list(rows)
        self._draw()

    def tell(self, key: str, state: str, said: str = "", *, text: str = "") -> None:
        """Say how far one has come; with ``text``, in other words than before."""
        row = next(one for one in self.rows if one.key == key)
        row.state, row.said, row.text = state, said, text or row.text
        if not self._is_live and not self._is_quiet and state in ("done", "failed"):
            sign = _SIGNS[state][0]
            say(f"{sign} {row.text}" + (f": {said}" if said else ""))
        self._draw()

    def _draw(self) -> None:
        if not self._is_live:
            return
        table = Table.grid(padding=(0, 1))
        for row in self.rows:
            sign, style = _SIGNS[row.state]
            table.add_row(Text(sign, style), Text(row.text), Text(row.said, "dim"))
        self._live.update(table, refresh=True)


@contextmanager
def _opened() -> Iterator[tuple[Settings, Store, Ask]]:
    settings = load()
    store = open_store(settings)
    try:
        with sentry_asker(settings) as ask:
            yield settings, store, ask
    finally:
        store.close()


def _read_token(path: str) -> str:
    """Read a token from a file, or from the standard input. Raises typer.BadParameter."""
    try:
        return _checked(sys.stdin.read() if path == "-" else Path(path).read_text("utf-8"))
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{path} holds no token: it is no text") from None


def _checked(token: str) -> str:
    try:
        return token_of(token)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _token(settings: Settings, token: str | None, token_file: str | None) -> str | None:
    """Return the token that was given, in whichever way. Raises typer.BadParameter."""
    if token and token_file:
        raise typer.BadParameter("say only one of --token and --token-file")
    if token_file and not token:
        return _read_token(token_file)
    found = token or settings.sentry_token
    return _checked(found) if found else None


# -- connect --------------------------------------------------------------------------------------


def connect_sentry(
    options: Options,
    token: str | None,
    token_file: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Connect, showing each step; exit 1 with what to do where it does not work."""
    with _opened() as (settings, store, ask):
        found = _token(settings, token, token_file)
        if found is None:
            raise typer.BadParameter(
                "give a token: by TOCSIN_SENTRY_TOKEN, --token-file or --token",
                param_hint="--token",
            )
        wish = _wish(options, found)
        connector = Connector(store.database, store.plans, store.vault, settings.public_url, ask)
        display = Display(is_quiet=as_json)
        run = Run(connector, wish, me(), display, as_json=as_json, wait=options.wait)
        if dry_run:
            run.say_plan()
        else:
            run.go()
        run.end()


def _wish(options: Options, token: str) -> Wish:
    try:
        host = host_of(options.host)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--host") from None
    own = _read_token(options.own_token_file) if options.own_token_file else None
    return Wish(
        integration=options.integration,
        service=options.service,
        host=host,
        organization=options.organization,
        token=token,
        own_token=own,
        projects=options.projects,
        tests=options.tests,
    )


@dataclass(slots=True)
class Run:
    """One run of ``connect``."""

    connector: Connector
    wish: Wish
    caller: Caller
    display: Display
    wait: int
    as_json: bool = False
    clock: Callable[[], datetime] = now
    sleep: Callable[[float], None] = time.sleep
    plan: Plan = field(default_factory=lambda: Plan(steps=()))
    failed: str = ""
    remedy: tuple[str, ...] = ()
    heard: DeliveryView | None = None
    is_dry: bool = False

    def _look(self) -> tuple[Here, There]:
        here = self.connector.here(self.wish, self.caller)
        there = self.connector.look(self.wish, here)
        self.plan = self.connector.plan(self.wish, here, there)
        return here, there

    def say_plan(self) -> None:
        """Print what would be done."""
        self.is_dry = True
        self._look()
        if self.as_json or self.plan.missing:
            return
        for step in self.plan.steps:
            say(f"= {step.done}" if step.is_done else f"{step.sign} {step.text}")
        count = len(self.plan.left)
        steps = f"{count} {'step' if count == 1 else 'steps'}"
        say(f"{steps} would be done" if count else "nothing is left to do")
        for warning in self.plan.warnings:
            say(f"tocsin: {warning}", err=True)

    def go(self) -> None:
        """Do what is left, and wait for the webhook that the test brings."""
        display = self.display
        began = self.clock()
        with display.shown():
            here, there = self._look()
            if self.plan.missing:
                return
            rows = [Row(one.key, one.done if one.is_done else one.text) for one in self.plan.steps]
            tests = any(one.key == "test" and not one.is_done for one in self.plan.steps)
            if tests:
                rows.append(Row("webhook", "the webhook"))
            display.plan(rows)
            for step in self.plan.steps:
                if step.is_done:
                    display.tell(step.key, "done")
            if self._perform_all(here, there) and tests:
                self._wait(began)

    def _perform_all(self, here: Here, there: There) -> bool:
        display, keeps_secret = self.display, False
        while (step := self.plan.next) is not None:
            display.tell(step.key, "doing")
            if keeps_secret:
                self.sleep(_SEEN_WITHIN)
                keeps_secret = False
            try:
                at = self.clock()
                there = self.connector.perform(step, self.wish, here, there, self.caller, at)
            except (SentryError, Untested) as error:
                self.failed = str(error)
                display.tell(step.key, "failed", str(error))
                return False
            here = self.connector.here(self.wish, self.caller)
            self.plan = self.connector.plan(self.wish, here, there)
            if self.plan.is_stuck(step.key):
                self.failed = self.connector.unkept(step, self.wish, here, there)
                display.tell(step.key, "failed", self.failed)
                return False
            done = next(one.done for one in self.plan.steps if one.key == step.key)
            display.tell(step.key, "done", text=done)
            keeps_secret = step.key == "secret"
        return True

    def _wait(self, since: datetime) -> None:
        """Wait for the webhook, but not for ever."""
        display = self.display
        display.tell("webhook", "doing")
        here = self.connector.here(self.wish, self.caller)
        assert here.integration is not None
        ends = time.monotonic() + self.wait
        while self.heard is None and time.monotonic() < ends:
            self.heard = self.connector.arrived(here.integration.id, since)
            self.sleep(_LOOK_EVERY)
        if self.heard is None:
            self.failed = f"no webhook came within {self.wait} s"
            self.remedy = tuple(_nothing_came(here))
            display.tell("webhook", "failed", self.failed)
        elif self.heard.status == "rejected":
            self.failed = f"a webhook came and was refused: {self.heard.reason}"
            display.tell("webhook", "failed", self.failed)
        else:
            display.tell("webhook", "done", f"{self.heard.resource} came")

    def end(self) -> None:
        """Print what is left to say; exit 1 if it did not work."""
        if self.as_json:
            print_json(self._told())
        else:
            _say_missing(self.plan.missing, self.plan.manual)
            if self.failed:
                say(f"tocsin: {self.failed}", err=True)
            for line in self.remedy:
                say(f"  - {line}", err=True)
            if not self.is_dry and not self.plan.missing:
                for warning in self.plan.warnings:
                    say(f"tocsin: {warning}", err=True)
        if self.plan.missing or self.failed:
            raise typer.Exit(1)

    def _told(self) -> Any:
        return {
            "steps": [
                {
                    "step": one.key,
                    "done": one.is_done,
                    "text": one.done if one.is_done else one.text,
                }
                for one in self.plan.steps
            ],
            "missing": [{"scope": one.scope, "why": one.why} for one in self.plan.missing],
            "manual": self.plan.manual,
            "warnings": self.plan.warnings,
            "failed": self.failed or None,
            "remedy": self.remedy,
            "webhook": self.heard.id if self.heard else None,
        }


def _nothing_came(here: Here) -> Iterator[str]:
    yield "is `tocsin serve` running on this database?"
    yield f"from where Sentry runs, `curl -i {here.webhook_url}` must answer 405"
    yield (
        "a Sentry of your own, 25.9 or newer, refuses private addresses: allow yours in its"
        " SENTRY_DISALLOWED_IPS"
    )
    yield (
        "what Sentry sent, and what came back, is in Sentry: Settings, Developer Settings, the"
        " integration, Dashboard"
    )
    yield "then run this again: it goes on where it stopped"


def _say_missing(missing: Sequence[Missing], manual: Sequence[str]) -> None:
    for one in missing:
        said = f"the token has no scope {one.scope}, {one.why}" if one.scope else one.why
        say(f"tocsin: {said}", err=True)
    if missing:
        say("Nothing was done. With a token that may, run this again; or by hand:", err=True)
        for number, line in enumerate(manual, 1):
            say(f"  {number}. {line}", err=True)


# -- status ---------------------------------------------------------------------------------------


def show_status(integration: str | None, *, as_json: bool) -> None:
    """Print how connections stand; exit 1 where one is not well."""
    with _opened() as (settings, store, ask):
        there = Connections(store.database, store.plans, store.vault, settings.public_url, ask)
        caller = me()
        names = [one.name for one, _ in there.standings(caller)]
        wanted = names if integration is None else [integration]
        display = Display(is_quiet=as_json)
        found = []
        with display.shown():
            display.plan([Row(name, name, "doing") for name in wanted])
            for name in wanted:
                standing = there.standing(name, caller)
                found.append(standing)
                state = "done" if standing.is_good else "failed"
                known = standing.connection
                display.tell(name, state, f"{known.organization} at {known.host}")
    if as_json:
        print_json([_told(one) for one in found])
    elif not found:
        say("nothing is connected (connect: tocsin sentry connect)")
    for one in found if not as_json else ():
        for check in one.checks:
            sign, colour = ("✓", "green") if check.is_good else ("✗", "red")
            typer.echo(f"  {typer.style(sign, fg=colour)} {check.text}")
        say(f"  acts as {one.connection.actor_type or 'nobody knows whom'}")
    if not all(one.is_good for one in found):
        raise typer.Exit(1)


def _told(one: Any) -> Any:
    known = one.connection
    return {
        "integration": one.integration.name,
        "host": known.host,
        "organization": known.organization,
        "app": known.app_slug,
        "acts_as": known.actor_type,
        "projects": [rule.project for rule in known.rules],
        "checks": [
            {"check": check.key, "good": check.is_good, "text": check.text} for check in one.checks
        ],
        "good": one.is_good,
    }


# -- disconnect -----------------------------------------------------------------------------------


def disconnect_sentry(
    integration: str,
    token: str | None,
    token_file: str | None,
    *,
    dry_run: bool,
    only_here: bool,
    as_json: bool,
) -> None:
    """Take a connection back, showing each step."""
    with _opened() as (settings, store, ask):
        there = Connections(store.database, store.plans, store.vault, settings.public_url, ask)
        caller = me()
        found = _token(settings, token, token_file)
        undoing = (
            there.only_here(integration, caller)
            if only_here
            else there.undoing(integration, found, caller)
        )
        if undoing.missing:
            if as_json:
                missing = [{"scope": one.scope, "why": one.why} for one in undoing.missing]
                print_json({"missing": missing, "manual": undoing.manual, "steps": []})
            else:
                _say_missing(undoing.missing, undoing.manual)
                say("  Then: tocsin sentry disconnect --only-here", err=True)
            raise typer.Exit(1)
        deeds = _deeds(there, undoing, found, caller)
        if dry_run:
            _say_deeds(deeds, undoing.left, as_json=as_json)
            return
        failed = _undo(deeds, undoing.left, as_json=as_json)
        _say_left(() if as_json else undoing.left)
    if failed:
        if not as_json:
            say(f"tocsin: {failed}", err=True)
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Deed:
    key: str
    text: str
    do: Callable[[], Any]


def _deeds(there: Connections, undoing: Undoing, token: str | None, caller: Caller) -> list[_Deed]:
    deeds = [
        _Deed(
            f"rule:{rule.project}",
            f"delete the alert rule {rule.rule_id} of {rule.project}",
            lambda rule=rule: there.take_rule(undoing, rule, token),  # type: ignore[misc]
        )
        for rule in undoing.rules
    ]
    if undoing.app_slug is not None:
        text = f"delete the integration {undoing.app_slug} in Sentry"
        deeds.append(_Deed("app", text, lambda: there.take_app(undoing, token)))
    name = undoing.integration.name
    text = f"forget the token; {name} stays, with its client secret"
    deeds.append(_Deed("token", text, lambda: there.forget(name, caller, now())))
    return deeds


def _say_deeds(deeds: Sequence[_Deed], left: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        steps = [{"step": one.key, "text": one.text} for one in deeds]
        print_json({"steps": steps, "by_hand": left})
        return
    for one in deeds:
        say(f"- {one.text}")
    _say_left(left)


def _say_left(left: Sequence[str]) -> None:
    for line in left:
        say(f"tocsin: left for you to do by hand: {line}", err=True)


def _undo(deeds: Sequence[_Deed], left: Sequence[str], *, as_json: bool) -> str:
    """Do them; return why one failed."""
    display = Display(is_quiet=as_json)
    failed = ""
    with display.shown():
        display.plan([Row(one.key, one.text) for one in deeds])
        for one in deeds:
            display.tell(one.key, "doing")
            try:
                one.do()
            except SentryError as error:
                failed = str(error)
                display.tell(one.key, "failed", failed)
                break
            display.tell(one.key, "done")
    if as_json:
        steps = [
            {"step": row.key, "done": row.state == "done", "text": row.text} for row in display.rows
        ]
        print_json({"steps": steps, "by_hand": left, "failed": failed or None})
    return failed
