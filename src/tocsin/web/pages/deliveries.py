"""The delivery log: what came in, what became of it and why, and feeding it in again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from litestar import Response, get, post
from litestar.params import FromPath

from tocsin.core.access import Action
from tocsin.core.model import DeliveryOutcome, DeliveryStatus
from tocsin.core.repeats import KEPT_FIRST
from tocsin.core.times import parse_instant
from tocsin.store import views
from tocsin.store.deliveries import (
    DEPTH,
    MOST_COUNTED,
    LogFilter,
    Window,
    delivery_detail,
    log_page,
    raw_body,
)
from tocsin.store.views import DeliveryDetail
from tocsin.web.pages.faults import FAULTS, faults_of
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.work.currentfile import living
from tocsin.work.reading import Sample, explain
from tocsin.work.refusals import Invalid
from tocsin.work.replay import Progress, Replays, new_run
from tocsin.work.respond import NotFound

#: More of a body is not put on a page; all of it can be downloaded.
SHOWN = 200_000

#: What a window is asked for, besides its integration.
WHICH = (
    ("taken", "Everything that was taken"),
    ("trouble", "What failed or was refused, but not for its signature"),
)


def _integrations(visit: Visit) -> list[Any]:
    return living(visit.plans.integrations)


@get("/deliveries", opt={"action": Action.READ}, sync_to_thread=True)
def list_deliveries(visit: Visiting) -> Response[bytes]:
    """List deliveries, the newest first, narrowed by the address."""
    query = visit.query
    named = query.text("integration")
    chosen = next((one for one in _integrations(visit) if named in (one.id, one.name)), None)
    status, outcome = query.text("status"), query.text("outcome")
    with visit.back.desk.database.read() as connection:
        incident = query.maybe("incident")
        incident_id = None
        if incident:
            plans, scope = visit.all_plans, visit.scope
            incident_id = views.incident_id(connection, plans, scope, incident)
        wanted = LogFilter(
            integration_id=chosen.id if chosen else None,
            # A number of nothing matches nothing.
            incident_id=(incident_id or "-") if incident else None,
            status=status if status in set(DeliveryStatus) else None,
            outcome=outcome if outcome in set(DeliveryOutcome) else None,
            q=query.text("q").replace("\0", "")[:255],
            cursor=query.maybe("cursor"),
        )
        page = log_page(connection, visit.all_plans, visit.scope, wanted)
    return visit.page(
        "deliveries.html",
        page=page,
        older=visit.with_query(cursor=page.next) if page.next else None,
        wanted=wanted,
        chosen=chosen,
        depth=DEPTH,
        pairs=[(one.id, one.name) for one in _integrations(visit)],
        status_pairs=[(one.value, one.value) for one in DeliveryStatus],
        outcome_pairs=[(one.value, one.value) for one in DeliveryOutcome],
    )


@get("/deliveries/{delivery_id:str}", opt={"action": Action.READ}, sync_to_thread=True)
def show_delivery(visit: Visiting, delivery_id: FromPath[str]) -> Response[bytes]:
    """Show one delivery: its request, and why it was read so."""
    found = _found(visit, delivery_id)
    integration = next(
        (
            one
            for one in visit.plans.integrations.values()
            if found.integration and one.name == found.integration.name and not one.is_deleted
        ),
        None,
    )
    explained = None
    if integration is not None and found.is_kept:
        with visit.back.desk.database.read() as connection:
            body = raw_body(connection, found.id) or b""
        sample = Sample(body=body, resource=_named(found), url_style=found.url_style)
        explained = explain(visit.all_plans, visit.back.dialects, integration, sample)
    return visit.page(
        "delivery.html",
        one=found,
        integration=integration,
        explained=explained,
        body=found.body[:SHOWN],
        is_cut=len(found.body) > SHOWN,
        run=new_run(),
        kept_first=KEPT_FIRST,
    )


def _found(visit: Visit, delivery_id: str) -> DeliveryDetail:
    with visit.back.desk.database.read() as connection:
        found = delivery_detail(connection, visit.all_plans, visit.scope, delivery_id)
    if found is None:
        raise NotFound(f"there is no delivery {delivery_id}: it may be older than the retention")
    return found


def _named(found: DeliveryDetail) -> str | None:
    """Return what the sender named: what is stored may be what the shape said."""
    headers = {name.lower(): value for name, value in found.headers}
    return headers.get("sentry-hook-resource")


@get("/deliveries/{delivery_id:str}/body", opt={"action": Action.READ}, sync_to_thread=True)
def download_body(visit: Visiting, delivery_id: FromPath[str]) -> Response[bytes]:
    """Give the body exactly as it came in, as a file."""
    found = _found(visit, delivery_id)
    with visit.back.desk.database.read() as connection:
        body = raw_body(connection, found.id) or b""
    return Response(
        body,
        media_type="application/octet-stream",
        headers={
            "content-disposition": f'attachment; filename="{found.id}.json"',
            "cache-control": "no-store",
        },
    )


@post("/deliveries/{delivery_id:str}/replay", opt={"action": Action.REPLAY}, sync_to_thread=True)
def replay_one(visit: Visiting, delivery_id: FromPath[str]) -> Response[bytes]:
    """Feed one in again, once however often the button is pressed."""
    found = _found(visit, delivery_id)
    new = Replays(visit.back.desk.database).one(found.id, visit.form.text("run"), visit.now)
    if new is None:
        raise NotFound(f"the body of {delivery_id} was not kept: replay one that was")
    visit.back.wake()
    return visit.go(f"/deliveries/{new}", "Replayed: this is the new delivery.")


# -- a window -------------------------------------------------------------------------------------


@get("/deliveries/replay", opt={"action": Action.REPLAY}, sync_to_thread=True)
def choose_window(visit: Visiting) -> Response[bytes]:
    """Ask for a window; once it is given, say how many it has and how far its run has come."""
    if not visit.query.has("integration"):
        return _window_page(visit)
    try:
        window = _window(visit, visit.query)
    except FAULTS as error:
        return _window_page(visit, faults_of(error), status=422)
    run = visit.query.text("run")
    if not run:
        return visit.go(f"/deliveries/replay?{urlencode(_fields(visit, window, new_run()))}")
    progress = Replays(visit.back.desk.database).progress(window, run)
    return _window_page(visit, window=window, run=run, progress=progress)


@post("/deliveries/replay", opt={"action": Action.REPLAY}, sync_to_thread=True)
def replay_step(visit: Visiting) -> Response[bytes]:
    """Feed in the next some of a window, and say how far that is."""
    window = _window(visit, visit.form)
    run = visit.form.text("run")
    progress = Replays(visit.back.desk.database).step(window, run, visit.now)
    visit.back.wake()
    fields = _fields(visit, window, run)
    if visit.is_partial:
        return visit.page("replay_progress.html", progress=progress, fields=fields, is_going=True)
    return visit.go(f"/deliveries/replay?{urlencode(fields)}")


def _window(visit: Visit, asked: Any) -> Window:
    """Read the window that is asked for. Raises Invalid."""
    named = asked.text("integration")
    chosen = next((one for one in _integrations(visit) if named in (one.id, one.name)), None)
    if chosen is None:
        raise Invalid("choose the integration whose deliveries are to be replayed")
    begins_at = _instant(visit, asked.text("from"), "from")
    ends_at = min(_instant(visit, asked.text("to"), "to"), visit.now)
    if begins_at >= ends_at:
        raise Invalid("the window ends before it begins, or lies ahead: choose an earlier begin")
    return Window(
        integration_id=chosen.id,
        begins_at=begins_at,
        ends_at=ends_at,
        is_of_trouble=asked.text("which") == "trouble",
    )


def _instant(visit: Visit, text: str, name: str) -> datetime:
    """Read a time as a field of the form gives it: on the clock of whoever typed it."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"say {name} when: a date and a time") from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=visit.zone)
    try:
        return parse_instant(at.isoformat())
    except ValueError as error:
        raise Invalid(f"{error}") from None


def _fields(visit: Visit, window: Window, run: str) -> dict[str, str]:
    return {
        "integration": visit.plans.integrations[window.integration_id].id,
        "from": window.begins_at.isoformat(),
        "to": window.ends_at.isoformat(),
        "which": "trouble" if window.is_of_trouble else "taken",
        "run": run,
    }


def _window_page(
    visit: Visit,
    faults: list[str] | None = None,
    *,
    window: Window | None = None,
    run: str = "",
    progress: Progress | None = None,
    status: int = 200,
) -> Response[bytes]:
    local = visit.now.astimezone(visit.zone)
    typed = {
        "integration": visit.query.text("integration"),
        "from": visit.query.text("from") or _short(local - timedelta(hours=1)),
        "to": visit.query.text("to") or _short(local),
        "which": visit.query.text("which"),
    }
    return visit.page(
        "replay.html",
        status,
        typed=typed,
        window=window,
        name=visit.plans.integrations[window.integration_id].name if window else "",
        fields=_fields(visit, window, run) if window else {},
        progress=progress,
        is_going=False,
        which=WHICH,
        most=MOST_COUNTED,
        pairs=[(one.id, one.name) for one in _integrations(visit)],
        faults=faults or [],
    )


def _short(local: datetime) -> str:
    return f"{local:%Y-%m-%dT%H:%M}"


PAGES: tuple[Any, ...] = (
    list_deliveries,
    show_delivery,
    download_body,
    replay_one,
    choose_window,
    replay_step,
)
