"""What people do to incidents, beyond acknowledging and resolving them."""

from __future__ import annotations

from typing import Annotated

import typer

from tocsin.core.model import (
    Priority,
    Severity,
)

actions = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Number = Annotated[str, typer.Argument(help="Its number, or its id.", metavar="N")]


@actions.command()
def snooze(
    number: Number,
    for_: Annotated[
        str, typer.Option("--for", help="How long: 30m, 2h, 1d.", metavar="SPAN")
    ] = "1h",
    as_json: Json = False,
) -> None:
    """Quiet an incident for a while; then it triggers again."""
    from tocsin.boot import now
    from tocsin.cli.daily import act
    from tocsin.core.times import parse_span
    from tocsin.work import respond

    try:
        until = now() + parse_span(for_)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None
    act(number, lambda by: respond.snooze(by, until), as_json=as_json)


@actions.command()
def escalate(
    number: Number,
    step: Annotated[
        int | None, typer.Option(help="The step you see as the current one: none is skipped.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Take the next step of an incident's escalation now."""
    from tocsin.cli.daily import work

    work(lambda desk, caller, at: desk.escalate(number, caller, at, step), as_json=as_json)


@actions.command()
def reassign(
    number: Number,
    user: Annotated[str | None, typer.Option(help="An e-mail address.")] = None,
    policy: Annotated[str | None, typer.Option(help="An escalation policy.")] = None,
    as_json: Json = False,
) -> None:
    """Give an incident to a person or to another policy; they are paged from the start."""
    from tocsin.cli.daily import act, named
    from tocsin.work import respond

    if (user is None) == (policy is None):
        raise typer.BadParameter("say exactly one of --user and --policy")
    user_id, policy_id = named(user, policy)
    act(
        number,
        lambda by: respond.reassign(by, user_id=user_id, policy_id=policy_id),
        as_json=as_json,
    )


@actions.command()
def note(
    number: Number,
    text: Annotated[str, typer.Argument(help="What to write.")],
    as_json: Json = False,
) -> None:
    """Write a note on an incident's timeline."""
    from tocsin.cli.daily import act
    from tocsin.work import respond

    if not text.strip():
        raise typer.BadParameter("the note is empty")
    act(number, lambda by: respond.note(by, text), as_json=as_json)


@actions.command()
def priority(
    number: Number,
    level: Annotated[
        str, typer.Argument(help="critical, high, medium, low or none.", metavar="PRIORITY")
    ],
    as_json: Json = False,
) -> None:
    """Say how much an incident matters; a higher urgency that follows pages again."""
    from tocsin.cli.daily import act
    from tocsin.work import respond

    if level not in (*Priority, "none"):
        raise typer.BadParameter(f"{level!r} is not one of {', '.join(Priority)}, none")
    wanted = None if level == "none" else Priority(level)
    act(number, lambda by: respond.prioritise(by, wanted), as_json=as_json)


@actions.command()
def merge(
    number: Number,
    into: Annotated[str, typer.Argument(help="The incident that gets its alerts.")],
    as_json: Json = False,
) -> None:
    """End an incident and give its alerts to another, which ends with the last of them."""
    from tocsin.cli.daily import work

    work(lambda desk, caller, at: desk.merge(number, into, caller, at), as_json=as_json)


@actions.command()
def unmerge(
    number: Number,
    alert: Annotated[str, typer.Argument(help="An alert, by id or dedup key.")],
    as_json: Json = False,
) -> None:
    """Let an alert of a merged incident go its own way."""
    from tocsin.cli.daily import work

    work(lambda desk, caller, at: desk.unmerge(number, alert, caller, at), as_json=as_json)


@actions.command("add-responder")
def add_responder(
    number: Number,
    user: Annotated[str, typer.Argument(help="An e-mail address.", metavar="EMAIL")],
    as_json: Json = False,
) -> None:
    """Page one more person, besides those who have an incident."""
    from tocsin.cli.daily import named, work

    user_id, _ = named(user)
    work(
        lambda desk, caller, at: desk.add_responder(number, user_id or "", caller, at),
        as_json=as_json,
    )


@actions.command()
def explain(
    service: Annotated[str, typer.Argument(help="A service's name.", metavar="SERVICE")],
    at: Annotated[
        str | None, typer.Option(help="When it begins: 2026-01-05T09:00:00Z. Now when absent.")
    ] = None,
    severity: Annotated[Severity, typer.Option(help="How bad it is.")] = Severity.ERROR,
    priority: Annotated[Priority | None, typer.Option(help="How much it matters.")] = None,
    as_json: Json = False,
) -> None:
    """Say who would be paged for a service, when and how, and what of it would not work."""
    from tocsin.cli.daily import explain_service

    explain_service(service, at, severity, priority, as_json=as_json)


@actions.command()
def doctor(as_json: Json = False) -> None:
    """Check everything that could stop a page; a remedy for each finding."""
    from tocsin.cli.doctor import examine_all

    examine_all(as_json=as_json)
