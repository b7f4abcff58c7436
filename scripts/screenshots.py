"""Take the pictures of docs/pictures: of the pages, over the demo's world, by a clock of its own.

make screenshots
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

from playwright.sync_api import Browser, Page, StorageState, ViewportSize, sync_playwright

from tests.browser.chromium import launch
from tocsin.boot import Parts, Store, free_port, open_store, serve
from tocsin.cli.demo.scenes import Scene, play, scenes
from tocsin.cli.demo.show import Show
from tocsin.cli.demo.world import Pace, world
from tocsin.config import load
from tocsin.sentry.sender import Issue, legacy_webhook, webhook
from tocsin.work.accounts import Accounts
from tocsin.work.manage import Office

Theme: TypeAlias = Literal["light", "dark"]

TARGET = Path(__file__).resolve().parent.parent / "docs" / "pictures"

#: When the pictures are taken: a Wednesday afternoon.
NOW = datetime(2026, 1, 7, 14, 30, tzinfo=UTC)

#: What stands on the pages; the browser goes to the address itself.
PUBLIC_URL = "https://tocsin.example.com"

LAPTOP = ViewportSize(width=1280, height=800)
PHONE = ViewportSize(width=360, height=740)

#: What README and docs load stays small.
MOST_BYTES = 150_000


class Clock:
    """A clock that is set to what comes next, and goes on from there; or stands still."""

    def __init__(self, at: datetime) -> None:
        self._at, self._since, self._stands = at, time.monotonic(), False

    def __call__(self) -> datetime:
        """Tell the time."""
        gone = 0.0 if self._stands else time.monotonic() - self._since
        return self._at + timedelta(seconds=gone)

    def set(self, at: datetime, *, stands: bool = False) -> None:
        """Go on from there; never back."""
        self._at, self._since, self._stands = max(at, self()), time.monotonic(), stands


CHARGE = Issue(
    id="4211",
    title="TimeoutError: the payment gateway did not answer within 10 s",
    culprit="checkout.views.charge",
    level="fatal",
    project="checkout",
    release="checkout@4.2.1",
)
ORDERS = Issue(
    id="4198",
    title='IntegrityError: duplicate key value violates unique constraint "orders_pkey"',
    culprit="checkout.orders.place",
    project="checkout",
)
SHARDS = Issue(
    id="873",
    title="ClusterBlockException: node-3 is read-only, its disk is full",
    culprit="search.index.write",
    project="search",
    release="search@1.19.0",
)
FONT = Issue(
    id="310",
    title="404: /fonts/title.woff2",
    culprit="/pricing",
    level="warning",
    priority="low",
    project="website",
)


@dataclass(frozen=True, slots=True)
class Deed:
    """What a person does by the API; braces hold words of an incident's title."""

    who: str
    path: str
    body: object = None


def _sent(issue: Issue, resource: str = "event_alert", action: str = "triggered") -> Scene:
    return Scene(says=issue.title, hook=webhook(resource, action, issue))


#: Minutes before `NOW`, and what happens then; incidents 1 to 5 are those of the demo's own round.
STORY: tuple[tuple[float, Scene | Deed], ...] = (
    (140, Deed("dan", "/incidents/{woff2}/resolve")),
    (96, _sent(SHARDS, "issue", "created")),
    (95, _sent(SHARDS)),
    (93, Deed("dan", "/incidents/{node-3}/acknowledge")),
    (88, Deed("dan", "/incidents/{node-3}/notes",
              {"text": "Node 3 is out of disk. Moving its shards away."})),
    (52, Scene(says="legacy", hook=legacy_webhook(FONT), key="demo-legacy-key")),
    (51, Deed("cleo", "/incidents/{woff2}/snooze", {"for": "4h"})),
    (40, Deed("cleo", "/schedules/platform/overrides",
              {"user": "bob@example.com", "from": "2026-01-10T14:00:00Z",
               "to": "2026-01-12T05:00:00Z"})),
    (34, _sent(ORDERS, "issue", "created")),
    (33, Deed("ann", "/incidents/{orders_pkey}/acknowledge")),
    (31, _sent(ORDERS)),
    (22, _sent(Issue(id="5090", title="latency", project="checkout"), "metric_alert", "warning")),
    (20, Deed("ann", "/incidents/{latency}/acknowledge")),
    (9.2, _sent(CHARGE, "issue", "created")),
    (9, _sent(CHARGE)),
    (7.5, _sent(CHARGE)),
    (6, _sent(CHARGE)),
    (4, _sent(CHARGE, "comment", "created")),
    (3.4, Scene(says="a wrong signature", hook=webhook("event_alert", "triggered", CHARGE),
                secret="of-another", status=401)),  # noqa: S106 - that is the point
    (3, _sent(CHARGE)),
    (1, _sent(CHARGE)),
)  # fmt: skip


def _tell(store: Store, show: Show, clock: Clock) -> None:
    """Let the demo's round happen in the morning, and then the story."""
    office = Office(store.database, store.plans, store.vault)
    keys = {
        who: office.create_key_of(f"{who}@example.com", "phone", None, clock())
        for who in ("ann", "bob", "cleo", "dan")
    }
    for scene in scenes(0):
        clock.set(clock() + timedelta(minutes=2))
        play(store, show, scene, clock())
        time.sleep(0.5)
    for minutes, what in STORY:
        clock.set(NOW - timedelta(minutes=minutes))
        time.sleep(0.5)  # what fell due in between happens before what comes now
        if isinstance(what, Scene):
            play(store, show, what, clock())
        else:
            _do(show, keys[what.who], what)
        time.sleep(0.5)
    clock.set(NOW, stands=True)
    wrong = [f"{says}: {answer.status}" for says, answer, right in show.answers if not right]
    assert not wrong, wrong


def _ask(show: Show, key: str, path: str, body: object = None) -> Any:
    request = urllib.request.Request(  # noqa: S310 - of the demo itself
        f"{show.base}/api/v1{path}",
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return json.load(answer)


def _number(show: Show, words: str) -> int:
    """Return the number of the latest incident with these words in its title."""
    found = _ask(show, show.api_key, "/incidents")["items"]
    return int(next(one["number"] for one in found if words in one["title"]))


def _do(show: Show, key: str, deed: Deed) -> None:
    path = re.sub(r"\{(.*)\}", lambda found: str(_number(show, found[1])), deed.path)
    _ask(show, key, path, deed.body or {})


class Camera:
    """A browser whose clock stands still, and that keeps what it sees in files."""

    def __init__(self, browser: Browser, base: str) -> None:
        self._browser, self._base = browser, base
        self._signed_in: StorageState | None = None

    @contextmanager
    def looking(self, size: ViewportSize, theme: Theme) -> Iterator[Page]:
        """Give a page of that size and theme, as whoever signed in."""
        context = self._browser.new_context(
            base_url=self._base,
            viewport=size,
            color_scheme=theme,
            device_scale_factor=1.5,
            locale="en-GB",
            timezone_id="Europe/Berlin",
            reduced_motion="reduce",
            storage_state=self._signed_in,
        )
        page = context.new_page()
        page.clock.set_fixed_time(NOW)
        yield page
        self._signed_in = context.storage_state()
        context.close()

    def shoot(self, page: Page, name: str, path: str | None = None) -> None:
        """Keep a page in a file."""
        if path is not None:
            page.goto(path, wait_until="load")
        page.wait_for_timeout(400)
        target = TARGET / f"{name}.webp"
        page.screenshot(path=target, type="webp", quality=80, animations="disabled", caret="hide")
        size = target.stat().st_size
        print(f"{size:>8,} {target.name}")
        assert size <= MOST_BYTES, f"{target.name} is too large: show less of the page"


def _sign_in(page: Page, show: Show) -> None:
    page.goto("/login")
    page.get_by_label("E-mail address").fill("ann@example.com")
    page.get_by_label("Password").fill(show.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: not url.endswith("/login"))


def _pictures(browser: Browser, show: Show) -> None:
    camera = Camera(browser, show.base)
    charge = _number(show, "payment gateway")
    incident = f"/incidents/{charge}"
    deliveries = _ask(show, show.api_key, "/deliveries?limit=100")["items"]
    alert = next(one for one in deliveries if one["resource"] == "event_alert")
    with camera.looking(LAPTOP, "light") as page:
        _sign_in(page, show)
        camera.shoot(page, "incidents", "/incidents")
        camera.shoot(page, "incident", incident)
        camera.shoot(page, "connect-sentry", "/integrations/sentry")
        camera.shoot(page, "on-call", "/oncall")
        camera.shoot(page, "schedule", "/schedules/platform")
        camera.shoot(page, "delivery", f"/deliveries/{alert['id']}")
    with camera.looking(LAPTOP, "dark") as page:
        camera.shoot(page, "incidents-dark", "/incidents")
        camera.shoot(page, "incident-dark", incident)
    with camera.looking(PHONE, "light") as page:
        camera.shoot(page, "incidents-phone", "/incidents")
        camera.shoot(page, "incident-phone", incident)
        camera.shoot(page, "answer-phone", show.links[charge].removeprefix(PUBLIC_URL))


def _first_steps(browser: Browser, base: str, key: str) -> None:
    """Set an empty installation up as far as the address of Sentry."""
    camera = Camera(browser, base)
    with camera.looking(LAPTOP, "light") as page:
        page.goto(f"/setup/{key}")
        page.get_by_label("Your name").fill("Ann")
        page.get_by_label("E-mail address").fill("ann@example.com")
        page.get_by_label("Password").fill("three odd words")
        camera.shoot(page, "setup")
        page.get_by_role("button", name="Create the owner").click()
        page.wait_for_url("**/welcome*")
        camera.shoot(page, "first-steps")


@contextmanager
def _empty(base: str) -> Iterator[Store]:
    with tempfile.TemporaryDirectory(prefix="tocsin-pictures-") as folder:
        store = open_store(
            load(
                {},
                data_dir=folder,
                listen=base.removeprefix("http://"),
                public_url=PUBLIC_URL,
            ),
            serves=True,
        )
        try:
            yield store
        finally:
            store.close()


async def _served(store: Store, clock: Clock, work: Callable[[], None]) -> None:
    """Do something while a Tocsin runs."""
    stop, ready = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(serve(store, Parts(), stop, ready, clock=clock))
    await ready.wait()
    try:
        await asyncio.to_thread(work)
    finally:
        stop.set()
        await serving


def _look(pictures: Callable[[Browser], None]) -> None:
    with sync_playwright() as player:
        browser = launch(player.chromium)
        pictures(browser)
        browser.close()


def main() -> None:
    """Take all pictures."""
    TARGET.mkdir(exist_ok=True)
    show, clock = Show(base=f"http://127.0.0.1:{free_port()}"), Clock(NOW - timedelta(hours=4))
    pace = Pace(clock=clock, wait="5m", long_wait="15m", public_url=PUBLIC_URL)
    with world(show, pace) as store:

        def visit() -> None:
            _tell(store, show, clock)
            _look(lambda browser: _pictures(browser, show))

        asyncio.run(_served(store, clock, visit))
    base = f"http://127.0.0.1:{free_port()}"
    with _empty(base) as store:
        key = Accounts(store.database, store.plans, store.vault).setup_link(clock())
        assert key is not None
        look = partial(_look, lambda browser: _first_steps(browser, base, key))
        asyncio.run(_served(store, clock, look))


if __name__ == "__main__":
    main()
