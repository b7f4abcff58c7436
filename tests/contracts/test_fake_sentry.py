"""The fake Sentry is as faithful as what is known of Sentry: its webhooks, rules and components."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.fakes import FakeSentry
from tests.outside import Telephones, telephones

SERVICE_ACTION = "sentry.rules.actions.notify_event_service.NotifyEventServiceAction"
NEW = {"id": "sentry.rules.conditions.first_seen_event.FirstSeenEventCondition"}
BACK = {"id": "sentry.rules.conditions.regression_event.RegressionEventCondition"}

SCHEMA = {
    "elements": [
        {
            "type": "alert-rule-action",
            "title": "Page somebody",
            "settings": {
                "type": "alert-rule-settings",
                "uri": "/components/rule",
                "required_fields": [
                    {
                        "type": "select",
                        "name": "service",
                        "label": "Service",
                        "uri": "/components/services",
                    }
                ],
            },
        },
        {
            "type": "issue-link",
            "link": {"uri": "/components/link", "required_fields": []},
            "create": {"uri": "/components/create", "required_fields": []},
        },
    ]
}


@pytest.fixture
def phones() -> Iterator[Telephones]:
    with telephones() as made:
        yield made


@dataclass
class Company:
    """A fake Sentry with an integration that is subscribed to everything."""

    sentry: FakeSentry
    phones: Telephones
    token: str
    app: dict[str, Any]

    def rule(self, *conditions: Any) -> dict[str, Any]:
        said = {
            "name": "Tell",
            "conditions": list(conditions or (NEW,)),
            "actions": [{"id": SERVICE_ACTION, "service": self.app["slug"]}],
            "actionMatch": "any",
            "frequency": 5,
        }
        status, told = self.sentry.ask(
            "POST", "/api/0/projects/acme/backend/rules/", said, self.token
        )
        assert status == 201, told
        return dict(told)

    def heard(self) -> list[str]:
        """Return what came, in order, once all is sent."""
        self.sentry.do("settle")
        return [
            f"{ring.headers['Sentry-Hook-Resource']}.{ring.page['action']}"
            for ring in self.phones.rings
            if "Sentry-Hook-Resource" in ring.headers
        ]


@pytest.fixture
def company(sentry: FakeSentry, phones: Telephones) -> Company:
    return made(sentry, phones)


def made(sentry: FakeSentry, phones: Telephones, **changed: Any) -> Company:
    token = sentry.token()
    said = {
        "name": "Receiver",
        "organization": "acme",
        "webhookUrl": f"{phones.base}/hook?token=kept",
        "scopes": ["event:read"],
        "events": ["issue", "error", "comment"],
        "isAlertable": True,
        "isInternal": True,
        **changed,
    }
    status, app = sentry.ask("POST", "/api/0/sentry-apps/", said, token)
    assert status == 201, app
    return Company(sentry, phones, token, app)


def test_a_webhook_is_compact_escaped_and_signed_over_its_bytes(company: Company):
    company.sentry.issue(title="KeyError: 'größe' 💥")
    company.heard()
    ring = next(one for one in company.phones.rings if one.page["action"] == "created")
    assert ring.path == "/hook?token=kept"
    assert ring.body == json.dumps(ring.page, separators=(",", ":")).encode()
    assert b"\\u00f6" in ring.body
    secret = company.app["clientSecret"].encode()
    signature = hmac.digest(secret, ring.body, "sha256").hex()
    assert ring.headers["Sentry-Hook-Signature"] == signature
    assert ring.headers["Content-Type"] == "application/json"
    assert len(ring.headers["Request-ID"]) == 32
    assert ring.page["installation"] == {"uuid": company.sentry.state()["installations"][0]["uuid"]}


def test_a_new_issue_is_told_by_rule_then_error_then_issue(company: Company):
    """On the wire in this order; four at a time are sent, so that it is not promised."""
    company.rule()
    company.sentry.do("webhooks", sending=False)
    company.sentry.issue()
    taken = company.sentry.do("take")["webhooks"]
    assert [one["resource"] for one in taken] == ["event_alert", "error", "issue"]
    assert taken[0]["body"]["data"]["triggered_rule"] == "Tell"
    assert taken[0]["body"]["data"]["event"]["issue_id"].isdecimal()


def test_a_rule_fires_for_what_its_conditions_say_and_not_twice_within_its_frequency(
    company: Company,
):
    company.rule(NEW, BACK)
    company.sentry.do("clock", forward=0)
    issue = company.sentry.issue()["id"]
    company.sentry.do("event", issue=issue)
    company.sentry.act(issue, "resolve", by="ann")
    company.sentry.do("clock", forward=600)
    company.sentry.do("event", issue=issue)
    heard = company.heard()
    assert heard.count("event_alert.triggered") == 2
    assert heard.count("issue.unresolved") == 1
    assert company.sentry.state()["issues"][issue]["substatus"] == "regressed"


def test_what_people_do_is_told_with_who_did_it(company: Company):
    issue = company.sentry.issue()["id"]
    company.sentry.act(issue, "assign", by="bob", to="cat@example.com")
    company.sentry.act(issue, "note", by="bob", text="mine")
    company.sentry.act(issue, "resolve", by=f"app:{company.app['slug']}")
    company.sentry.act(issue, "resolve", by="bob")
    company.heard()
    bodies = {ring.page["action"]: ring.page for ring in company.phones.rings}
    assert bodies["assigned"]["data"]["assignee"]["email"] == "cat@example.com"
    assert bodies["assigned"]["actor"]["name"] == "Bob"
    assert bodies["resolved"]["actor"] == {
        "type": "application", "id": company.app["uuid"], "name": "Receiver",
    }  # fmt: skip
    assert company.heard().count("issue.resolved") == 1


def test_archived_until_a_time_comes_back_then(company: Company):
    company.sentry.do("clock", forward=0)
    issue = company.sentry.issue()["id"]
    company.sentry.act(issue, "ignore", by="ann", details={"ignoreDuration": 30})
    company.sentry.do("clock", forward=1700)
    assert "issue.unresolved" not in company.heard()
    company.sentry.do("clock", forward=200)
    assert company.heard().count("issue.unresolved") == 1


@pytest.mark.parametrize(
    ("status", "headers"), [(500, {}), (503, {}), (429, {}), (302, {"Location": "/elsewhere"})]
)
def test_an_internal_integration_is_tried_once_and_no_redirect_is_followed(
    company: Company, status: int, headers: dict[str, str]
):
    company.phones.answers.append((status, headers, b""))
    issue = company.sentry.issue(category="cron")["id"]
    company.sentry.act(issue, "resolve", by="ann")
    assert company.heard() == ["issue.resolved"]
    assert company.sentry.webhooks()[0]["answers"] == [status]


def test_a_published_integration_is_tried_again_with_another_request_id(company: Company):
    company.sentry.do("publish", app=company.app["slug"])
    company.sentry.do("webhooks", retry_seconds=0)
    company.phones.answers += [(500, {}, b""), (500, {}, b"")]
    issue = company.sentry.issue(category="cron")["id"]
    company.sentry.act(issue, "resolve", by="ann")
    assert company.heard() == ["issue.resolved"] * 3
    ids = {ring.headers["Request-ID"] for ring in company.phones.rings}
    keys = {ring.headers["Idempotency-Key"] for ring in company.phones.rings}
    assert (len(ids), len(keys)) == (3, 1)


def test_so_many_of_the_next_webhooks_are_dropped(company: Company):
    company.sentry.do("webhooks", drop=3, of=10)
    issue = company.sentry.issue(category="cron")["id"]
    for _ in range(5):
        company.sentry.act(issue, "resolve", by="ann")
        company.sentry.act(issue, "unresolve", by="ann")
    assert len(company.heard()) == 7
    states = [one["state"] for one in company.sentry.webhooks()]
    assert (states.count("dropped"), states.count("sent")) == (3, 7)


def test_webhooks_are_held_and_come_in_another_order_or_twice(company: Company):
    company.sentry.do("webhooks", hold=True, duplicate=1.0)
    issue = company.sentry.issue(category="cron")["id"]
    company.sentry.act(issue, "resolve", by="ann")
    company.sentry.act(issue, "unresolve", by="ann")
    assert company.heard() == []
    company.sentry.do("release", order="reverse")
    assert sorted(company.heard()) == ["issue.resolved"] * 2 + ["issue.unresolved"] * 2


def test_what_is_not_sent_can_be_taken_as_it_would_have_come(company: Company):
    company.sentry.do("webhooks", sending=False)
    company.sentry.issue(category="cron")
    issue = company.sentry.issue(category="cron")["id"]
    company.sentry.act(issue, "resolve", by="ann")
    (taken,) = company.sentry.do("take")["webhooks"]
    body = base64.b64decode(taken["body_base64"])
    secret = company.app["clientSecret"].encode()
    assert taken["headers"]["Sentry-Hook-Signature"] == hmac.digest(secret, body, "sha256").hex()
    assert company.phones.rings == []


def test_only_what_is_subscribed_to_is_told(sentry: FakeSentry, phones: Telephones):
    company = made(sentry, phones, events=["issue.resolved"])
    issue = sentry.issue()["id"]
    sentry.act(issue, "assign", by="ann", to="bob@example.com")
    sentry.act(issue, "resolve", by="ann")
    assert company.heard() == ["issue.resolved"]


def test_a_test_notification_makes_a_real_issue(company: Company):
    rule = company.rule()
    company.sentry.do("test_rule", rule=rule["id"])
    company.heard()
    alert = next(ring.page for ring in company.phones.rings if "event" in ring.page["data"])
    assert alert["data"]["triggered_rule"] == ""
    assert ["sample_event", "yes"] in alert["data"]["event"]["tags"]


# -- components -----------------------------------------------------------------------------------


def with_components(sentry: FakeSentry, phones: Telephones) -> Company:
    return made(sentry, phones, schema=SCHEMA)


def test_saving_a_rule_asks_the_integration_and_its_refusal_is_sentrys(
    sentry: FakeSentry, phones: Telephones
):
    company = with_components(sentry, phones)
    said = {
        "app": company.app["slug"],
        "project": "backend",
        "settings": [{"name": "service", "value": "checkout"}],
    }
    phones.answers.append((400, {}, b'{"message":"there is no service checkout"}'))
    status, told = sentry.ask("POST", "/_control/rule", said)
    assert (status, told) == (400, {"sentry_app": "Receiver: there is no service checkout"})
    assert sentry.state()["rules"] == []
    assert sentry.ask("POST", "/_control/rule", said)[0] == 200
    asked = phones.rings[-1]
    assert asked.path == "/components/rule?token=kept"
    assert asked.page == {
        "fields": said["settings"],
        "installationId": sentry.state()["installations"][0]["uuid"],
    }
    secret = company.app["clientSecret"].encode()
    assert asked.headers["Sentry-App-Signature"] == (
        hmac.digest(secret, asked.body, "sha256").hex()
    )
    sentry.issue()
    company.heard()
    alert = next(ring.page for ring in phones.rings if "event" in ring.page.get("data", {}))
    assert alert["data"]["issue_alert"]["settings"] == said["settings"]


def test_an_integration_with_a_component_is_no_plain_action(sentry: FakeSentry, phones: Telephones):
    company = with_components(sentry, phones)
    with pytest.raises(AssertionError, match="not one of the available choices"):
        company.rule()


def test_a_select_is_asked_with_the_signature_of_nothing(sentry: FakeSentry, phones: Telephones):
    company = with_components(sentry, phones)
    phones.answers.append((200, {}, b'[{"label":"checkout","value":"checkout"}]'))
    told = sentry.do("select", app=company.app["slug"], uri="/components/services", query="ch")
    assert told["body"] == [{"label": "checkout", "value": "checkout"}]
    asked = phones.rings[-1]
    installation = sentry.state()["installations"][0]["uuid"]
    assert asked.path == f"/components/services?installationId={installation}&query=ch"
    secret = company.app["clientSecret"].encode()
    assert asked.headers["Sentry-App-Signature"] == hmac.digest(secret, b"", "sha256").hex()


def test_a_link_needs_three_texts(sentry: FakeSentry, phones: Telephones):
    company = with_components(sentry, phones)
    issue = sentry.issue()["id"]
    sentry.do("settle")
    phones.answers += [
        (200, {}, b'{"webUrl":"http://t/1","project":"checkout"}'),
        (200, {}, b'{"webUrl":"http://t/1","project":"checkout","identifier":"1"}'),
    ]
    said = {"app": company.app["slug"], "issue": issue, "form": "create", "fields": {"title": "T"}}
    assert "linked" not in sentry.do("link", **said)
    assert sentry.do("link", **said)["linked"]
    assert phones.rings[-1].path == "/components/create"
    assert isinstance(phones.rings[-1].page["issueId"], int)
    assert sentry.state()["issues"][issue]["links"][0]["displayName"] == "checkout#1"


@pytest.mark.parametrize(
    ("element", "said"),
    [
        ({"type": "button"}, "Element has type"),
        ({"type": "alert-rule-action", "settings": {}}, "title"),
        ({**SCHEMA["elements"][0], "settings": {
            **SCHEMA["elements"][0]["settings"], "uri": "https://elsewhere"}}, "relative path"),
        ({**SCHEMA["elements"][0], "settings": {
            **SCHEMA["elements"][0]["settings"], "description": "x" * 141}}, "140"),
    ],
)  # fmt: skip
def test_a_schema_that_is_wrong_is_refused(sentry: FakeSentry, element: Any, said: str):
    form = {
        "name": "R", "organization": "acme", "webhookUrl": "http://t", "isInternal": True,
        "scopes": [], "events": [], "schema": {"elements": [element]},
    }  # fmt: skip
    status, told = sentry.ask("POST", "/api/0/sentry-apps/", form, sentry.token())
    assert status == 400
    assert said in json.dumps(told)


def test_a_token_of_an_integration_cannot_be_made_with_a_token(company: Company):
    slug = company.app["slug"]
    path = f"/api/0/sentry-apps/{slug}/api-tokens/"
    assert company.sentry.ask("POST", path, {}, company.token)[0] == 401


def test_it_ends_with_whoever_started_it():
    made = FakeSentry.start()
    assert made._process.stdin is not None
    made._process.stdin.close()
    assert made._process.wait(timeout=20) == 0
    made._process.stdout.close()
    made._line.close()


def test_an_issue_that_was_merged_leads_to_the_other_one(sentry: FakeSentry):
    gone, kept = (sentry.issue()["id"] for _ in range(2))
    sentry.act(gone, "merge", into=kept)
    token = sentry.token()
    issues = "/api/0/organizations/acme/issues/"
    status, told = sentry.ask("GET", f"{issues}{gone}/", token=token)
    assert (status, told["id"], told["count"]) == (200, kept, "2")
    _, listed = sentry.ask("GET", f"{issues}?query=is:unresolved", token=token)
    assert [one["id"] for one in listed] == [kept]
