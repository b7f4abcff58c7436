"""The client of Sentry's API against the fake: what it asks, reads, and says when it goes wrong."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx2
import msgspec
import pytest

from tests.fakes import ALL_SCOPES, FakeSentry
from tocsin.channels.guard import Guard, guarded_client
from tocsin.sentry import client
from tocsin.sentry.client import (
    Broken,
    Line,
    Lines,
    NotPermitted,
    NotThere,
    Place,
    RateLimited,
    Refused,
    Sentry,
    SentryError,
    Unreachable,
    host_of,
    is_own,
)
from tocsin.sentry.place import token_of
from tocsin.sentry.shapes import AppForm, IssueChange, RuleForm

LOOPBACK = Guard([ipaddress.ip_network("127.0.0.0/8")])

HOOK = "http://127.0.0.1:9/in/key"

SERVICE_ACTION = "sentry.rules.actions.notify_event_service.NotifyEventServiceAction"
NEW = {"id": "sentry.rules.conditions.first_seen_event.FirstSeenEventCondition"}


def ask(place: Place, work: Callable[[Sentry], Awaitable[Any]], **options: Any) -> Any:
    """Ask with a client of one's own."""

    async def run() -> Any:
        async with guarded_client(LOOPBACK) as http:
            return await work(Sentry(http, place, **options))

    return asyncio.run(run())


def form(name: str = "Tocsin", **changed: Any) -> AppForm:
    said: dict[str, Any] = {
        "name": name,
        "organization": "acme",
        "webhook_url": HOOK,
        "scopes": ("event:read", "event:write"),
        "events": ("issue", "comment"),
        "schema": {},
    }
    return AppForm(**(said | changed))


# -- what it reads --------------------------------------------------------------------------------


def test_an_organisation_its_projects_and_its_members(sentry: FakeSentry):
    async def work(asked: Sentry) -> Any:
        return await asked.organization(), await asked.projects(), await asked.members()

    organization, projects, members = ask(sentry.place(), work)
    assert organization.slug == "acme"
    assert organization.links.region_url == sentry.url
    assert [one.slug for one in projects] == ["backend", "frontend", "search"]
    assert members[0].email == "ann@example.com"
    assert members[0].user.id.isdecimal()


def test_the_root_tells_what_a_token_may(sentry: FakeSentry):
    root = ask(sentry.place(sentry.token("event:read", "org:read")), lambda asked: asked.root())
    assert root.auth.scopes == ("event:read", "org:read")
    assert root.user.email == "ann@example.com"


def test_every_page_of_a_list_is_read_by_its_cursor(sentry: FakeSentry):
    sentry.do("settings", page_size=1)
    projects = ask(sentry.place(), lambda asked: asked.projects())
    assert [one.slug for one in projects] == ["backend", "frontend", "search"]
    assert len(sentry.requests()) == 3


def test_issues_come_page_by_page_in_the_order_they_were_seen_last(sentry: FakeSentry):
    made = []
    for number in range(5):
        made.append(sentry.issue(title=f"E: {number}")["id"])
        sentry.do("clock", forward=1)
    sentry.do("event", issue=made[0])
    assert ask(sentry.place(), paged(sentry)) == [made[0], *reversed(made[1:])]


def test_issues_of_projects_that_the_tokens_person_has_not_joined_are_listed_too(
    sentry: FakeSentry,
):
    sentry.do("join", person="ann@example.com", projects=["frontend"])
    made = {sentry.issue(project=project)["id"] for project in ("backend", "frontend")}
    place = sentry.place()
    path = "/api/0/organizations/acme/issues/?query=is:unresolved"
    _, unasked = sentry.ask("GET", path, token=place.token)
    assert [one["project"]["slug"] for one in unasked] == ["frontend"]
    page = ask(place, lambda asked: asked.issues("is:unresolved"))
    assert {one.id for one in page.items} == made


def test_of_issues_seen_at_the_same_instant_none_is_lost_between_pages(sentry: FakeSentry):
    sentry.do("clock", forward=0)
    made = {sentry.issue(title=f"E: {number}")["id"] for number in range(5)}
    found = ask(sentry.place(), paged(sentry))
    assert sorted(found) == sorted(made)


def paged(sentry: FakeSentry) -> Callable[[Sentry], Awaitable[list[str]]]:
    """Return what reads all issues, two at a time."""
    sentry.do("settings", page_size=2)

    async def work(asked: Sentry) -> list[str]:
        found, cursor = [], None
        for _ in range(10):
            page = await asked.issues("is:unresolved", cursor=cursor)
            found += [one.id for one in page.items]
            cursor = page.next
            if cursor is None:
                break
        return found

    return work


def test_an_issue_keeps_all_that_sentry_said_of_it(sentry: FakeSentry):
    id_ = sentry.issue(title="KeyError: 'größe'", level="fatal", users=["a", "b"])["id"]
    issue = ask(sentry.place(), lambda asked: asked.issue(id_))
    assert (issue.id, issue.level, issue.status, issue.substatus) == (
        id_, "fatal", "unresolved", "new",
    )  # fmt: skip
    assert (issue.events, issue.user_count) == (1, 2)
    assert issue.project.slug == "backend"
    assert issue.last_seen.tzinfo is not None
    assert msgspec.json.decode(issue.raw)["metadata"]["value"] == "'größe'"


def test_the_latest_event_with_its_frames_owners_and_suspects(sentry: FakeSentry):
    id_ = sentry.issue(
        release="backend@2.4.1",
        owners=["bob@example.com"],
        commits={"cat@example.com": "checkout: divide"},
    )["id"]

    async def work(asked: Sentry) -> Any:
        event = await asked.latest_event(id_)
        owners = await asked.owners("backend", event.event_id)
        return event, owners, await asked.committers("backend", event.event_id)

    event, owners, committers = ask(sentry.place(), work)
    assert event.release.version == "backend@2.4.1"
    assert event.tag("environment") == "production"
    assert event.exceptions[-1].type == "ZeroDivisionError"
    frames = event.exceptions[-1].stacktrace.frames
    assert [frame.filename for frame in frames if frame.in_app] == ["checkout/views.py"]
    assert owners[0].email == "bob@example.com"
    assert committers[0].author.email == "cat@example.com"


def test_no_owners_and_no_suspects_are_no_fault(sentry: FakeSentry):
    id_ = sentry.issue()["id"]

    async def work(asked: Sentry) -> Any:
        event = await asked.latest_event(id_)
        owners = await asked.owners("backend", event.event_id)
        return owners, await asked.committers("backend", event.event_id)

    assert ask(sentry.place(), work) == ((), ())


def test_fields_that_nobody_knows_are_let_pass(sentry: FakeSentry):
    sentry.issue()
    sentry.do("faults", unknown=True)

    async def work(asked: Sentry) -> Any:
        page = await asked.issues("is:unresolved")
        await asked.latest_event(page.items[0].id)
        await asked.organization()
        return page

    page = ask(sentry.place(), work)
    assert msgspec.json.decode(page.items[0].raw)["aNewField"]


@pytest.mark.parametrize(
    "said",
    [
        {"id": 7, "count": 3, "project": {"id": 2, "slug": "backend"}},
        {"id": "7", "statusDetails": None, "assignedTo": None, "metadata": None, "lastSeen": None},
        {"id": "7", "lastSeen": "2026-01-05T09:00:00+00:00", "count": "3"},
    ],
)
def test_issues_of_other_years_are_understood(said: dict[str, Any]):
    issue = client._issue(msgspec.Raw(msgspec.json.encode(said)))
    assert issue.id == "7"
    assert issue.project is None or issue.project.id == "2"


# -- what it does ---------------------------------------------------------------------------------


def test_only_what_is_set_is_changed(sentry: FakeSentry):
    id_ = sentry.issue()["id"]

    async def work(asked: Sentry) -> Any:
        assigned = await asked.change_issue(id_, IssueChange(assigned_to="bob@example.com"))
        archived = await asked.change_issue(
            id_, IssueChange(status="ignored", status_details={"ignoreDuration": 30})
        )
        return assigned, archived, await asked.change_issue(id_, IssueChange(assigned_to=""))

    assigned, archived, nobodys = ask(sentry.place(), work)
    assert (assigned.status, assigned.assigned_to.email) == ("unresolved", "bob@example.com")
    assert archived.substatus == "archived_until_condition_met"
    assert archived.status_details.ignore_until is not None
    assert (nobodys.status, nobodys.assigned_to) == ("ignored", None)


def test_a_note_twice_within_the_hour_is_refused_in_sentrys_words(sentry: FakeSentry):
    id_ = sentry.issue()["id"]

    async def work(asked: Sentry) -> Any:
        await asked.add_note(id_, "rolling back")
        notes = await asked.notes(id_)
        with pytest.raises(Refused, match="already posted that comment") as refused:
            await asked.add_note(id_, "rolling back")
        return notes, refused.value.status

    notes, status = ask(sentry.place(), work)
    assert [one.data.text for one in notes] == ["rolling back"]
    assert status == 400


def test_a_link_in_the_sidebar_is_made_changed_and_taken_away(sentry: FakeSentry):
    id_ = sentry.issue()["id"]

    async def work(asked: Sentry) -> Any:
        await asked.create_app(form())
        (installation,) = await asked.installations()
        made = [
            await asked.link_issue(installation.uuid, id_, f"http://t/{n}", "checkout", str(n))
            for n in (1, 2)
        ]
        links = sentry.state()["issues"][id_]["links"]
        for _ in range(2):
            await asked.unlink_issue(installation.uuid, made[0].id)
        return links

    links = ask(sentry.place(), work)
    assert [link["displayName"] for link in links] == ["checkout#2"]
    assert sentry.state()["issues"][id_]["links"] == []


def test_an_integration_is_made_found_changed_and_deleted(sentry: FakeSentry):
    async def work(asked: Sentry) -> Any:
        made = await asked.create_app(form())
        found = await asked.apps()
        (installation,) = await asked.installations()
        assert installation.app.uuid == made.uuid
        await asked.change_app(made.slug, form(webhook_url=f"{HOOK}/2"))
        again = await asked.app(made.slug)
        rotated = await asked.rotate_secret(made.slug)
        for _ in range(2):
            await asked.delete_app(made.slug)
        return made, found, again, rotated

    made, found, again, rotated = ask(sentry.place(), work)
    assert [one.slug for one in found] == [made.slug]
    assert made.secret
    assert again.webhook_url == f"{HOOK}/2"
    assert rotated not in (made.secret, "")
    assert sentry.slugs() == []


def test_a_secret_is_told_for_a_day_and_only_to_who_may(sentry: FakeSentry):
    made = ask(sentry.place(), lambda asked: asked.create_app(form()))
    seen_by_cat = sentry.place(sentry.token(person="cat"))
    masked = ask(seen_by_cat, lambda asked: asked.app(made.slug))
    assert (masked.client_secret or "").startswith("*")
    assert masked.secret is None
    sentry.do("clock", forward=86_500)
    assert ask(sentry.place(), lambda asked: asked.app(made.slug)).secret is None


def test_a_rule_is_made_once_and_deleted(sentry: FakeSentry):
    async def work(asked: Sentry) -> Any:
        app = await asked.create_app(form())
        wanted = RuleForm(
            name="Tell Tocsin",
            conditions=(NEW,),
            actions=({"id": SERVICE_ACTION, "service": app.slug},),
        )
        made = await asked.create_rule("backend", wanted)
        with pytest.raises(Refused, match="exact duplicate"):
            await asked.create_rule("backend", wanted)
        listed = await asked.rules("backend")
        for _ in range(2):
            await asked.delete_rule("backend", made.id)
        return listed, await asked.rules("backend")

    listed, left = ask(sentry.place(), work)
    assert [one.name for one in listed] == ["Tell Tocsin"]
    assert left == []


# -- what it is not allowed -----------------------------------------------------------------------

#: What is asked, and the scope that it needs.
NEEDS: tuple[tuple[str, Callable[[Sentry], Awaitable[Any]]], ...] = (
    ("org:read", lambda asked: asked.organization()),
    ("member:read", lambda asked: asked.members()),
    ("event:read", lambda asked: asked.issues("is:unresolved")),
    ("event:write", lambda asked: asked.change_issue("1", IssueChange(status="resolved"))),
    ("event:write", lambda asked: asked.add_note("1", "text")),
    ("org:read", lambda asked: asked.apps()),
    ("org:write", lambda asked: asked.create_app(form())),
    ("alerts:write", lambda asked: asked.create_rule("backend", RuleForm(
        name="n", conditions=(), actions=()))),
)  # fmt: skip


@pytest.mark.parametrize(("scope", "work"), NEEDS)
def test_what_a_token_may_not_is_said_with_the_scope_that_is_missing(
    sentry: FakeSentry, scope: str, work: Callable[[Sentry], Awaitable[Any]]
):
    kind = scope.partition(":")[0]
    others = [one for one in ALL_SCOPES if not one.startswith(f"{kind}:")]
    place = sentry.place(sentry.token(*others))
    with pytest.raises(NotPermitted, match=f"needs the scope {scope}") as refused:
        ask(place, work)
    assert refused.value.scope == scope
    assert "You do not have permission" in str(refused.value)
    assert place.token not in str(refused.value)
    assert not refused.value.is_temporary


def test_a_role_bounds_what_a_token_may(sentry: FakeSentry):
    """The token has the scope, its person has not."""
    place = sentry.place(sentry.token(person="cat"))
    with pytest.raises(NotPermitted, match="org:write"):
        ask(place, lambda asked: asked.create_app(form(scopes=("event:read",))))


def test_an_integrations_own_token_makes_no_integration(sentry: FakeSentry):
    slug = ask(sentry.place(), lambda asked: asked.create_app(form())).slug
    own = sentry.place(sentry.app_token(slug))
    with pytest.raises(NotPermitted, match="does not belong"):
        ask(own, lambda asked: asked.create_app(form("Another")))


def test_a_token_that_is_none_is_said_so(sentry: FakeSentry):
    place = Place(host=sentry.url, organization="acme", token="sntryu_wrong")
    with pytest.raises(NotPermitted, match="not valid") as refused:
        ask(place, lambda asked: asked.organization())
    assert refused.value.scope == ""


@pytest.mark.parametrize("token", ["with space", "with\nline", "grüße", "\x00", ""])
def test_no_token_whatever_it_is_breaks_the_client(sentry: FakeSentry, token: str):
    place = Place(host=sentry.url, organization="acme", token=token)
    with pytest.raises(SentryError):
        ask(place, lambda asked: asked.organization())


def test_what_is_not_there_is_said_so(sentry: FakeSentry):
    with pytest.raises(NotThere):
        ask(sentry.place(), lambda asked: asked.issue("999"))
    nowhere = Place(host=sentry.url, organization="nobody/../acme", token=sentry.token())
    with pytest.raises(NotThere):
        ask(nowhere, lambda asked: asked.organization())


# -- what goes wrong ------------------------------------------------------------------------------

#: A fault, and what it becomes.
FAULTS: tuple[tuple[dict[str, Any], type[SentryError], str], ...] = (
    ({"away": True}, Unreachable, "cannot be reached"),
    ({"slow": 3}, Unreachable, "did not answer within"),
    ({"html": True}, Broken, "not Sentry's"),
    ({"html": True, "status": 404}, Broken, "not Sentry's"),
    ({"html": True, "status": 502}, Broken, "HTTP 502"),
    ({"status": 500}, Broken, "HTTP 500"),
    ({"status": 503}, Broken, "HTTP 503"),
    ({"json": "wrong"}, Broken, "not as we know it"),
    ({"json": "list"}, Broken, "not as we know it"),
    ({"json": "cut"}, Broken, "not Sentry's"),
    ({"json": "deep"}, Broken, "not"),
    ({"json": "text"}, Broken, "not Sentry's"),
    ({"huge": True}, Broken, "larger than 2 MiB"),
    ({"packed": True}, Broken, "packed"),
)


@pytest.mark.parametrize(("fault", "kind", "said"), FAULTS, ids=str)
def test_every_fault_is_told_in_a_sentence_and_worth_another_try(
    sentry: FakeSentry, fault: dict[str, Any], kind: type[SentryError], said: str
):
    place = sentry.place()
    sentry.do("faults", **fault)
    with pytest.raises(kind, match=said) as failed:
        ask(place, lambda asked: asked.organization(), deadline=timedelta(seconds=0.5))
    assert failed.value.is_temporary
    assert "\n" not in str(failed.value)
    assert len(str(failed.value)) < 400
    assert place.token not in str(failed.value)


@pytest.mark.parametrize("wrong", ["\n", "\r\nX-More: 1", "\x00", "\x7f", "é", "\ud800"])
def test_a_token_that_no_header_takes_is_refused_and_not_quoted(sentry: FakeSentry, wrong: str):
    place = Place(host=sentry.url, organization="acme", token=f"sntryu_canary{wrong}canary")
    with pytest.raises(NotPermitted, match="give it again, in one line") as failed:
        ask(place, lambda asked: asked.organization())
    assert "canary" not in str(failed.value)
    assert sentry.requests() == []


@pytest.mark.parametrize("wrong", ["two words", "two\nlines", "a\tb", "a\x00b", "é", ""])
def test_what_is_no_token_is_refused_without_being_quoted(wrong: str):
    with pytest.raises(ValueError, match="that is no token") as failed:
        token_of(f"{wrong} ")
    assert not wrong or wrong not in str(failed.value)


def test_a_token_is_read_without_the_spaces_around_it():
    assert token_of(" sntryu_abc\n") == "sntryu_abc"


def test_a_fault_of_a_moment_is_asked_past(sentry: FakeSentry):
    sentry.do("faults", status=503, count=1)
    assert ask(sentry.place(), lambda asked: asked.organization()).slug == "acme"


def test_what_might_be_done_twice_is_asked_once(sentry: FakeSentry):
    id_ = sentry.issue()["id"]
    sentry.do("faults", status=503)
    with pytest.raises(Broken):
        ask(sentry.place(), lambda asked: asked.add_note(id_, "once"))
    assert len(sentry.requests("POST")) == 1


def test_a_short_rest_is_waited_for_and_a_long_one_is_the_callers(sentry: FakeSentry):
    place = sentry.place()
    sentry.do("faults", status=429, retry_after=0, count=1)
    assert ask(place, lambda asked: asked.organization()).slug == "acme"
    sentry.do("faults", status=429, reset=90, count=1)
    with pytest.raises(RateLimited) as limited:
        ask(place, lambda asked: asked.organization())
    assert timedelta(seconds=60) < limited.value.retry_after <= timedelta(seconds=95)


def test_when_nothing_remains_nothing_is_asked(sentry: FakeSentry):
    """The rest that Sentry announced holds for everybody who asks the same organisation."""
    place = sentry.place()
    sentry.do("faults", remaining=0, reset=60)

    async def run() -> None:
        async with guarded_client(LOOPBACK) as http:
            lines = Lines(http)
            await lines.to(place).organization()
            with pytest.raises(RateLimited):
                await lines.to(place).projects()

    asyncio.run(run())
    assert len(sentry.requests()) == 1


def test_one_organisation_is_asked_one_thing_at_a_time(sentry: FakeSentry):
    place = sentry.place()
    sentry.do("faults", slow=0.05)

    async def run() -> None:
        async with guarded_client(LOOPBACK) as http:
            lines = Lines(http)
            await asyncio.gather(*(lines.to(place).organization() for _ in range(4)))

    asyncio.run(run())
    assert len(sentry.requests()) == 4
    assert sentry.do("requests")["at_once"] == 1


def test_one_organisation_never_waits_for_another(sentry: FakeSentry):
    sentry.do("organization", slug="globex", members=[{"email": "ann@example.com"}])
    one, other = sentry.place(), sentry.place(organization="globex")
    sentry.do("faults", slow=0.3, path="/globex/")

    async def run() -> list[str]:
        done: list[str] = []

        async def asking(name: str, asked: Sentry) -> None:
            await asked.organization()
            done.append(name)

        async with guarded_client(LOOPBACK) as http:
            lines = Lines(http)
            await asyncio.gather(asking("slow", lines.to(other)), asking("quick", lines.to(one)))
        return done

    assert asyncio.run(run()) == ["quick", "slow"]


def test_a_private_address_that_was_not_opened_is_refused_with_the_remedy(sentry: FakeSentry):
    async def run() -> None:
        async with guarded_client(Guard()) as http:
            await Sentry(http, sentry.place()).organization()

    with pytest.raises(Unreachable, match="TOCSIN_OUTBOUND_ALLOW"):
        asyncio.run(run())


def test_a_redirect_is_not_followed(sentry: FakeSentry):
    assert sentry.ask("GET", "/api/0/organizations/acme", token=sentry.token())[0] == 301
    with pytest.raises(Refused, match="leads elsewhere"):
        ask(sentry.place(), lambda asked: asked._ask(client._ORGANIZATION, "organizations/acme"))


def test_every_path_ends_with_a_slash(sentry: FakeSentry):
    id_ = sentry.issue()["id"]

    async def work(asked: Sentry) -> None:
        await asked.root()
        await asked.organization()
        await asked.latest_event(id_)
        await asked.issues("is:unresolved")
        await asked.add_note(id_, "note")
        await asked.create_app(form())

    ask(sentry.place(), work)
    assert all(path.partition("?")[0].endswith("/") for _, path in sentry.requests())


# -- where it asks --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "host"),
    [
        ("sentry.io", "https://sentry.io"),
        (" https://sentry.io/ ", "https://sentry.io"),
        ("https://acme.sentry.io/issues/?project=1", "https://sentry.io"),
        ("de.sentry.io", "https://de.sentry.io"),
        ("https://us.sentry.io/api/0/", "https://us.sentry.io"),
        ("http://Sentry.Internal:9000/organizations/acme/", "http://sentry.internal:9000"),
        ("sentry.example.com:8443", "https://sentry.example.com:8443"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_the_address_of_a_sentry_is_taken_as_people_type_it(typed: str, host: str):
    assert host_of(typed) == host


@pytest.mark.parametrize(
    "typed", ["", "ftp://sentry.io", "https://user:secret@sentry.io", "http://x:99999999", "a b"]
)
def test_what_is_no_address_is_said_so(typed: str):
    with pytest.raises(ValueError, match="address") as wrong:
        host_of(typed)
    assert "secret" not in str(wrong.value)


def test_regions_are_asked_for_issues_and_sentry_io_for_integrations(sentry: FakeSentry):
    asked_hosts: list[tuple[str, str]] = []

    class Routed(httpx2.AsyncBaseTransport):
        """Leads every host to the fake."""

        def __init__(self) -> None:
            self._inner = httpx2.AsyncHTTPTransport()

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            asked_hosts.append((request.url.host, request.url.path))
            base = httpx2.URL(sentry.url)
            request.url = request.url.copy_with(scheme="http", host=base.host, port=base.port)
            return await self._inner.handle_async_request(request)

        async def aclose(self) -> None:
            await self._inner.aclose()

    async def run() -> None:
        place = Place(host="https://de.sentry.io", organization="acme", token=sentry.token())
        async with httpx2.AsyncClient(transport=Routed()) as http:
            asked = Sentry(http, place)
            await asked.organization()
            await asked.issues("is:unresolved")
            await asked.root()
            await asked.create_app(form())
            await asked.installations()

    asyncio.run(run())
    assert [host for host, _ in asked_hosts] == ["de.sentry.io"] * 2 + ["sentry.io"] * 3


def test_a_sentry_of_ones_own_is_asked_for_everything(sentry: FakeSentry):
    assert is_own(sentry.url)
    assert not is_own("https://de.sentry.io")
    assert is_own("https://notsentry.io")
    assert Place(host=sentry.url, organization="acme", token="t").control == sentry.url


def test_a_place_never_shows_its_token():
    assert "hidden" not in repr(Place(host="https://sentry.io", organization="o", token="hidden"))


def test_a_line_forgets_a_rest_that_is_over():
    line = Line()
    line.note(timedelta(seconds=-1))
    assert line.rest == timedelta()
