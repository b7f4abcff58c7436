"""What keeps an incident from paging, and what becomes of it when that ends."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime

from tocsin.core import effects as fx
from tocsin.core import noise
from tocsin.core.model import Incident, IncidentStatus, Signal
from tocsin.core.noise import Held
from tocsin.core.plans import MaintenanceWindow, Service
from tocsin.core.routes import matches


def window_key(window: MaintenanceWindow) -> str:
    """Name a window with what it matches: matching something else, it is another."""
    return f"{window.id}:{hashlib.sha256(repr(window.match).encode()).hexdigest()[:12]}"


def _is_on(window: MaintenanceWindow, service_id: str, now: datetime) -> bool:
    covers = not window.service_ids or service_id in window.service_ids
    return covers and window.begins_at <= now < window.ends_at


def suppressing(
    windows: Iterable[MaintenanceWindow], service_id: str, signal: Signal, now: datetime
) -> list[MaintenanceWindow]:
    """Return the windows that keep this from paging, the one that ends last first."""
    on = (
        window
        for window in windows
        if _is_on(window, service_id, now)
        and (window.match is None or matches(window.match, signal))
    )
    return sorted(on, key=lambda window: window.ends_at, reverse=True)


def suppress(on: Sequence[MaintenanceWindow], held: Held | None = None) -> tuple[fx.Suppress, ...]:
    """Keep an incident from paging while windows or a hold last, if there are any."""
    ends: list[datetime] = []
    texts: list[str] = []
    keys: list[str] = []
    if on:
        longest = on[0]
        why = f": {longest.reason}" if longest.reason else ""
        end = f"{longest.ends_at:%Y-%m-%d %H:%M} UTC"
        texts.append(f"in maintenance until {end}{why}; nobody is paged")
        ends.append(longest.ends_at)
        keys += [window_key(window) for window in on]
    if held:
        texts.append(held.text)
        ends.append(held.until)
        keys.append(held.key)
    if not ends:
        return ()
    return (fx.Suppress(text="; ".join(texts), until=max(ends), windows=tuple(keys)),)


def release(
    incident: Incident,
    windows: Iterable[MaintenanceWindow],
    now: datetime,
    service: Service | None = None,
) -> tuple[fx.Effect, ...]:
    """What kept it quiet may have ended: page if it is still open, or go on waiting.

    It waits on while one of the windows that matched it goes on as it was, or one of its service
    that matches everything; and while it is held, by a rule that its service still has.
    """
    if incident.suppressed_until is None or not incident.is_open:
        return ()
    holds = service is not None and service.noise.hold is not None
    return freed(incident, windows, now, is_held=holds)


def freed(
    incident: Incident,
    windows: Iterable[MaintenanceWindow],
    now: datetime,
    *,
    is_held: bool,
    why: str = "",
) -> tuple[fx.Effect, ...]:
    """Let an incident page, unless something else keeps it quiet; ``why`` it is held no more."""
    on = [
        window
        for window in windows
        if _is_on(window, incident.service_id, now)
        and (window.match is None or window_key(window) in incident.suppressed_by)
    ]
    ends = {window_key(window): window.ends_at for window in on}
    until = noise.held_until(incident)
    if is_held and until is not None and until > now:
        ends[Held(until=until, text="").key] = until
    if ends:
        last = max(ends.values())
        what = "maintenance goes on" if on else "held"
        changed = last != incident.suppressed_until
        text = f"{what} until {last:%Y-%m-%d %H:%M} UTC" if changed else ""
        said = "; ".join(part for part in (why, text) if part)
        return (fx.Suppress(text=said, until=last, windows=tuple(ends)),)
    was_held = until is not None and until == incident.suppressed_until
    text = why or ("held long enough: it is not over" if was_held else "maintenance is over")
    freed = fx.Unsuppress(text=text)
    return (freed, fx.Restart()) if incident.status is IncidentStatus.TRIGGERED else (freed,)
