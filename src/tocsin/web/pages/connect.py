"""Connect a source: what to do there, the address to paste, the secret, and whether it works."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from litestar import Response, get, post
from litestar.params import FromPath

from tocsin.core.access import Action
from tocsin.core.plans import Integration
from tocsin.store.deliveries import LogFilter, log_page
from tocsin.store.joined import of_integration
from tocsin.store.vault import new_key
from tocsin.web.pages.faults import FAULTS, faults_of
from tocsin.web.pages.integrations import things
from tocsin.web.pages.sample import commands, hand_in, sample, says
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.work.collection import Shown
from tocsin.work.configure import Configurator, intake_urls
from tocsin.work.connectplan import address_warning

#: So many deliveries are shown beside the steps.
LATEST = 10

#: The styles of a URL, in the order of ``intake_urls``.
STYLES = (
    ("native", "Tocsin"),
    ("opsknight", "OpsKnight"),
    ("itoc360", "ITOC360"),
    ("navi", "Navi.sh"),
)

#: How tokens of Sentry begin, which people paste for the Client Secret.
_TOKENS = ("sntrys_", "sntryu_", "sntryi_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """One integration, as its pages show it."""

    #: Its fields, secrets as references.
    shown: Shown
    integration: Integration
    #: What its URLs hold; empty for who may not know it.
    key: str

    @property
    def path(self) -> str:
        """Where its pages are."""
        return f"/integrations/{self.integration.id}"


def open_one(visit: Visit, reference: str) -> Opened:
    """Return the integration of a name or id. Raises NotFound."""
    shown = things(visit).one(reference, visit.caller)
    key = ""
    if visit.may(Action.CONFIGURE):
        desk = visit.back.desk
        found = Configurator(desk.database, desk.plans, visit.back.vault).integration(shown["name"])
        key = found[1] if found else ""
    return Opened(shown=shown, integration=visit.plans.integrations[shown["id"]], key=key)


def kind_of(visit: Visit, integration: Integration) -> str:
    """Return which sender the page is about: what was chosen, else what the source is."""
    if integration.source != "sentry":
        return "events"
    asked = visit.query.text("kind") or visit.form.text("kind")
    return "plugin" if asked == "plugin" else "sentry"


@get("/integrations/{reference:str}", opt={"action": Action.READ}, sync_to_thread=True)
def show_integration(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Show the steps, the address, the secret and the live check."""
    return _page(visit, open_one(visit, reference))


def _page(
    visit: Visit,
    one: Opened,
    faults: list[str] | None = None,
    *,
    made: str = "",
    status: int = 200,
) -> Response[bytes]:
    kind = kind_of(visit, one.integration)
    with visit.back.desk.database.read() as connection:
        wanted = LogFilter(integration_id=one.integration.id, limit=LATEST)
        latest = log_page(connection, visit.all_plans, visit.scope, wanted).items
        joined = of_integration(connection, visit.all_plans, one.integration.id, visit.now)
    public = visit.back.public_url
    urls = dict(zip((name for name, _ in STYLES), intake_urls(public, one.key), strict=True))
    secrets = one.shown["signing_secrets"]
    return visit.page(
        "integration.html",
        status,
        tab="connect",
        one=one.shown,
        integration=one.integration,
        key=one.key,
        kind=kind,
        urls=urls,
        styles=STYLES,
        secrets=secrets,
        faults=faults or [],
        made=made,
        deliveries=latest,
        org=org_of(visit.query.text("org"), one.integration.sentry_url),
        new_integration=new_integration_url(visit.query.text("org"), one.integration.sentry_url),
        warning=address_warning(public),
        commands=commands(urls["native"], kind, is_signed=bool(secrets) and kind == "sentry"),
        says=says(kind),
        joined=joined,
    )


def org_of(typed: str, sentry_url: str | None) -> str:
    """Return the slug of the organisation: as typed, else as the address of Sentry has it."""
    if typed:
        return typed
    host = urlsplit(sentry_url or "").hostname or ""
    return host.removesuffix(".sentry.io") if host.endswith(".sentry.io") else ""


def new_integration_url(typed: str, sentry_url: str | None) -> str:
    """Return where Sentry makes a new internal integration; empty while nobody knows."""
    org = org_of(typed, sentry_url)
    slug = "".join(letter for letter in org.lower() if letter.isalnum() or letter in "-_")
    if not slug or not slug.isascii():
        return ""
    base = f"https://{slug}.sentry.io/settings"
    host = urlsplit(sentry_url or "").hostname or "sentry.io"
    if host != "sentry.io" and not host.endswith(".sentry.io"):
        base = f"{(sentry_url or '').rstrip('/')}/settings/{slug}"
    return f"{base}/developer-settings/new-internal/"


# -- the secret -----------------------------------------------------------------------------------


@post("/integrations/{reference:str}/secrets", opt={"action": Action.CONFIGURE},
      sync_to_thread=True)  # fmt: skip
def change_secrets(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Add a pasted secret, make one, or take one away."""
    one = open_one(visit, reference)
    known: list[str] = one.shown["signing_secrets"]
    wanted = visit.form.text("do")
    made = ""
    if wanted == "generate":
        made = new_key("whsec")
        secrets, said = [*known, made], ""
    elif wanted == "remove":
        gone = visit.form.text("which")
        secrets = [secret for secret in known if secret != gone]
        said = "The secret is gone." + ("" if secrets else " Unsigned requests are taken now.")
    else:
        pasted = visit.form.text("secret")
        if fault := _fault_of(pasted):
            return _page(visit, one, [fault], status=422)
        secrets, said = [*known, pasted], "The secret is set: what it did not sign is refused."
    try:
        things(visit).merge(
            one.integration.id, {"signing_secrets": secrets}, visit.caller, visit.now
        )
    except FAULTS as error:
        return _page(visit, one, faults_of(error), status=422)
    visit.back.changed()
    if made:
        # Shown in this answer and nowhere else: no address leads to it again.
        return _page(visit, open_one(visit, reference), made=made)
    return visit.go(f"{one.path}#secret", said)


def _fault_of(secret: str) -> str:
    if not secret:
        return "Nothing was pasted: copy the Client Secret from the integration's page in Sentry."
    if secret.startswith(_TOKENS):
        return (
            "That is an auth token of Sentry: copy the Client Secret, further down on the same page"
            " in Sentry."
        )
    if any(letter.isspace() for letter in secret):
        return "There is a space in it: copy the Client Secret again, and nothing around it."
    return ""


# -- a sample -------------------------------------------------------------------------------------


@post("/integrations/{reference:str}/sample", opt={"action": Action.CONFIGURE})
async def send_sample(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Send a sample through the intake, signed where a secret is set."""
    one = await asyncio.to_thread(open_one, visit, reference)
    kind = kind_of(visit, one.integration)
    hook = sample(kind, visit.form.text("what"))
    secret = next(iter(one.integration.signing_secrets), None)
    status, answer = await hand_in(
        visit.request.app.state.intake,
        f"/in/{quote(one.key, safe='')}",
        hook,
        secret if hook.signs else None,
    )
    back = f"{one.path}{'?kind=plugin' if kind == 'plugin' else ''}#live-check"
    if status >= 300:
        return visit.go(back, f"Refused with {status}: {answer.get('error', '')}.", is_bad=True)
    outcome = answer.get("outcome") or "accepted, and not processed yet"
    return visit.go(back, f"Sent, answered {status}: {outcome}.")


PAGES: tuple[Any, ...] = (show_integration, change_secrets, send_sample)
