"""``tocsin sentry``: connect an organisation by one command, see how that stands, take it back."""

from __future__ import annotations

from typing import Annotated

import typer

from tocsin.cli.actions import Json
from tocsin.core.sentry import Acknowledging

sentry_app = typer.Typer(help="Connections with Sentry.", no_args_is_help=True)

Token = Annotated[
    str | None,
    typer.Option(help="A personal token. Others see it in the list of processes.", metavar="T"),
]
TokenFile = Annotated[
    str | None,
    typer.Option("--token-file", help="A file with that token; - reads it.", metavar="FILE"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Name = Annotated[
    str,
    typer.Option("--integration", help="The integration in Tocsin, by name.", metavar="NAME"),
]


@sentry_app.command()
def connect(
    org: Annotated[str, typer.Option(help="The organisation's slug.", metavar="O")],
    token: Token = None,
    token_file: TokenFile = None,
    host: Annotated[
        str, typer.Option(help="The address of Sentry: your own, or a region.", metavar="H")
    ] = "https://sentry.io",
    project: Annotated[
        list[str] | None,
        typer.Option(help="A project that gets an alert rule; may be given again.", metavar="P"),
    ] = None,
    integration: Name = "sentry",
    service: Annotated[
        str | None, typer.Option(help="The service of a new integration.", metavar="S")
    ] = None,
    own_token_file: Annotated[
        str | None,
        typer.Option(
            "--integration-token-file",
            help="A file with a token of the integration in Sentry, to act by in its name.",
            metavar="FILE",
        ),
    ] = None,
    dry_run: DryRun = False,
    test: Annotated[
        bool, typer.Option("--test/--no-test", help="Let Sentry send a test notification.")
    ] = True,
    wait: Annotated[
        int, typer.Option(min=0, help="Seconds to wait for the first webhook.", metavar="SECONDS")
    ] = 60,
    as_json: Json = False,
) -> None:
    """Connect an organisation: create the integration in Sentry, with its alert rules.

    Run again, it makes nothing twice, and finishes what was left. The token is best given by
    TOCSIN_SENTRY_TOKEN or --token-file. It needs the scopes org:read, org:write, project:read,
    member:read, event:read, event:write and alerts:write.
    """
    from tocsin.cli.connecting import Options, connect_sentry

    connect_sentry(
        Options(
            organization=org,
            host=host,
            projects=tuple(project or ()),
            integration=integration,
            service=service,
            own_token_file=own_token_file,
            tests=test,
            wait=wait,
        ),
        token,
        token_file,
        dry_run=dry_run,
        as_json=as_json,
    )


@sentry_app.command()
def status(
    integration: Annotated[
        str | None, typer.Argument(help="Only this one.", metavar="[INTEGRATION]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say how connections stand, by asking Sentry; exit 1 if anything is not as it should be."""
    from tocsin.cli.connecting import show_status

    show_status(integration, as_json=as_json)


@sentry_app.command()
def switch(
    integration: Name = "sentry",
    acknowledge: Annotated[
        Acknowledging | None,
        typer.Option(
            help="Acknowledged here: assign the issue there, write a note, both, or nothing.",
            show_default="as it is",
        ),
    ] = None,
    resolve: Annotated[
        bool | None,
        typer.Option(help="Resolved here by a person: there too.", show_default="as it is"),
    ] = None,
    note: Annotated[
        bool | None, typer.Option(help="A note here: a note there.", show_default="as it is")
    ] = None,
    snooze: Annotated[
        bool | None,
        typer.Option(help="Snoozed here: archived there until then.", show_default="as it is"),
    ] = None,
    link: Annotated[
        bool | None,
        typer.Option(
            help="A link to the incident in the sidebar of the issue.", show_default="as it is"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what is done in Sentry for what people do here, and change what is named."""
    from tocsin.cli.switching import switch_sentry

    wanted = {
        "acknowledge": acknowledge,
        "resolve": resolve,
        "note": note,
        "snooze": snooze,
        "link": link,
    }
    named = {name: value for name, value in wanted.items() if value is not None}
    switch_sentry(integration, named, as_json=as_json)


@sentry_app.command()
def disconnect(
    integration: Name = "sentry",
    token: Token = None,
    token_file: TokenFile = None,
    dry_run: DryRun = False,
    only_here: Annotated[
        bool,
        typer.Option("--only-here", help="Ask Sentry for nothing: what is there stays there."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Take a connection back: its alert rules and its integration in Sentry, and the token here.

    The token needs the scopes org:read, org:admin and alerts:write; without one, the token that is
    kept is tried. The integration in Tocsin stays, with its client secret.
    """
    from tocsin.cli.connecting import disconnect_sentry

    disconnect_sentry(
        integration, token, token_file, dry_run=dry_run, only_here=only_here, as_json=as_json
    )
