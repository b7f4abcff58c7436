"""Sentry's UI components, as Sentry asks: signed, and answered as its own pages expect."""

from __future__ import annotations

import hmac
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx2
import pytest

from tests.counting import statements
from tests.world import BASE, KEY, ONE_STEP, PEOPLE, World
from tocsin.core import choice
from tocsin.core.dialect import read
from tocsin.dialects import load, load_all
from tocsin.sentry.components import ROOT, component_schema
from tocsin.sentry.sender import Issue, encode, webhook
from tocsin.work import respond
from tocsin.work.reading import explain, stored_sample

SECRET = "client-secret-from-sentry"

INSTALLATION = "7a485448-a9e2-4c85-8a3c-4f44175783c9"

POLICIES = """
  - name: night
    steps:
      - {targets: [{user: bob@example.com}], wait: 5m}
"""

TWO_SERVICES = f"""
services:
  - {{name: checkout, team: payments, escalation_policy: default}}
  - {{name: billing, team: payments, escalation_policy: default}}
  - {{name: website, escalation_policy: default}}
  - {{name: elsewhere, team: others}}
integrations:
  - name: sentry
    service: checkout
    routing_key: {KEY}
    signing_secrets: [{SECRET}, another-secret]
    routes: [{{project: books, service: billing}}]
  - {{name: unsigned, service: checkout, routing_key: key-of-the-unsigned}}
  - {{name: off, service: checkout, routing_key: key-of-the-disabled, signing_secrets: [{SECRET}],
      enabled: false}}
"""

TEAMS = "  - {name: others, members: [cat@example.com]}\n"


@pytest.fixture
def world(blank: World) -> World:
    """Give a world whose Sentry integration has a secret, and two policies."""
    blank.configure(PEOPLE.rstrip() + "\n" + TEAMS, ONE_STEP.rstrip() + POLICIES, TWO_SERVICES)
    return blank


def id_of(world: World, name: str = "sentry") -> str:
    found: str = world.api("GET", f"/integrations/{name}")["id"]
    return found


def signed(body: bytes, secret: str = SECRET) -> str:
    return hmac.digest(secret.encode(), body, "sha256").hex()


def ask(
    world: World,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    integration: str = "sentry",
    signature: str | None = "",
) -> httpx2.Response:
    """Ask as Sentry does: with its headers, and the signature over the body as it is."""
    headers = {"content-type": "application/json", "request-id": "0" * 32}
    if signature is not None:
        headers["sentry-app-signature"] = signature or signed(body)
    address = f"{ROOT}/{id_of(world, integration)}/{path}"
    return world.ask(method, address, body, headers)


def options(world: World, name: str, **query: str) -> Any:
    asked = {"installationId": INSTALLATION, "projectSlug": "backend", **query}
    response = ask(world, "GET", f"options/{name}?{urlencode(asked)}")
    assert response.status_code == 200, response.text
    return response.json()


def form(**fields: Any) -> bytes:
    named = [{"name": name, "value": value} for name, value in fields.items()]
    return encode({"installationId": INSTALLATION, "fields": named})


def issue_form(id_: Any = 7, **fields: Any) -> bytes:
    return encode({
        "installationId": INSTALLATION,
        "fields": fields,
        "issueId": id_,
        "webUrl": f"https://sentry.example.com/organizations/acme/issues/{id_}/",
        "project": {"slug": "backend", "id": 2},
        "actor": {"type": "user", "id": 5, "name": "Jane Doe"},
    })  # fmt: skip


# -- the schema -----------------------------------------------------------------------------------


def test_the_schema_is_one_that_sentry_takes(shared: Path):
    """By the rules of Sentry's own parser, and in the form of its own example."""
    schema = component_schema("https://tocsin.example.com", "int_1")
    example = json.loads((shared / "sentry-payloads" / "ipe-ui-schema.json").read_text("utf-8"))
    assert {one["type"] for one in schema["elements"]} == {
        one["type"] for one in example["elements"]
    }
    for element in schema["elements"]:
        theirs = next(one for one in example["elements"] if one["type"] == element["type"])
        assert element.keys() <= theirs.keys()
        for name in ("settings", "link", "create"):
            if name in element:
                required = {"uri", "required_fields"} | ({"type"} if name == "settings" else set())
                assert required <= element[name].keys()
    action = schema["elements"][0]["settings"]
    assert len(action["description"]) <= 140


def uris(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["uri"]] if "uri" in node else []
        return own + [uri for value in node.values() for uri in uris(value)]
    return [uri for value in node for uri in uris(value)] if isinstance(node, list) else []


@pytest.mark.parametrize(
    ("public_url", "begins"),
    [("https://tocsin.example.com", "/sentry/"), ("https://example.com/ops/", "/ops/sentry/")],
)
def test_its_paths_are_what_sentry_keeps_of_an_address(public_url: str, begins: str):
    """Of these requests Sentry keeps no query string: the path says all."""
    found = uris(component_schema(public_url, "int_1"))
    assert len(found) == 8
    for uri in found:
        assert re.fullmatch(r"/(?!/)[^@]*", uri)
        assert uri.startswith(f"{begins}components/int_1/")
        assert "?" not in uri


def test_every_path_of_the_schema_is_answered(world: World):
    for uri in set(uris(component_schema(BASE, id_of(world)))):
        path = uri.partition(f"{id_of(world)}/")[2]
        method = "GET" if path.startswith("options/") else "POST"
        assert ask(world, method, path, form() if method == "POST" else b"").status_code in (
            200,
            400,
        )


# -- who asks -------------------------------------------------------------------------------------


def test_a_get_is_signed_over_nothing(world: World):
    found = ask(world, "GET", "options/service", signature=signed(b""))
    assert found.status_code == 200


@pytest.mark.parametrize(
    ("integration", "signature", "status", "says"),
    [
        pytest.param("sentry", None, 401, "signature", id="no signature"),
        pytest.param("sentry", "0" * 64, 401, "Client Secret", id="a wrong one"),
        pytest.param("sentry", signed(b"{}"), 401, "signature", id="of another body"),
        pytest.param("sentry", signed(b"", "another-secret"), 200, "", id="the second secret"),
        pytest.param("unsigned", "", 401, "no Client Secret", id="an integration without one"),
        pytest.param("off", "", 403, "disabled", id="a disabled one"),
    ],
)
def test_only_the_integrations_own_sentry_is_answered(
    world: World, integration: str, signature: str | None, status: int, says: str
):
    response = ask(world, "GET", "options/service", integration=integration, signature=signature)
    assert response.status_code == status
    if says:
        assert says in response.json()["message"]
        assert "checkout" not in response.text


def test_the_signature_of_a_webhook_is_none_here(world: World):
    path = f"{ROOT}/{id_of(world)}/options/service"
    assert world.raw("GET", path, headers={"sentry-hook-signature": signed(b"")}).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", f"{ROOT}/int_0/alert-rule-action", 404),
        ("GET", f"{ROOT}/", 404),
        ("GET", f"{ROOT}/int_0/{'x' * 5000}", 404),
        ("GET", f"{ROOT}/int_0/%00%ff/..", 404),
    ],
)
def test_what_is_not_there_is_said_so(world: World, method: str, path: str, status: int):
    response = world.raw(method, path)
    assert response.status_code == status
    assert response.json()["message"]


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "options/service"), ("GET", "alert-rule-action")]
)
def test_another_method_is_refused(world: World, method: str, path: str):
    assert ask(world, method, path).status_code == 405


# -- lists to choose from -------------------------------------------------------------------------


def test_services_are_those_that_the_integrations_team_sees(world: World):
    assert options(world, "service") == [
        {"label": "billing", "value": "billing"},
        {"label": "checkout", "value": "checkout", "default": True},
        {"label": "website", "value": "website"},
    ]


def test_the_service_that_a_project_is_routed_to_is_proposed(world: World):
    found = options(world, "service", projectSlug="books")
    assert [one["value"] for one in found if one.get("default")] == ["billing"]


def test_an_integration_of_no_team_stands_for_the_whole_installation(world: World):
    world.api("PATCH", "/services/checkout", {"team": None})
    assert "elsewhere" in [one["value"] for one in options(world, "service")]


@pytest.mark.parametrize("query", ["a\0b", "%", "'; --", "#99999999999999999999", "\ud800"])
def test_whatever_is_typed_is_text(world: World, query: str):
    typed = quote(query, errors="surrogatepass")
    for name in ("service", "incident"):
        response = ask(world, "GET", f"options/{name}?query={typed}")
        assert (response.status_code, response.json()) == (200, [])


def test_what_is_typed_narrows_a_list(world: World):
    assert [one["value"] for one in options(world, "service", query="BILL")] == ["billing"]


def test_policies_and_urgencies(world: World):
    assert [one["value"] for one in options(world, choice.POLICY)] == ["default", "night"]
    assert [one["value"] for one in options(world, choice.URGENCY)] == ["high", "low"]


def test_incidents_are_the_open_ones_found_by_number_or_title(world: World):
    hook(world, "issue.created", 1, title="Disk full")
    hook(world, "issue.created", 2, title="Card refused")
    hook(world, "issue.created", 3, title="Over already")
    world.api("POST", "/incidents", {"service": "elsewhere", "title": "of another team"})
    world.act("ann", respond.resolve, 3)
    world.forget()
    assert options(world, "incident") == [
        {"label": "#2 Card refused (checkout)", "value": "2"},
        {"label": "#1 Disk full (checkout)", "value": "1"},
    ]
    assert [one["value"] for one in options(world, "incident", query="card")] == ["2"]
    assert [one["value"] for one in options(world, "incident", query="#1")] == ["1"]


def test_lists_and_checks_come_from_memory(world: World):
    own = id_of(world)
    with statements(world.database) as seen:
        for name in (choice.SERVICE, choice.URGENCY, choice.POLICY):
            headers = {"sentry-app-signature": signed(b"")}
            path = f"{ROOT}/{own}/options/{name}"
            assert world.raw("GET", path, headers=headers).status_code == 200
        body = form(service="billing", escalation_policy="night")
        headers = {"sentry-app-signature": signed(body)}
        path = f"{ROOT}/{own}/alert-rule-action/"
        assert world.raw("POST", path, content=body, headers=headers).status_code == 200
    assert seen == []


def test_a_field_nobody_has_is_not_there(world: World):
    assert ask(world, "GET", "options/colour").status_code == 404


# -- an alert rule is saved -----------------------------------------------------------------------


def save(world: World, **fields: Any) -> httpx2.Response:
    return ask(world, "POST", "alert-rule-action", form(**fields))


def test_sentrys_own_example_of_the_request_is_taken(world: World, shared: Path):
    """Fields that are none of ours are let be: they may be of another version of the form."""
    sample = shared / "sentry-payloads" / "ipe-ui-alert-rule-action-request.json"
    body = encode(json.loads(sample.read_text("utf-8")))
    assert ask(world, "POST", "alert-rule-action", body).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"service": "billing"}, id="a service"),
        pytest.param({"service": "billing", "urgency": "low", "escalation_policy": "night"},
                     id="everything"),
        pytest.param({"service": "billing", "urgency": "", "escalation_policy": None},
                     id="what was left empty"),
    ],
)  # fmt: skip
def test_a_rule_that_names_what_is_there_may_be_saved(world: World, fields: dict[str, Any]):
    assert save(world, **fields).status_code == 200


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"service": "chekout"}, "there is no service 'chekout'; did you mean 'checkout'?"),
        ({"service": "elsewhere"}, "there is no service 'elsewhere'"),
        ({"service": "checkout", "urgency": "loud"}, "choose high or low"),
        ({"service": "checkout", "escalation_policy": "nigth"}, "did you mean 'night'?"),
    ],
)
def test_a_rule_that_names_what_is_not_there_is_refused_with_a_message(
    world: World, fields: dict[str, Any], says: str
):
    response = save(world, **fields)
    assert response.status_code == 400
    assert says in response.json()["message"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"fields":{}}', b'{"fields":[1]}', b"\xff"])
@pytest.mark.parametrize("path", ["alert-rule-action", "issue-link/link", "issue-link/create"])
def test_a_form_that_cannot_be_read_is_refused_with_a_message(world: World, path: str, body: bytes):
    response = ask(world, "POST", path, body)
    assert response.status_code == 400
    assert "could not read" in response.json()["message"]


def test_a_form_that_is_too_large_is_refused(world: World):
    assert save(world, service="x" * 2**19).status_code == 413


# -- what the rule chose comes back ---------------------------------------------------------------


def hook(world: World, event: str, id_: int = 1, *, data: Any = None, **issue: Any) -> None:
    """Let Sentry send a webhook, signed, with more in its data."""
    resource, _, action = event.partition(".")
    body = json.loads(webhook(resource, action, Issue(id=str(id_), **{"title": "T", **issue})).body)
    for name, more in (data or {}).items():
        body["data"].setdefault(name, {}).update(more)
    post(world, resource, body)


def post(world: World, resource: str, body: Any) -> None:
    raw = encode(body)
    headers = {"sentry_hook_resource": resource, "sentry_hook_signature": signed(raw)}
    assert world.post(f"/in/{KEY}", raw, **headers).status_code == 202


def settings(**fields: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in fields.items()]


CHOSEN = settings(service="billing", urgency="low", escalation_policy="night")


def event_alert(world: World, chosen: Any = CHOSEN, id_: int = 1) -> None:
    alert = {"id": 4, "title": "R", "sentry_app_id": 1, "settings": chosen}
    hook(world, "event_alert.triggered", id_, data={"issue_alert": alert})


def metric_alert(world: World, action: str, chosen: Any = CHOSEN) -> None:
    others = {"type": "sentry_app", "sentry_app_installation_uuid": "another",
              "settings": settings(service="checkout")}  # fmt: skip
    ours = {"type": "sentry_app", "sentry_app_installation_uuid": INSTALLATION, "settings": chosen}
    triggers = [
        {"label": "warning", "actions": [{**ours, "settings": settings(service="checkout")}]},
        {"label": "critical", "actions": [others, ours]},
    ]
    body = json.loads(webhook("metric_alert", action, Issue(id="9")).body)
    body["data"]["metric_alert"]["alert_rule"]["triggers"] = triggers
    post(world, "metric_alert", body)


def activity_alert(world: World, chosen: Any = CHOSEN) -> None:
    body = json.loads(webhook("issue", "unresolved", Issue(id="1", title="T")).body)
    body["action"] = "triggered"
    body["data"]["activity"] = {"type": "status_regression"}
    body["data"]["alert"] = {"id": 10, "title": "R", "settings": chosen}
    post(world, "activity_alert", body)


SENDERS = {
    "event_alert": event_alert,
    "metric_alert": lambda world, chosen=CHOSEN: metric_alert(world, "critical", chosen),
    "activity_alert": activity_alert,
}


THEIRS = [
    ("title", "Alert Rule Action Item Title"),
    ("description", "Alert Rule Action Item Description"),
    ("userId", "1"),
]


@pytest.mark.parametrize(
    ("sample", "chosen"),
    [
        ("ipe-metric-alert-warning-with-settings", THEIRS),
        ("docs-event-alert-triggered", [("channel", "#general")]),
        ("docs-activity-alert-triggered", [("title", "A Title"), ("description", "A Description")]),
        ("ipe-metric-alert-critical", []),
        ("ipe-issue-created", []),
    ],
)
def test_settings_are_found_where_each_resource_has_them(
    shared: Path, sample: str, chosen: list[tuple[str, str]]
):
    folder = shared / "sentry-payloads"
    body = json.loads((folder / f"{sample}.json").read_text("utf-8"))
    known = json.loads((folder / f"{sample}.headers.json").read_text("utf-8"))
    signal = read(load("native"), body, known["resource"])
    assert signal is not None
    assert list(signal.choices) == chosen


@pytest.mark.parametrize("resource", SENDERS)
def test_service_urgency_and_policy_are_as_the_rule_chose(world: World, resource: str):
    SENDERS[resource](world)
    world.expect("bob")
    world.expect_nothing()
    one = world.incident()
    assert one.service is not None
    assert (one.service.name, one.urgency, one.escalation.policy) == ("billing", "low", "night")
    opened = one.timeline[0].text
    assert "the rule chose service billing, low urgency, policy night" in opened


@pytest.mark.parametrize("resource", SENDERS)
def test_what_is_gone_meanwhile_falls_back_and_is_told(world: World, resource: str):
    SENDERS[resource](world, settings(service="gone", escalation_policy="gone too"))
    world.expect("ann")
    one = world.incident()
    assert one.service is not None
    assert (one.service.name, one.urgency, one.escalation.policy) == ("checkout", "high", "default")
    said = [entry.text for entry in one.timeline if entry.kind == "note"]
    assert said == [
        "the rule in Sentry is out of date: there is no service 'gone'; checkout has it as usual",
        (
            "the rule in Sentry is out of date: there is no escalation policy 'gone too'; checkout"
            " has it as usual"
        ),
    ]


def test_when_a_metric_alert_is_over_any_of_its_actions_that_are_ours_will_do(world: World):
    metric_alert(world, "critical")
    world.expect("bob")
    metric_alert(world, "resolved")
    world.forget()
    assert world.incident().status == "resolved"


def test_an_urgency_that_was_chosen_stays_through_webhooks_that_choose_nothing(world: World):
    """Sentry tells of one new issue twice, and only the alert rule's webhook has the choice."""
    event_alert(world)
    world.expect("bob")
    hook(world, "issue.created")
    world.expect_nothing()
    assert world.incident().urgency == "low"


def test_an_urgency_that_was_chosen_is_raised_by_no_support_hours(world: World):
    hours = {"time_zone": "UTC", "days": ["tue"], "from": "09:00", "to": "17:00", "outside": "low"}
    world.api("PATCH", "/services/billing", {"support_hours": hours})
    event_alert(world)
    world.expect("bob")
    world.forward(days=2)
    world.expect_nothing()
    assert world.incident().urgency == "low"


def test_a_choice_that_is_louder_raises_what_is_open(world: World):
    event_alert(world)
    world.expect("bob")
    event_alert(world, settings(service="billing", urgency="high"))
    world.expect("bob")
    assert world.incident().urgency == "high"


def test_the_policy_of_the_rule_counts_although_another_webhook_came_first(world: World):
    hook(world, "issue.created")
    world.expect("ann")
    event_alert(world, settings(service="checkout", escalation_policy="night"))
    world.expect("bob")
    event_alert(world, settings(service="checkout", escalation_policy="night"))
    world.expect_nothing()
    assert world.incident().escalation.policy == "night"


def test_a_person_who_has_it_is_not_overruled_by_a_rule(world: World):
    hook(world, "issue.created")
    world.expect("ann")
    world.act("ann", respond.acknowledge)
    event_alert(world)
    world.forward(minutes=30)
    world.forget()
    one = world.incident()
    assert (one.status, one.escalation.policy) == ("acknowledged", "default")
    assert "its rule chose billing; it stays with checkout" in one.timeline[-1].text


def test_what_is_open_stays_with_its_service_whatever_a_later_rule_chooses(world: World):
    hook(world, "issue.created")
    event_alert(world, settings(service="billing"))
    world.forget()
    one = world.incident()
    assert one.service is not None
    assert one.service.name == "checkout"


def test_a_policy_that_is_deleted_later_gives_way_to_the_services(world: World):
    event_alert(world, settings(service="billing", escalation_policy="night", urgency="high"))
    world.expect("bob")
    assert world.call("DELETE", "/escalation-policies/night").status_code == 204
    world.settle()
    world.expect("ann")
    assert world.incident().escalation.policy == "default"


def test_a_choice_cannot_reach_what_the_integration_does_not_offer(world: World):
    event_alert(world, settings(service="elsewhere"))
    world.expect("ann")
    one = world.incident()
    assert one.service is not None
    assert one.service.name == "checkout"


def test_the_explanation_of_a_delivery_names_the_service_that_was_chosen(world: World):
    event_alert(world)
    world.forget()
    with world.database.read() as connection:
        found = stored_sample(connection, world.deliveries()[-1].id)
    assert found is not None
    plans = world.plans.refresh()
    told = explain(plans, load_all(), plans.integrations[found[0]], found[1])
    assert (told.service, told.verb) == ("billing", "trigger")


# -- an issue is linked ---------------------------------------------------------------------------


def test_an_issue_is_linked_to_an_incident_that_is_there(world: World):
    world.api("POST", "/incidents", {"service": "checkout", "title": "Payments are down"})
    world.expect("ann")
    response = ask(world, "POST", "issue-link/link", issue_form(incident="1"))
    assert response.status_code == 200
    assert response.json() == {
        "webUrl": f"{BASE}/incidents/1",
        "project": "checkout",
        "identifier": "1",
    }
    world.expect_nothing()
    one = world.incident()
    assert [alert.dedup_key for alert in one.alerts] == ["sentry:issue:7"]
    assert (one.timeline[-1].text, one.timeline[-1].actor) == (
        "linked in Sentry: Sentry issue 7",
        "Jane Doe (Sentry)",
    )


def test_from_then_on_the_issue_counts_there_and_ends_it(world: World):
    world.api("POST", "/incidents", {"service": "checkout", "title": "Payments are down"})
    ask(world, "POST", "issue-link/link", issue_form(incident="1"))
    hook(world, "issue.created", 7, title="Card refused")
    world.forget()
    (one,) = world.incidents()
    assert one.alerts[0].title == "Card refused"


def test_linking_twice_links_once(world: World):
    world.api("POST", "/incidents", {"service": "checkout", "title": "Payments are down"})
    world.forget()
    answers = [ask(world, "POST", "issue-link/link", issue_form(incident="#1")) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert world.kinds().count("repeated") == 1


def test_an_issue_that_has_an_incident_brings_it_along(world: World):
    hook(world, "issue.created", 1, title="The cause")
    hook(world, "issue.created", 7, title="A symptom")
    world.forget()
    assert ask(world, "POST", "issue-link/link", issue_form(incident="1")).status_code == 200
    cause, symptom = world.incidents()
    assert (len(cause.alerts), symptom.merged_into) == (2, 1)
    world.forget()


@pytest.mark.parametrize("incident", ["", "99", "nonsense", "2"])
def test_an_incident_that_is_not_there_or_not_seen_is_refused(world: World, incident: str):
    hook(world, "issue.created", 1)
    world.api("POST", "/incidents", {"service": "elsewhere", "title": "of another team"})
    world.forget()
    response = ask(world, "POST", "issue-link/link", issue_form(incident=incident))
    assert response.status_code == 400
    assert "there is no incident" in response.json()["message"]


def test_a_resolved_incident_is_refused(world: World):
    hook(world, "issue.created", 1)
    world.act("ann", respond.resolve)
    world.forget()
    response = ask(world, "POST", "issue-link/link", issue_form(incident="1"))
    assert response.status_code == 400
    assert "is resolved" in response.json()["message"]


def test_a_new_incident_is_made_and_pages_as_the_form_chose(world: World):
    body = issue_form("7", title="Card refused", service="billing", details="since noon",
                      escalation_policy="night")  # fmt: skip
    response = ask(world, "POST", "issue-link/create", body)
    assert response.json() == {
        "webUrl": f"{BASE}/incidents/1",
        "project": "billing",
        "identifier": "1",
    }
    world.expect("bob")
    one = world.incident()
    assert (one.title, one.dedup_key, one.escalation.policy) == (
        "Card refused",
        "sentry:issue:7",
        "night",
    )
    assert one.link == "https://sentry.example.com/organizations/acme/issues/7/"
    assert one.source == "Sentry - backend"
    assert "since noon" in [entry.text for entry in one.timeline]


def test_made_twice_it_is_one(world: World):
    answers = [
        ask(world, "POST", "issue-link/create", issue_form(title="T", service="billing"))
        for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    world.expect("ann")
    assert len(world.incidents()) == 1


def test_an_issue_that_has_an_open_incident_is_linked_to_that(world: World):
    hook(world, "issue.created", 7)
    world.expect("ann")
    body = issue_form(title="T", service="billing")
    assert ask(world, "POST", "issue-link/create", body).json()["identifier"] == "1"
    world.expect_nothing()


def test_a_service_that_is_not_there_makes_nothing(world: World):
    response = ask(world, "POST", "issue-link/create", issue_form(title="T", service="billling"))
    assert response.status_code == 400
    assert "did you mean 'billing'?" in response.json()["message"]
    assert world.incidents() == []


def test_what_a_person_asks_for_no_noise_rule_holds(world: World):
    rules = {"first_sight": "record", "hold": {"for": "1h", "priorities": ["high", "low"]}}
    world.api("PATCH", "/services/billing", {"noise": rules})
    ask(world, "POST", "issue-link/create", issue_form(title="T", service="billing"))
    world.expect("ann")


def test_texts_that_no_database_takes_are_repaired(world: World):
    body = issue_form(title="a\0b\ud800c", service="billing", details="x\0")
    assert ask(world, "POST", "issue-link/create", body).status_code == 200
    world.expect("ann")
    assert world.incident().title == "a\ufffdb\ufffdc"


def test_the_resolve_of_the_issue_ends_what_was_made_for_it(world: World):
    ask(world, "POST", "issue-link/create", issue_form(7, title="T", service="billing"))
    world.expect("ann")
    hook(world, "issue.resolved", 7)
    world.expect("ann", what="resolved")


def test_odd_names_are_quoted_as_they_are(world: World):
    world.api("POST", "/services", {"name": "Zahlung & <Köln>"})
    found = options(world, "service", query="<")
    assert found == [{"label": "Zahlung & <Köln>", "value": "Zahlung & <Köln>"}]
    assert save(world, service="Zahlung & <Köln>").status_code == 200
    assert quote("<") not in found[0]["value"]
