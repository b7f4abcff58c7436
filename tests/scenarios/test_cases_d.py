"""On-call cases D: personal rules, bundles, answers. D1 and D2 are with the cases B."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from tests.scenarios.test_cases_b import policy
from tests.world import PEOPLE, SERVICE, Heard, World
from tocsin.core.incident import Refused
from tocsin.core.model import TOCSIN, MessageType
from tocsin.core.retry import Outcome, Report
from tocsin.core.throttle import PERSONAL, THROTTLES
from tocsin.store.audit import Change
from tocsin.store.notifications import announce
from tocsin.store.tables import notifications
from tocsin.work.contacts import Contacts, Mistaken
from tocsin.work.deliver import LEASE
from tocsin.work.reply import Replies

ANN = "      - {name: mail, channel: email, address: ann@example.com}\n"
BY_MAIL = PEOPLE.replace(
    ANN, ANN + "    notification_rules: [{urgency: high, after: 0s, contact_method: mail},"
    " {urgency: low, after: 0s, contact_method: mail}]\n"
)  # fmt: skip
BILLING = """
  - {name: billing, escalation_policy: default}
integrations:
  - {name: sentry, service: checkout, routing_key: routing-key-of-the-world}
  - {name: billing, service: billing, routing_key: routing-key-of-billing}
"""
TWO_SERVICES = SERVICE[: SERVICE.index("integrations:")].rstrip() + BILLING
#: Ann is on call every other week, and in the team that hears of gaps.
ON_CALL = """
schedules:
  - name: primary
    team: payments
    layers:
      - name: weekly
        rotation: {unit: week, length: 1, start: "2026-01-05T09:00"}
        participants: [ann@example.com, bob@example.com]
"""
BILLED = "/in/routing-key-of-billing"


def rules(*rows: str) -> str:
    """Write people where Ann has these rules: ``hook 1m``."""
    lines = "".join(
        f"      - {{urgency: high, after: {after}, contact_method: {method}}}\n"
        for method, after in (row.split() for row in rows)
    )
    return PEOPLE.replace(ANN, f"{ANN}    notification_rules:\n{lines}")


def states(world: World) -> list[str]:
    with world.database.read() as connection:
        rows = connection.execute(select(notifications.c.state).order_by(notifications.c.id))
        return [row.state for row in rows]


def document(heard: Heard) -> dict[str, object]:
    found: dict[str, object] = msgspec.json.decode(heard.message.document)["data"]
    return found


def paged(world: World, number: int) -> list[str]:
    return [e.text for e in world.incident(number).timeline if e.kind == "paged"]


@pytest.fixture
def mailed(blank: World) -> World:
    """A world where Ann is paged by mail for everything."""
    blank.configure(BY_MAIL, policy("ann 2h"), TWO_SERVICES)
    return blank


# -- D3


@pytest.mark.parametrize("method", ["hook", "mail"])
def test_d3_engine_stopped_past_several_rules(blank: World, method: str):
    blank.configure(rules(f"{method} 1m", f"{method} 2m"), policy("ann 30m"), SERVICE)
    blank.sentry("issue.created")
    blank.jump(minutes=3)
    blank.expect("ann", {"hook": "webhook", "mail": "email"}[method])
    blank.forward(minutes=20)
    blank.expect_nothing()
    sent, bundled = blank.incident().notifications
    assert (sent.state, bundled.state) == ("sent", "bundled")
    assert len(paged(blank, 1)) == 1, "one message is one entry"
    with blank.database.read() as connection:
        query = select(notifications.c.bundled_into_id).order_by(notifications.c.id)
        into = connection.scalars(query).all()
    assert into == [None, sent.id]


def test_rules_of_the_same_delay_on_one_contact_method_are_one_message(blank: World):
    blank.configure(rules("hook 1m", "hook 1m", "mail 1m"), policy("ann 30m"), SERVICE)
    blank.sentry("issue.created")
    blank.forward(minutes=1)
    blank.expect("ann", "webhook")
    blank.expect("ann", "email")
    blank.forward(minutes=9)
    blank.expect_nothing()


def test_a_rule_that_comes_due_while_another_is_tried_again_does_not_wait_for_it(blank: World):
    blank.configure(rules("hook 0s", "hook 1m"), policy("ann 30m"), SERVICE)
    late = Report(outcome=Outcome.RETRY, detail="later", retry_after=timedelta(minutes=10))
    blank.recorders["webhook"].answers = [late]
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.forward(minutes=1)
    blank.expect("ann")
    blank.expect_nothing()
    blank.forward(minutes=9)
    blank.expect("ann")


# -- D4


@dataclass(frozen=True)
class Me:
    """Ann, with a key of her own."""

    world: World
    key: str

    def call(self, method: str, path: str = "", body: Any = None) -> Any:
        return self.world.call(method, f"/me{path}", body, self.key)

    def add(self, name: str = "new", address: str = "new@example.com") -> str:
        body = {"name": name, "channel": "email", "address": address}
        added = self.call("POST", "/contact-methods", body)
        assert added.status_code == 201, added.text
        id_: str = added.json()["id"]
        return id_

    def send_code(self, id_: str) -> str:
        assert self.call("POST", f"/contact-methods/{id_}/send-code").status_code == 202
        heard = self.world.expect("ann", "email", "verification")
        code = document(heard)["code"]
        assert isinstance(code, str)
        assert code in heard.message.text
        assert re.fullmatch("[0-9]{6}", code)
        return code

    def verify(self, id_: str, code: str) -> int:
        path = f"/contact-methods/{id_}/verify"
        status: int = self.call("POST", path, {"code": code}).status_code
        return status


@pytest.fixture
def me(world: World) -> Me:
    return Me(world, world.key_of("ann"))


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


def test_d4_nothing_but_its_code_goes_to_an_unverified_contact_method(blank: World):
    """Whatever pages, tells, tests and notices there are."""
    blank.configure(PEOPLE, policy("ann 5m", "payments 5m", repeat=3), SERVICE, ON_CALL)
    blank.watch()
    me = Me(blank, blank.key_of("ann"))
    assert me.call("PUT", "/handoff-notices", {"enabled": True}).status_code == 200
    new = me.add()
    rule = {"urgency": "high", "after": "0s", "contact_method": "new"}
    also = {"urgency": "high", "after": "1m", "contact_method": "hook"}
    assert me.call("PUT", "/notification-rules", {"items": [rule, also]}).status_code == 200
    for method in blank.user("ann").contact_methods:
        if method.id != new:
            assert me.call("DELETE", f"/contact-methods/{method.id}").status_code == 204
    blank.sentry("issue.created")
    assert me.call("POST", f"/contact-methods/{new}/test").status_code == 409
    assert blank.call("POST", "/users/ann@example.com/page").status_code == 409
    blank.api("POST", "/incidents/1/reassign", {"user": "ann@example.com"})
    blank.forward(days=8)
    blank.api("POST", "/incidents/1/resolve")
    heard = {(h.who, h.what) for h in blank.heard}
    assert not any(who == "ann" for who, _ in heard), heard
    blank.forget()
    me.send_code(new)
    assert me.call("POST", f"/contact-methods/{new}/test").status_code == 409


@pytest.mark.parametrize("type_", sorted(set(MessageType) - {MessageType.VERIFICATION}))
def test_d4_the_last_door_is_shut_to_whatever_comes(me: Me, type_: MessageType):
    """Even if something were made for it, by mistake or before it changed, it does not leave."""
    id_ = me.add()
    world = me.world
    method = next(one for one in world.user("ann").contact_methods if one.id == id_)
    with world.database.write() as connection:
        announce(connection, [(method, type_, "by mistake", "x")], world.now)
    world.settle()
    world.expect_nothing()
    assert states(world) == ["cancelled"]


def test_d4_the_right_code_verifies_and_a_wrong_one_does_not(me: Me):
    id_ = me.add()
    code = me.send_code(id_)
    assert me.verify(id_, wrong(code)) == 400
    assert me.call("GET", "/contact-methods").json()["items"][-1]["is_verified"] is False
    assert me.verify(id_, f" {code} ") == 200
    shown = me.call("GET", "/contact-methods").json()["items"]
    assert [(one["name"], one["is_verified"]) for one in shown] == [
        ("hook", True), ("mail", True), ("new", True),
    ]  # fmt: skip
    assert me.call("POST", f"/contact-methods/{id_}/send-code").status_code == 409
    assert me.call("POST", f"/contact-methods/{id_}/test").status_code == 202
    assert "Tocsin reaches you" in me.world.expect("ann", "email", "test").message.subject


def test_d4_codes_expire(me: Me):
    id_ = me.add()
    code = me.send_code(id_)
    me.world.forward(minutes=15)
    assert me.verify(id_, code) == 409
    assert me.verify(id_, me.send_code(id_)) == 200


def test_d4_attempts_are_limited(me: Me):
    id_ = me.add()
    code = me.send_code(id_)
    assert [me.verify(id_, wrong(code)) for _ in range(6)] == [400] * 5 + [409]
    assert me.verify(id_, code) == 409, "after five wrong ones the right one comes too late"
    me.world.forward(minutes=1)
    assert me.verify(id_, me.send_code(id_)) == 200


def test_d4_attempts_at_once_are_no_more_than_attempts_one_by_one(me: Me):
    id_ = me.add()
    code = me.send_code(id_)
    world = me.world
    here, ann = Contacts(world.database, world.plans, world.vault), world.user("ann").id

    def attempt(_number: int) -> str:
        try:
            here.verify(ann, id_, wrong(code), world.now)
        except (Mistaken, Refused) as error:
            return type(error).__name__
        return "verified"

    with ThreadPoolExecutor(8) as threads:
        said = Counter(threads.map(attempt, range(20)))
    assert said == {"Mistaken": 5, "Refused": 15}


def test_d4_codes_are_sent_once_a_minute_and_five_times_an_hour(me: Me):
    id_ = me.add()
    path = f"/contact-methods/{id_}/send-code"
    first = me.send_code(id_)
    refused = me.call("POST", path)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    for _ in range(4):
        me.world.forward(minutes=1)
        latest = me.send_code(id_)
    me.world.forward(minutes=1)
    refused = me.call("POST", path)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, str(55 * 60))
    assert first == latest or me.verify(id_, first) == 400, "only the latest code is good"
    assert me.verify(id_, latest) == 200


def test_d4_a_stranger_is_not_flooded_through_ever_new_contact_methods(me: Me):
    sent = 0
    for _ in range(15):
        id_ = me.add()
        sent += me.call("POST", f"/contact-methods/{id_}/send-code").status_code == 202
        assert me.call("DELETE", f"/contact-methods/{id_}").status_code == 204
    assert sent == 10
    me.world.forget()


def test_d4_others_contact_methods_are_not_there(me: Me):
    bobs = me.world.user("bob").contact_methods[0].id
    for method, path in (("DELETE", ""), ("POST", "/send-code"), ("POST", "/test")):
        assert me.call(method, f"/contact-methods/{bobs}{path}").status_code == 404
    assert me.verify(bobs, "123456") == 404


def test_d4_a_key_of_nobody_has_no_contact_methods(world: World):
    assert world.call("GET", "/me/contact-methods").status_code == 403


def test_d4_a_code_that_was_not_delivered_yet_is_the_latest(me: Me):
    """The message is written when it is sent, and one that is too late is not."""
    id_ = me.add()
    late = Report(outcome=Outcome.RETRY, detail="later", retry_after=timedelta(minutes=2))
    me.world.recorders["email"].answers = [late]
    first = me.send_code(id_)
    me.world.forward(minutes=1)
    second = me.send_code(id_)
    assert me.verify(id_, second) == 200
    me.world.forward(hours=1)
    me.world.expect_nothing()
    assert len(first) == len(second)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"name": "n", "channel": "pigeon", "address": "x"}, 400, id="channel"),
        pytest.param({"name": "n", "channel": "email", "address": "x"}, 400, id="address"),
        pytest.param({"name": " ", "channel": "email", "address": "a@b.c"}, 400, id="name"),
        pytest.param({"name": "mail", "channel": "email", "address": "a@b.c"}, 409, id="twice"),
        pytest.param({"name": "n", "channel": "email", "address": "a@b.c", "secret": "x"}, 400,
                     id="a secret where there is none"),
        pytest.param({"name": "n", "channel": "email"}, 400, id="nothing"),
    ],
)  # fmt: skip
def test_a_contact_method_that_cannot_be_is_refused(me: Me, body: Any, status: int):
    assert me.call("POST", "/contact-methods", body).status_code == status
    assert len(me.call("GET", "/contact-methods").json()["items"]) == 2


def test_a_webhook_is_given_a_secret_that_is_shown_once(me: Me):
    body = {"name": "mine", "channel": "webhook", "address": "https://example.com/me"}
    assert me.call("POST", "/contact-methods", body).json()["secret"].startswith("whsec_")
    assert "secret" not in me.call("GET", "/contact-methods").json()["items"][-1]


def test_rules_are_read_as_they_were_written(me: Me):
    items = [
        {"urgency": "high", "after": "0s", "contact_method": "mail"},
        {"urgency": "low", "after": "1h", "contact_method": "hook"},
    ]
    assert me.call("PUT", "/notification-rules", {"items": items}).json() == {"items": items}
    assert me.call("GET", "/notification-rules").json() == {"items": items}
    for wrong_one in ({"contact_method": "none"}, {"after": "soon"}, {"urgency": "loud"}):
        body = {"items": [items[0] | wrong_one]}
        assert me.call("PUT", "/notification-rules", body).status_code == 400
    assert me.call("GET", "/notification-rules").json() == {"items": items}
    hook = me.call("GET", "/contact-methods").json()["items"][0]
    assert me.call("DELETE", f"/contact-methods/{hook['id']}").status_code == 204
    assert me.call("GET", "/notification-rules").json() == {"items": items[:1]}


# -- D5


def test_d5_bundling(mailed: World):
    """Forty within the minute are one message; another service is not held back by it."""
    mailed.sentry("issue.created", id_=1)
    mailed.expect("ann", "email")
    mailed.forward(seconds=10)
    for number in range(40):
        mailed.sentry("issue.created", id_=2 + number, title=f"T{number}")
        mailed.forward(seconds=1.4)
    mailed.expect_nothing()
    mailed.sentry("issue.created", id_=99, path=BILLED, title="bill")
    assert mailed.expect("ann", "email").title == "bill"
    mailed.forward(minutes=2)
    bundle = mailed.expect("ann", "email")
    mailed.expect_nothing()
    assert bundle.message.subject == "40 unacknowledged on checkout"
    assert "T0\n" in bundle.message.text
    assert "and 30 more" in bundle.message.text
    url = "http://tocsin.test/incidents?service=checkout&status=triggered"
    assert bundle.message.text.count("http") == bundle.message.text.count(url) == 1
    said = document(bundle)
    assert (said["count"], said["acknowledge_url"]) == (40, url)
    assert len(said["incidents"]) == 10  # type: ignore[arg-type]
    assert sorted(states(mailed)) == ["bundled"] * 39 + ["sent"] * 3
    for number in range(2, 42):
        (entry,) = paged(mailed, number)
        assert entry.startswith("paged Ann by mail (bundled with 39 others)")


def test_d5_a_page_is_held_for_the_span_and_no_longer(mailed: World):
    mailed.sentry("issue.created", id_=1)
    mailed.expect("ann", "email")
    mailed.forward(seconds=59)
    mailed.sentry("issue.created", id_=2)
    mailed.forward(seconds=59)
    mailed.expect_nothing()
    mailed.forward(seconds=1)
    assert mailed.expect("ann", "email").message.subject == "[#2 error] T"
    assert paged(mailed, 2) == ["paged Ann by mail: recorded"]


def test_d5_what_was_acknowledged_meanwhile_drops_out(mailed: World):
    for number in range(1, 6):
        mailed.sentry("issue.created", id_=number)
    mailed.expect("ann", "email")
    mailed.api("POST", "/incidents/2/acknowledge")
    mailed.sentry("issue.resolved", id_=3)
    mailed.forward(minutes=1)
    assert mailed.expect("ann", "email").message.subject == "2 unacknowledged on checkout"
    assert paged(mailed, 2) == paged(mailed, 3) == []
    mailed.forward(minutes=30)
    mailed.expect_nothing()


def test_d5_all_acknowledged_meanwhile_is_no_message(mailed: World):
    for number in range(1, 4):
        mailed.sentry("issue.created", id_=number)
    mailed.expect("ann", "email")
    for number in (2, 3):
        mailed.api("POST", f"/incidents/{number}/acknowledge")
    mailed.forward(minutes=30)
    mailed.expect_nothing()


def test_d5_the_webhook_channel_is_never_bundled(blank: World):
    blank.configure(PEOPLE, policy("ann 2h"), SERVICE)
    for number in range(40):
        blank.sentry("issue.created", id_=number)
        assert document(blank.expect("ann"))["count"] == 1


def test_d5_a_bundle_that_fails_is_tried_again_whole(mailed: World):
    mailed.sentry("issue.created", id_=1)
    mailed.expect("ann", "email")
    mailed.recorders["email"].answers = [Report(outcome=Outcome.RETRY, detail="later")]
    for number in range(2, 5):
        mailed.sentry("issue.created", id_=number)
    mailed.forward(minutes=1)
    first = mailed.expect("ann", "email")
    mailed.sentry("issue.created", id_=5)
    mailed.forward(seconds=5)
    second = mailed.expect("ann", "email")
    assert first.message.subject == "3 unacknowledged on checkout"
    assert second.message.subject == "4 unacknowledged on checkout", "with what came since"
    assert first.message.id == second.message.id
    mailed.forward(minutes=30)
    mailed.expect_nothing()
    assert "pending" not in states(mailed)


def test_d5_what_leads_a_failing_bundle_may_be_acknowledged(mailed: World):
    """The others are not lost with it."""
    mailed.sentry("issue.created", id_=1)
    mailed.expect("ann", "email")
    mailed.recorders["email"].answers = [Report(outcome=Outcome.RETRY, detail="later")]
    for number in range(2, 5):
        mailed.sentry("issue.created", id_=number)
    mailed.forward(minutes=1)
    mailed.expect("ann", "email")
    mailed.api("POST", "/incidents/2/acknowledge")
    mailed.forward(minutes=2)
    assert mailed.expect("ann", "email").message.subject == "2 unacknowledged on checkout"
    mailed.forward(minutes=30)
    mailed.expect_nothing()


def test_d5_an_address_that_refuses_a_bundle_refuses_all_of_it(mailed: World):
    mailed.sentry("issue.created", id_=1)
    mailed.expect("ann", "email")
    mailed.recorders["email"].answers = [Report(outcome=Outcome.REFUSED, detail="no such user")]
    for number in range(2, 5):
        mailed.sentry("issue.created", id_=number)
    mailed.forward(minutes=1)
    mailed.expect("ann", "email")
    for _ in range(3):
        mailed.expect("ann", "webhook")  # her other way, at once, for each of them
    mailed.forward(minutes=30)
    mailed.expect_nothing()
    for number in range(2, 5):
        entries = [e.text for e in mailed.incident(number).timeline if e.kind == "page_failed"]
        assert entries == ["could not page Ann by mail (bundled with 2 others): no such user"]
    assert sorted(states(mailed)) == ["failed"] * 3 + ["sent"] * 4


def test_d5_a_process_that_dies_with_a_bundle_loses_nothing(mailed: World):
    """It was begun, and whether it left nobody knows: it goes again when its lease ends."""
    mailed.sentry("issue.created", id_=1)
    mailed.expect("ann", "email")
    for number in range(2, 6):
        mailed.sentry("issue.created", id_=number)
    mailed.now += PERSONAL.spans[0]
    begun = mailed.outbox().begin(mailed.now, 50)
    assert len(begun) == 1
    assert mailed.outbox().begin(mailed.now, 50) == [], "nobody else sends any of it meanwhile"
    mailed.sentry("issue.created", id_=6)
    mailed.expect_nothing()
    mailed.forward(seconds=LEASE.total_seconds())
    assert mailed.expect("ann", "email").message.subject == "5 unacknowledged on checkout"
    mailed.forward(minutes=30)
    mailed.expect_nothing()
    assert "pending" not in states(mailed)


def test_d5_batches_smaller_than_a_bundle_make_one_message(mailed: World):
    mailed.sentry("issue.created", id_=1)
    mailed.expect("ann", "email")
    for number in range(2, 12):
        mailed.sentry("issue.created", id_=number)
    mailed.now += PERSONAL.spans[0]
    outbox = mailed.outbox()
    begun = [outbox.begin(mailed.now, 3) for _ in range(5)]
    assert [len(one) for one in begun] == [1, 0, 0, 0, 0]
    assert begun[0][0].message.subject == "10 unacknowledged on checkout"


def test_d5_caps_hold_back_what_can_wait_and_nothing_else(
    mailed: World, monkeypatch: pytest.MonkeyPatch
):
    """Fifteen in a quarter of an hour; then low urgency waits, high urgency does not."""
    one_span = replace(PERSONAL, spans=PERSONAL.spans[:1])  # one service is to fill the cap
    monkeypatch.setitem(THROTTLES, "email", one_span)
    for number in range(15):
        mailed.sentry("issue.created", id_=number)
        mailed.expect("ann", "email")
        mailed.forward(seconds=61 if number < 14 else 1)
    mailed.sentry("issue.created", id_=50, level="warning")
    mailed.forward(seconds=40)
    mailed.expect_nothing()
    mailed.sentry("issue.created", id_=51, path=BILLED, level="warning")
    mailed.expect("ann", "email")  # the first alert of another service is not held back
    mailed.forward(seconds=60)
    mailed.sentry("issue.created", id_=52)
    assert mailed.expect("ann", "email").message.subject == "2 unacknowledged on checkout"
    mailed.sentry("issue.created", id_=53, level="warning")
    mailed.forward(minutes=16)
    mailed.expect("ann", "email")
    mailed.expect_nothing()
    assert "pending" not in states(mailed)


# -- D6


@pytest.fixture
def phoned(blank: World) -> World:
    """A world where Ann is paged by a channel she can answer to."""
    blank.configure(PEOPLE, policy("ann 2h"), SERVICE)
    blank.give_phone("ann", "+49 151 1")
    return blank


def answer(world: World, text: str, number: str = "+49 151 1") -> str:
    said = Replies(world.database, world.plans).answer("texts", number, text, world.now)
    world.settle()
    return said


def test_d6_acting_from_the_message(phoned: World):
    phoned.sentry("issue.created")
    page = phoned.expect("ann", "texts")
    assert page.message.reply == "Reply 1a to acknowledge it, 1c to close it."
    assert page.message.reply in page.message.text
    assert answer(phoned, "1a") == "#1 acknowledged: T"
    assert phoned.incident().status == "acknowledged"
    assert phoned.incident().acknowledged_by == "ann@example.com"
    before = phoned.kinds()
    assert answer(phoned, "1a") == "#1 already acknowledged: T"
    assert phoned.kinds() == before
    assert answer(phoned, "1c") == "#1 closed: T"
    assert phoned.incident().status == "resolved"
    assert answer(phoned, "1 CLOSE ") == "#1 already closed: T"


@pytest.mark.parametrize(
    ("number", "text", "said"),
    [
        pytest.param("+49 151 2", "1a", "", id="an unknown number hears nothing"),
        pytest.param("+49 151 1", "7a", "There is no 7 here.", id="an unknown code"),
        pytest.param("+49 151 1", "hello", "Reply with the number", id="anything else"),
        pytest.param("+49 151 1", "help", "Reply with the number", id="help"),
    ],
)
def test_d6_what_is_not_understood_changes_nothing(
    phoned: World, number: str, text: str, said: str
):
    phoned.sentry("issue.created")
    phoned.expect("ann", "texts")
    before = phoned.incident()
    told = answer(phoned, text, number)
    assert told.startswith(said)
    assert bool(told) == bool(said)
    assert phoned.incident() == before


def test_d6_the_code_of_a_bundle_acknowledges_all_of_it(phoned: World):
    """D5's last words: one reply code that acknowledges all."""
    phoned.sentry("issue.created", id_=1)
    phoned.expect("ann", "texts")
    for number in range(2, 6):
        phoned.sentry("issue.created", id_=number)
    phoned.forward(minutes=1)
    bundle = phoned.expect("ann", "texts")
    assert bundle.message.reply == "Reply 2a to acknowledge all 4, 2c to close all 4."
    assert document(bundle)["reply_code"] == 2
    phoned.sentry("issue.created", id_=6)
    assert answer(phoned, "2a") == "checkout: 5 acknowledged"
    assert [one.status for one in phoned.incidents()] == ["acknowledged"] * 5 + ["triggered"]
    assert answer(phoned, "2a") == "checkout: already acknowledged"
    assert answer(phoned, "2c") == "checkout: 5 closed"
    phoned.forward(minutes=2)
    assert phoned.expect("ann", "texts").message.reply.startswith("Reply 3a")


def test_d6_an_address_that_was_not_verified_cannot_answer(phoned: World):
    phoned.sentry("issue.created")
    phoned.expect("ann", "texts")
    with phoned.database.write() as connection:
        from tocsin.store.plans import changed
        from tocsin.store.tables import contact_methods

        connection.execute(contact_methods.update().values(verified_at=None))
        changed(connection, phoned.now, TOCSIN, Change(kind="user.changed", subject="a person"))
    assert answer(phoned, "1a") == ""
    assert phoned.incident().status == "triggered"


def test_d4_an_address_that_the_file_gives_counts_as_verified_and_no_other(world: World):
    key = world.key_of("ann")
    body = {"name": "phone", "channel": "webhook", "address": "https://phones.example.com/ann2"}
    headers = {"authorization": f"Bearer {key}"}
    answer = world.raw("POST", "/api/v1/me/contact-methods", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    world.settle()
    world.forget()

    def is_verified() -> bool:
        user = next(u for u in world.plans.refresh().users.values() if u.name.startswith("Ann"))
        return next(m for m in user.contact_methods if m.name == "phone").is_verified

    world.api("PATCH", "/users/ann@example.com", {"name": "Ann B."})
    assert not is_verified()
    methods = world.api("GET", "/users/ann@example.com")["contact_methods"]
    methods[-1]["address"] = "https://phones.example.com/ann3"
    world.api("PATCH", "/users/ann@example.com", {"contact_methods": methods})
    assert is_verified()
