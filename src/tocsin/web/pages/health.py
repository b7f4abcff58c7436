"""Whether all is well: what could stop a page, and what is being worked on."""

from __future__ import annotations

from typing import Any

from litestar import Response, get

from tocsin.core.access import Action
from tocsin.store import inbox, jobs
from tocsin.store.spool import SPOOL, load_of
from tocsin.web.pages.visit import Visiting
from tocsin.work.doctor import OVERDUE, Patient, examine

#: Work that was given up, shown at once.
_BURIED = 20


@get("/health", opt={"action": Action.READ}, sync_to_thread=True)
def health(visit: Visiting) -> Response[bytes]:
    """Show what could stop a page; what concerns the whole set-up only to who administers it."""
    back = visit.back
    sees_all = visit.may("administer")
    with back.desk.database.read() as connection:
        numbers = {
            "waiting": inbox.waiting_count(connection),
            "overdue": jobs.overdue_count(connection, visit.now - OVERDUE),
            "buried": jobs.buried_count(connection),
            "spooled": load_of(back.data_dir / SPOOL).waiting,
        }
        buried = jobs.buried(connection, _BURIED) if sees_all else []
        findings = (
            examine(
                Patient(
                    connection=connection,
                    plans=visit.all_plans,
                    now=visit.now,
                    data_dir=back.data_dir,
                    public_url=back.public_url,
                    has_smtp=back.has_mail,
                    vault=back.vault,
                )
            )
            if sees_all
            else []
        )
    state = visit.request.app.state.health
    wrong = state.readiness()
    return visit.page(
        "health.html",
        findings=findings,
        buried=buried,
        numbers=numbers,
        wrong=wrong,
        ticked_at=state.ticked_at(),
        sees_all=sees_all,
        is_well=not (findings or wrong or numbers["overdue"] or numbers["buried"]),
    )


PAGES: tuple[Any, ...] = (health,)
