"""One's own page: when one is reached and how one likes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from tocsin.core.access import Action
from tocsin.core.model import Role
from tocsin.core.plans import AwayKind
from tocsin.core.session import Preferences
from tocsin.store import calendars
from tocsin.web.calendar import Feeds
from tocsin.web.pages.keys import role_of, roles_up_to
from tocsin.web.pages.reached import contacts_of
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.work.configfile import BadFile
from tocsin.work.contacts import Mistaken, Profile, profile_of
from tocsin.work.dated import AbsenceTable
from tocsin.work.oncall import moment
from tocsin.work.own import THEMES, Own
from tocsin.work.refusals import Forbidden, Invalid
from tocsin.work.respond import NotFound

#: Absences that are listed at once.
_ABSENCES = 200

# -- when one is away -----------------------------------------------------------------------------


@get("/me/times", opt={"action": Action.READ}, sync_to_thread=True)
def times(visit: Visiting) -> Response[bytes]:
    """Show when one is not to be paged."""
    return _times(visit)


@post("/me/quiet", opt={"action": Action.RESPOND}, sync_to_thread=True)
def set_quiet(visit: Visiting) -> Response[bytes]:
    """Set the quiet hours, or take them away."""
    form, old = visit.form, profile_of(visit.user)
    hours = ("", "") if form.has("none") else (form.text("from"), form.text("to"))
    new = Profile(name=old.name, time_zone=old.time_zone, quiet_from=hours[0], quiet_to=hours[1])
    try:
        contacts_of(visit).set_profile(visit.user.id, new, visit.now)
    except Mistaken as error:
        return _times(visit, 422, wrong=[str(error)])
    visit.back.changed()
    said = "Quiet hours are set." if hours[0] else "There are no quiet hours any more."
    return visit.go("/me/times", said)


@post("/me/handoff", opt={"action": Action.RESPOND}, sync_to_thread=True)
def set_handoff(visit: Visiting) -> Response[bytes]:
    """Be told, or not, when one's time on call begins and ends."""
    wanted = visit.form.has("wanted")
    contacts_of(visit).set_handoff_notices(visit.user.id, visit.now, wanted=wanted)
    visit.back.changed()
    return visit.go("/me/times", f"You are {'' if wanted else 'not '}told of hand-offs.")


@post("/me/absences", opt={"action": Action.RESPOND}, sync_to_thread=True)
def add_absence(visit: Visiting) -> Response[bytes]:
    """Be away for a time."""
    form = visit.form
    try:
        begins, ends = (
            moment(form.text(name), visit.user.time_zone).isoformat() if form.text(name) else None
            for name in ("from", "to")
        )
        if ends is None:
            raise Invalid("say until when: an absence has an end")  # noqa: TRY301
        row = AbsenceTable(
            kind=AwayKind.QUIET if form.text("kind") == "quiet" else AwayKind.AWAY,
            from_=begins,
            to=ends,
            substitute=form.maybe("substitute"),
        )
        visit.back.collections["absences"].create(row, visit.caller, visit.now)
    except (BadFile, Forbidden, Invalid) as error:
        return _times(visit, 422, wrong=_sentences(error))
    visit.back.changed()
    return visit.go("/me/times", "Your absence is noted.")


@post("/me/absences/{absence_id:str}/remove", opt={"action": Action.RESPOND}, sync_to_thread=True)
def remove_absence(visit: Visiting, absence_id: FromPath[str]) -> Response[bytes]:
    """Be there again."""
    absences = visit.back.collections["absences"]
    if absences.one(absence_id, visit.caller)["user"] != visit.user.email:
        raise NotFound("there is no such absence of yours")
    absences.remove(absence_id, visit.caller, visit.now)
    visit.back.changed()
    return visit.go("/me/times", "The absence is over.")


def _times(visit: Visit, status: int = 200, wrong: Sequence[str] = ()) -> Response[bytes]:
    user = visit.back.desk.plans.refresh().users[visit.user.id]
    away = sorted(
        (one for one in user.absences if one.ends_at > visit.now), key=lambda one: one.begins_at
    )
    people = sorted(
        (one for one in visit.plans.users.values() if one.id != user.id), key=lambda one: one.name
    )
    return visit.page(
        "me_times.html",
        status,
        me=user,
        profile=profile_of(user),
        away=away[:_ABSENCES],
        people=people,
        typed=visit.form,
        wrong=wrong,
    )


# -- how one likes it -----------------------------------------------------------------------------


@get("/me/page", opt={"action": Action.READ}, sync_to_thread=True)
def likes(visit: Visiting) -> Response[bytes]:
    """Show name, zone, and how one likes the page."""
    return _likes(visit, profile_of(visit.user))


@post("/me/profile", opt={"action": Action.READ}, sync_to_thread=True)
def set_profile(visit: Visiting) -> Response[bytes]:
    """Change name and time zone."""
    form, old = visit.form, profile_of(visit.user)
    new = Profile(
        name=form.text("name"),
        time_zone=form.text("time_zone"),
        quiet_from=old.quiet_from,
        quiet_to=old.quiet_to,
    )
    try:
        contacts_of(visit).set_profile(visit.user.id, new, visit.now)
    except Mistaken as error:
        return _likes(visit, new, 422, wrong=[str(error)])
    visit.back.changed()
    return visit.go("/me/page", "Saved.")


@post("/me/preferences", opt={"action": Action.READ}, sync_to_thread=True)
def set_preferences(visit: Visiting) -> Response[bytes]:
    """Change how the page looks."""
    form = visit.form
    theme = form.text("theme")
    wanted = Preferences(
        theme=theme if theme in THEMES else "auto",
        is_24h=form.text("clock") != "12",
        has_shortcuts=form.has("shortcuts"),
    )
    _own(visit).prefer(visit.user.id, wanted)
    return visit.go("/me/page", "Saved.")


def _likes(
    visit: Visit, profile: Profile, status: int = 200, wrong: Sequence[str] = ()
) -> Response[bytes]:
    return visit.page("me_page.html", status, profile=profile, wrong=wrong)


# -- ways in --------------------------------------------------------------------------------------


@get("/me/access", opt={"action": Action.READ}, sync_to_thread=True)
def access(visit: Visiting) -> Response[bytes]:
    """Show where one is signed in, and the secrets that are one's own."""
    return _access(visit)


@post("/me/sessions/{session_id:str}/end", opt={"action": Action.READ}, sync_to_thread=True)
def end_session(visit: Visiting, session_id: FromPath[str]) -> Response[bytes]:
    """Let a browser out."""
    _own(visit).end_session(visit.caller, session_id, visit.now)
    return visit.go("/me/access", "That browser is signed out.")


@post("/me/sessions/end-others", opt={"action": Action.READ}, sync_to_thread=True)
def end_other_sessions(visit: Visiting) -> Response[bytes]:
    """Let every other browser out."""
    assert visit.visitor is not None
    _own(visit).end_others(visit.caller, visit.visitor.session.id, visit.now)
    return visit.go("/me/access", "Every other browser is signed out.")


@post("/me/calendar", opt={"action": Action.READ}, sync_to_thread=True)
def make_feed(visit: Visiting) -> Response[bytes]:
    """Make an address under which one's shifts are read, and show it this once."""
    _, url = _feeds(visit).make(visit.user, None, visit.by, visit.now)
    return _access(visit, feed_url=url)


@post("/me/calendar/{feed_id:str}/revoke", opt={"action": Action.READ}, sync_to_thread=True)
def revoke_feed(visit: Visiting, feed_id: FromPath[str]) -> Response[bytes]:
    """Let such an address lead nowhere."""
    with visit.back.desk.database.read() as connection:
        found = calendars.feed(connection, feed_id)
    if found is None or found.user_id != visit.user.id:
        raise NotFound("there is no such calendar of yours any more")
    _feeds(visit).revoke(found, visit.by, visit.now)
    return visit.go("/me/access", "That address leads nowhere any more.")


@post("/me/keys", opt={"action": Action.READ}, sync_to_thread=True)
def make_key(visit: Visiting) -> Response[bytes]:
    """Make an API key of one's own, and show it this once."""
    form = visit.form
    try:
        role = role_of(form.text("role"))
        row, key = visit.back.office.make_key_for(
            visit.caller, form.text("name"), role, visit.user.email, visit.now
        )
    except (Forbidden, Invalid) as error:
        return _access(visit, 422, wrong=[str(error)])
    return _access(visit, made=(row.name, key))


@post("/me/keys/{key_id:str}/revoke", opt={"action": Action.READ}, sync_to_thread=True)
def revoke_key(visit: Visiting, key_id: FromPath[str]) -> Response[bytes]:
    """Let a key of one's own open nothing any more."""
    gone = visit.back.office.revoke_key(key_id, visit.caller, visit.now, visit.user.id)
    return visit.go("/me/access", f"{gone.name} was revoked: it opens nothing any more.")


def _access(visit: Visit, status: int = 200, **more: Any) -> Response[bytes]:
    context: dict[str, Any] = {"made": None, "feed_url": "", "wrong": [], **more}
    with visit.back.desk.database.read() as connection:
        feeds = calendars.feed_page(connection, visit.user.id, None, None, 50)
    roles: list[Role] = roles_up_to(visit.user.role)
    return visit.page(
        "me_access.html",
        status,
        sessions=_own(visit).sessions(visit.user.id),
        feeds=feeds,
        keys=visit.back.office.api_keys(visit.user.id),
        roles=roles,
        typed=visit.form,
        **context,
    )


def _own(visit: Visit) -> Own:
    return Own(visit.back.desk.database)


def _feeds(visit: Visit) -> Feeds:
    feeds: Feeds = visit.request.app.state.feeds
    return feeds


def _sentences(error: Exception) -> list[str]:
    return list(error.findings) if isinstance(error, BadFile) else [str(error)]


PAGES: tuple[Any, ...] = (
    times,
    set_quiet,
    set_handoff,
    add_absence,
    remove_absence,
    likes,
    set_profile,
    set_preferences,
    access,
    end_session,
    end_other_sessions,
    make_feed,
    revoke_feed,
    make_key,
    revoke_key,
)
