"""Make an issue part of an incident because a person at its source says so."""

from __future__ import annotations

from tocsin.core import effects as fx
from tocsin.core.incident import Refused, merge
from tocsin.core.model import Actor, Incident, Signal


def link(
    signal: Signal, own: Incident | None, target: Incident, by: Actor
) -> tuple[tuple[fx.Effect, ...], tuple[fx.Effect, ...]]:
    """Return what happens to the alert's own incident, and what to the one it is linked to.

    Nobody is paged for that: who links has looked. A repeat changes nothing. Raises Refused where
    the target is resolved.
    """
    if own is not None and own.id == target.id:
        return (), ()
    if not target.is_open:
        raise Refused(
            f"incident {target.number} is resolved: choose one that is open, or a new one"
        )
    if own is not None and own.is_open:
        gone, taken = merge(own, target, by)
        return tuple(gone), tuple(taken)
    seen = fx.SeeAlert(signal=signal, service_id=target.service_id)
    joined = fx.Join(
        text=f"linked in Sentry: {signal.title}",
        by=by,
        incident_id=target.id,
        title=target.title,
        severity=target.severity,
        urgency=target.urgency,
    )
    return (), (seen, joined)
