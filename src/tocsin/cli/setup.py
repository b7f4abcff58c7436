"""Commands that set things up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from tocsin.boot import now, open_store
from tocsin.cli.output import print_json, print_table
from tocsin.config import Settings, load
from tocsin.core.model import Role
from tocsin.core.session import LINK_PATH
from tocsin.sentry.sender import ACTIONS, Issue, send, webhook
from tocsin.work.accounts import COMMAND_LINE, Accounts, Made, find_user
from tocsin.work.configfile import BadFile, parse
from tocsin.work.configure import Applied, Configurator
from tocsin.work.manage import Office
from tocsin.work.respond import NotFound


@contextmanager
def configurator(settings: Settings | None = None) -> Iterator[Configurator]:
    """Give what reads and writes the configuration."""
    store = open_store(settings or load())
    try:
        yield Configurator(store.database, store.plans, store.vault)
    finally:
        store.close()


def create_key(name: str, role: Role | None, user: str | None) -> None:
    """Make an API key and print it. Raises NotFound, Invalid."""
    store = open_store(load())
    try:
        office = Office(store.database, store.plans, store.vault)
        key = (
            office.create_api_key(name, role or Role.RESPONDER, now())
            if user is None
            else office.create_key_of(user, name, role, now())
        )
        typer.echo(key)
    finally:
        store.close()


def add_user(email: str, name: str, role: Role) -> None:
    """Add a person, or find them, and print a link to choose a password. Raises BadFile."""
    settings = load()
    store = open_store(settings)
    try:
        accounts = Accounts(store.database, store.plans, store.vault)
        known = find_user(store.plans.refresh(), email)
        if known is not None:
            typer.echo(f"tocsin: {known.email} is there already, as {known.role}", err=True)
            made = accounts.link(COMMAND_LINE, known.id, now())
        else:
            made = accounts.invite(COMMAND_LINE, email, name, role, now())
        _print_link(settings, made)
    finally:
        store.close()


def print_link(email: str) -> None:
    """Print a link by which a person chooses a password. Raises NotFound."""
    settings = load()
    store = open_store(settings)
    try:
        known = find_user(store.plans.refresh(), email)
        if known is None:
            raise NotFound(f"there is no user {email} (add them: tocsin user add)")
        accounts = Accounts(store.database, store.plans, store.vault)
        _print_link(settings, accounts.link(COMMAND_LINE, known.id, now()))
    finally:
        store.close()


def _print_link(settings: Settings, made: Made) -> None:
    typer.echo(f"{settings.public_url}{LINK_PATH[made.kind]}{made.key}")


def list_keys(*, as_json: bool) -> None:
    """Print every API key."""
    store = open_store(load())
    try:
        people = {user.id: user.email for user in store.plans.refresh().users.values()}
        keys = Office(store.database, store.plans, store.vault).api_keys()
    finally:
        store.close()
    if as_json:
        print_json(keys)
        return
    rows = [
        (
            key.id,
            key.name,
            key.role.value,
            people.get(key.user_id or "", ""),
            f"{key.created_at:%Y-%m-%d %H:%M}",
        )
        for key in keys
    ]
    print_table(("id", "name", "role", "person", "made (UTC)"), rows, as_json=False)


def revoke_key(reference: str) -> None:
    """Let an API key open nothing any more. Raises NotFound, Conflict."""
    store = open_store(load())
    try:
        office = Office(store.database, store.plans, store.vault)
        gone = office.revoke_key(reference, COMMAND_LINE, now())
    finally:
        store.close()
    typer.echo(f"{gone.name} ({gone.id}) opens nothing any more")


def apply_file(path: Path, *, dry_run: bool) -> None:
    """Apply a file, printing the plan. Raises BadFile."""
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise BadFile([f"{path}:1: not UTF-8 (byte {error.start})"]) from None
    file, source = parse(text, str(path))
    settings = load()
    with configurator(settings) as configured:
        applied = configured.apply(file, source, now(), dry_run=dry_run)
        _print_plan(applied, dry_run=dry_run)
        for change in applied.changes:
            if change.kind == "integration" and change.sign == "+" and not dry_run:
                urls = configured.urls(settings.public_url, change.name) or []
                typer.echo(f"  webhook URL of {change.name}: {urls[0]}")


_COLOURS = {"+": typer.colors.GREEN, "~": typer.colors.YELLOW, "-": typer.colors.RED}


def _print_plan(applied: Applied, *, dry_run: bool) -> None:
    for change in applied.changes:
        typer.secho(f"{change.sign} {change.kind} {change.name}", fg=_COLOURS[change.sign])
        for detail in change.details:
            typer.echo(f"    {detail}")
    count = len(applied.changes)
    if count == 0:
        typer.echo("nothing to change")
    else:
        done = "would change" if dry_run else "changed"
        typer.echo(f"{count} {'thing' if count == 1 else 'things'} {done}")


def print_urls(name: str) -> None:
    """Print the webhook URLs of an integration."""
    settings = load()
    with configurator(settings) as configured:
        urls = configured.urls(settings.public_url, name)
    if urls is None:
        typer.echo(f"tocsin: there is no integration {name}", err=True)
        raise typer.Exit(1)
    for url in urls:
        typer.echo(url)


def send_sample(
    name: str, resource: str, action: str | None, id_: str, level: str, url: str | None
) -> None:
    """Send a sample webhook to an integration, and say what came back."""
    if resource not in ACTIONS:
        raise typer.BadParameter(
            f"{resource!r} is not one of {', '.join(ACTIONS)}", param_hint="--resource"
        )
    action = action or ACTIONS[resource][0]
    if action not in ACTIONS[resource]:
        known = ", ".join(ACTIONS[resource])
        raise typer.BadParameter(
            f"{action!r} is not what Sentry says of {resource}: {known}", param_hint="--action"
        )
    settings = load()
    with configurator(settings) as configured:
        found = configured.integration(name)
    if found is None:
        typer.echo(f"tocsin: there is no integration {name}", err=True)
        raise typer.Exit(1)
    integration, key = found
    if integration.source != "sentry":
        raise typer.BadParameter(
            f"{name} takes {integration.source}, and the sample is a webhook of Sentry: name an"
            " integration with source sentry",
            param_hint="INTEGRATION",
        )
    hook = webhook(resource, action, Issue(id=id_, level=level))
    secret = next(iter(integration.signing_secrets), None)
    target = url or f"{settings.public_url}/in/{key}"
    answer = send(target, hook, secret)
    if answer.status == 0:
        said = answer.body.decode(errors="replace")
        typer.echo(f"tocsin: no answer within a second ({said}); is it served?", err=True)
        raise typer.Exit(1)
    typer.echo(f"{answer.status} in {answer.seconds * 1000:.0f} ms: {answer.body.decode()}")
    if answer.status >= 300:
        raise typer.Exit(1)
