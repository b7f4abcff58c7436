"""The commands, one short function each; ``help`` texts are their docstrings."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tocsin.cli.actions import Json, Number, actions
from tocsin.cli.copies import copies
from tocsin.cli.secretkeys import secrets_app
from tocsin.cli.sentry import sentry_app
from tocsin.core.model import (
    Role,
)

app = typer.Typer(
    name="tocsin",
    help="Self-hosted on-call: a Sentry webhook becomes a page to the right person.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
key_app = typer.Typer(help="API keys.", no_args_is_help=True)
config_app = typer.Typer(help="Settings.", no_args_is_help=True)
user_app = typer.Typer(help="People.", no_args_is_help=True)
app.add_typer(key_app, name="key")
app.add_typer(user_app, name="user")
app.add_typer(config_app, name="config")
app.add_typer(secrets_app, name="secrets")
app.add_typer(sentry_app, name="sentry")

Limit = Annotated[int, typer.Option(min=1, max=200, help="How many, at most.")]


class Half(StrEnum):
    """The halves of the program."""

    WEB = "web"
    WORKER = "worker"


def _version(wanted: bool) -> None:
    if wanted:
        from tocsin import __version__

        typer.echo(f"tocsin {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Self-hosted on-call: a Sentry webhook becomes a page to the right person."""


# -- running --------------------------------------------------------------------------------------


@app.command()
def serve(
    listen: Annotated[
        str | None, typer.Option(help="Address and port.", metavar="HOST:PORT")
    ] = None,
    only: Annotated[Half | None, typer.Option(help="Run one half of the program.")] = None,
) -> None:
    """Run the server and the workers, in one process."""
    import asyncio
    import gc

    # Until it is ready: nothing that is imported is garbage.
    gc.disable()
    from tocsin import logs
    from tocsin.boot import Parts, open_store, run, serving
    from tocsin.config import load

    settings = load(listen=listen)
    logs.configure(settings.log_format)
    with serving(settings):
        parts = Parts(web=only is not Half.WORKER, worker=only is not Half.WEB)
        store = open_store(settings, serves=True, takes=parts.web)
        try:
            asyncio.run(run(store, parts))
        finally:
            store.close()


@app.command()
def demo(
    seconds: Annotated[
        int | None, typer.Option(min=1, help="Stop by itself after so long.")
    ] = None,
) -> None:
    """Show it: a fake Sentry and a Tocsin of its own, both ways, and you watch."""
    from tocsin.cli.demo.stage import run_demo

    if not run_demo(seconds).is_right:
        raise typer.Exit(1)


@app.command()
def migrate() -> None:
    """Bring the database's schema to what this version needs (``serve`` does it too)."""
    from tocsin.boot import open_store
    from tocsin.config import load
    from tocsin.store.migrations import HEAD

    open_store(load()).close()
    typer.echo(f"the schema is at {HEAD}")


app.add_typer(copies)

# -- setting up -----------------------------------------------------------------------------------


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="The configuration file (YAML).")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
) -> None:
    """Make the configuration match FILE: all of it, or nothing."""
    from tocsin.cli.setup import apply_file

    apply_file(file, dry_run=dry_run)


@app.command()
def export() -> None:
    """Print the configuration as a file for ``apply``, secrets as references."""
    from tocsin.cli.setup import configurator
    from tocsin.work.configfile import dump

    with configurator() as configured:
        typer.echo(dump(configured.export()), nl=False)


@app.command()
def urls(
    integration: Annotated[str, typer.Argument(help="Its name.")],
) -> None:
    """Print the webhook URLs of an integration: any of them goes into Sentry."""
    from tocsin.cli.setup import print_urls

    print_urls(integration)


@key_app.command("create")
def key_create(
    name: Annotated[str, typer.Option(help="What it is for.")],
    role: Annotated[
        Role | None,
        typer.Option(help="What it may do: the person's role, or responder, if not given."),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(help="The person it acts as, in at most their role.", metavar="EMAIL"),
    ] = None,
) -> None:
    """Make an API key and print it; it cannot be shown again."""
    from tocsin.cli.setup import create_key

    create_key(name, role, user)


@user_app.command("add")
def user_add(
    email: Annotated[str, typer.Argument(help="Their e-mail address.", metavar="EMAIL")],
    name: Annotated[str, typer.Option(help="What they are called.")],
    role: Annotated[Role, typer.Option(help="What they may do.")] = Role.RESPONDER,
) -> None:
    """Add a person, and print a one-time link by which they choose a password.

    For a person who is there already it only makes a new link.
    """
    from tocsin.cli.setup import add_user

    add_user(email, name, role)


@user_app.command("link")
def user_link(
    email: Annotated[str, typer.Argument(help="Their e-mail address.", metavar="EMAIL")],
) -> None:
    """Print a one-time link by which a person chooses a password; earlier ones end."""
    from tocsin.cli.setup import print_link

    print_link(email)


@key_app.command("list")
def key_list(as_json: Json = False) -> None:
    """List API keys, the newest first."""
    from tocsin.cli.setup import list_keys

    list_keys(as_json=as_json)


@key_app.command("revoke")
def key_revoke(
    key: Annotated[str, typer.Argument(help="Its name or id.", metavar="KEY")],
) -> None:
    """Let an API key open nothing any more."""
    from tocsin.cli.setup import revoke_key

    revoke_key(key)


@config_app.command("show")
def config_show(as_json: Json = False) -> None:
    """Print every setting in force (secrets masked), and where it came from."""
    from tocsin.cli.output import print_table
    from tocsin.config import load, show

    print_table(("setting", "value", "from"), show(load()), as_json=as_json)


@config_app.command("new-key")
def config_new_key() -> None:
    """Print a new key for TOCSIN_SECRET_KEYS."""
    from tocsin.store.vault import new_secret_key

    typer.echo(new_secret_key())


@app.command()
def send(
    integration: Annotated[str, typer.Argument(help="Its name.")],
    resource: Annotated[str, typer.Option(help="What Sentry sends about.")] = "issue",
    action: Annotated[str | None, typer.Option(help="What happened to it.")] = None,
    id_: Annotated[str, typer.Option("--id", help="The issue's id.")] = "tocsin-sample",
    level: Annotated[str, typer.Option(help="The issue's level.")] = "error",
    url: Annotated[str | None, typer.Option(help="Where to, if not to TOCSIN_PUBLIC_URL.")] = None,
) -> None:
    """Send a correctly signed sample webhook, as Sentry would."""
    from tocsin.cli.setup import send_sample

    send_sample(integration, resource, action, id_, level, url)


# -- every day ------------------------------------------------------------------------------------


@app.command()
def incidents(
    number: Annotated[
        str | None, typer.Argument(help="Show this one, by number or id.", metavar="[N]")
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(help="triggered, acknowledged, snoozed, resolved; several with commas."),
    ] = None,
    service: Annotated[str | None, typer.Option(help="Of this service.")] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List incidents, the newest first; or show one with its timeline."""
    from tocsin.cli.daily import list_incidents, show_incident

    if number is None:
        list_incidents(status, service, limit, as_json=as_json)
    else:
        show_incident(number, as_json=as_json)


@app.command()
def ack(number: Number, as_json: Json = False) -> None:
    """Acknowledge an incident: escalation stops."""
    from tocsin.cli.daily import act
    from tocsin.work import respond

    act(number, respond.acknowledge, as_json=as_json)


@app.command()
def resolve(number: Number, as_json: Json = False) -> None:
    """Resolve an incident."""
    from tocsin.cli.daily import act
    from tocsin.work import respond

    act(number, respond.resolve, as_json=as_json)


app.add_typer(actions)


@app.command()
def oncall(
    at: Annotated[
        str | None, typer.Option(help="At this instant, such as 2026-01-05T09:00Z.", metavar="T")
    ] = None,
    schedule: Annotated[str | None, typer.Option(help="Of this schedule.", metavar="S")] = None,
    as_json: Json = False,
) -> None:
    """Say who is on call, until when, and who comes then; exit 1 if nobody is."""
    from tocsin.cli.oncall import list_oncall

    list_oncall(at, schedule, as_json=as_json)


@app.command()
def page(
    user: Annotated[str, typer.Argument(help="Their e-mail address.", metavar="USER")],
    as_json: Json = False,
) -> None:
    """Send a test by every way a person can be reached, and say what came of each."""
    from tocsin.cli.page import page_user

    page_user(user, as_json=as_json)


@app.command()
def deliveries(
    delivery: Annotated[
        str | None, typer.Argument(help="Show this one, by id.", metavar="[D]")
    ] = None,
    integration: Annotated[str | None, typer.Option(help="Of this integration.")] = None,
    status: Annotated[
        str | None,
        typer.Option(help="accepted, processed, rejected, unrecognised, failed."),
    ] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List what came in and what became of it, the newest first; or show one with its body."""
    from tocsin.cli.daily import list_deliveries, show_delivery

    if delivery is None:
        list_deliveries(integration, status, limit, as_json=as_json)
    else:
        show_delivery(delivery, as_json=as_json)


@app.command()
def replay(
    delivery: Annotated[str, typer.Argument(help="Its id.", metavar="D")],
    as_json: Json = False,
) -> None:
    """Feed a stored delivery in again."""
    from tocsin.cli.daily import replay_delivery

    replay_delivery(delivery, as_json=as_json)
