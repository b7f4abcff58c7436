"""Do in Sentry what people did here: look at the issue first, then change it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

from tocsin.core.mirror import (
    CHANGES,
    Act,
    Done,
    Order,
    Ruling,
    Verdict,
    decide,
    minutes_until,
    until_of,
)
from tocsin.sentry.client import Sentry
from tocsin.sentry.errors import (
    NotPermitted,
    NotThere,
    RateLimited,
    Refused,
    SentryError,
    Unreachable,
)
from tocsin.sentry.reading import context_of, stand_of
from tocsin.sentry.shapes import Issue, IssueChange

#: What the link in Sentry's sidebar belongs to.
PROJECT = "Tocsin"


#: One task, from its first question on.
DEADLINE = timedelta(seconds=60)


async def perform(to: Callable[[], Sentry], order: Order, now: datetime) -> Done:
    """Do a task, unless it no longer holds; whatever goes wrong is part of the result."""
    try:
        async with asyncio.timeout(DEADLINE.total_seconds()):
            return await _perform(to(), order, now)
    except SentryError as error:
        return Done(
            task=order.task,
            verdict=Verdict.DO,
            why=str(error),
            has_failed=True,
            is_temporary=error.is_temporary,
            is_everywhere=isinstance(error, RateLimited | Unreachable),
            retry_after=error.retry_after if isinstance(error, RateLimited) else None,
        )
    except TimeoutError:
        return Done(
            task=order.task,
            verdict=Verdict.DO,
            why=f"Sentry took longer than {DEADLINE.total_seconds():.0f} s",
            has_failed=True,
            is_temporary=True,
            is_everywhere=True,
        )


async def _perform(sentry: Sentry, order: Order, now: datetime) -> Done:
    task = order.task
    if task.act is Act.CONTEXT:
        return await _context(sentry, order)
    ruling = Ruling(Verdict.DO)
    if task.act in CHANGES:
        issue = await sentry.issue(task.issue_id)
        if issue.id != task.issue_id:
            return Done(task=task, verdict=Verdict.DROP, why=_merged(issue))
        ruling = decide(task, stand_of(issue), order.ours, has_name=order.has_name)
    if ruling.verdict is Verdict.DO:
        await _DO[task.act](sentry, order, now)
    return Done(task=task, verdict=ruling.verdict, why=ruling.why)


def _merged(issue: Issue) -> str:
    """Say why nothing is done about an issue whose id leads to this other one."""
    return f"in Sentry it was merged into {issue.short_id or issue.id}"


async def _assign(sentry: Sentry, order: Order, _now: datetime) -> None:
    email = order.task.payload["email"]
    try:
        await sentry.change_issue(order.task.issue_id, IssueChange(assigned_to=email))
    except Refused as refused:
        if refused.status != 400:
            raise
        raise Refused(
            f"Sentry does not assign it to {email}: are they a member there, by that address?",
            status=400,
            detail=refused.detail,
        ) from None


async def _resolve(sentry: Sentry, order: Order, _now: datetime) -> None:
    await sentry.change_issue(order.task.issue_id, IssueChange(status="resolved"))


async def _archive(sentry: Sentry, order: Order, now: datetime) -> None:
    until = until_of(order.task) or now
    change = IssueChange(
        status="ignored",
        substatus="archived_until_condition_met",
        status_details={"ignoreDuration": minutes_until(until, now)},
    )
    await sentry.change_issue(order.task.issue_id, change)


async def _note(sentry: Sentry, order: Order, _now: datetime) -> None:
    task, text = order.task, order.task.payload["text"]
    # A try before this one may have been heard though nobody heard its answer.
    if task.was_begun and any(note.data.text == text for note in await sentry.notes(task.issue_id)):
        return
    try:
        await sentry.add_note(task.issue_id, text)
    except Refused as refused:
        # The same text within an hour, which Sentry may keep a little otherwise.
        if refused.status != 400 or not task.was_begun:
            raise


async def _link(sentry: Sentry, order: Order, _now: datetime) -> None:
    if order.installation_id is None:
        raise Refused("Sentry has no integration of Tocsin's: connect again", status=400, detail="")
    await sentry.link_issue(
        order.installation_id, order.task.issue_id, order.web_url, PROJECT, str(order.number)
    )


_DO: Mapping[Act, Callable[[Sentry, Order, datetime], Awaitable[None]]] = {
    Act.ASSIGN: _assign,
    Act.RESOLVE: _resolve,
    Act.ARCHIVE: _archive,
    Act.NOTE: _note,
    Act.LINK: _link,
}


async def _context(sentry: Sentry, order: Order) -> Done:
    """Read the latest event; commits and owners besides, where the token may."""
    task = order.task
    event = await sentry.latest_event(task.issue_id)
    issue = await sentry.issue(task.issue_id)
    project, event_id = issue.project, event.event_id or event.id
    try:
        known = project is not None and event_id
        committers = await sentry.committers(project.slug, event_id) if project and known else ()
        owners = await sentry.owners(project.slug, event_id) if project and known else ()
    except (NotPermitted, NotThere, Refused):
        committers, owners = (), ()
    return Done(task=task, verdict=Verdict.DO, context=context_of(event, committers, owners))
