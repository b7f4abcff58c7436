"""UI components: the schema that an integration may give, and the requests it is then asked."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from tocsin.fake_sentry.sender import AGENT, Answer, encode, request, signed
from tocsin.fake_sentry.things import App, Installation, Issue, Json, Person, Refusal

_KINDS = {"alert-rule-action", "issue-link", "stacktrace-link", "issue-media"}
_FIELDS = {"select", "text", "textarea"}
_URI = re.compile(r"^/(?!/)[^@]*$")
_DESCRIPTION = 140


def check_schema(schema: Any) -> None:
    """Refuse a schema that Sentry would refuse."""
    if not schema:
        return
    if not isinstance(schema, dict) or not isinstance(schema.get("elements"), list):
        raise Refusal(400, {"schema": ["'elements' is a required property"]})
    seen: set[str] = set()
    for element in schema["elements"]:
        kind = element.get("type")
        if kind not in _KINDS:
            why = f"Element has type '{kind}'. Type must be one of the following: {sorted(_KINDS)}"
            raise Refusal(400, {"schema": [why]})
        if kind in seen:
            raise Refusal(400, {"schema": [f"Multiple elements of type: {kind}"]})
        seen.add(kind)
        for form in _forms(element):
            _check_form(kind, form)


def _forms(element: Json) -> list[Json]:
    if element["type"] == "alert-rule-action":
        if not element.get("title"):
            raise Refusal(400, {"schema": ["'title' is a required property"]})
        return [element.get("settings") or {}]
    if element["type"] == "issue-link":
        return [element.get("link") or {}, element.get("create") or {}]
    return [element]


def _check_form(kind: str, form: Json) -> None:
    if not _URI.match(str(form.get("uri", ""))):
        raise Refusal(400, {"schema": [f"'{form.get('uri', '')}' is no relative path"]})
    if kind == "alert-rule-action" and form.get("type") != "alert-rule-settings":
        raise Refusal(400, {"schema": ["settings.type must be 'alert-rule-settings'"]})
    if len(str(form.get("description") or "")) > _DESCRIPTION:
        raise Refusal(400, {"schema": [f"description is longer than {_DESCRIPTION} characters"]})
    if kind in ("alert-rule-action", "issue-link") and "required_fields" not in form:
        raise Refusal(400, {"schema": ["'required_fields' is a required property"]})
    for field in (*form.get("required_fields", ()), *form.get("optional_fields", ())):
        if field.get("type") not in _FIELDS or not field.get("name") or not field.get("label"):
            raise Refusal(400, {"schema": [f"{field} is not valid under any of the given schemas"]})
        if field["type"] == "select" and not ("options" in field or "uri" in field):
            raise Refusal(400, {"schema": [f"{field} has neither options nor uri"]})
        if "uri" in field and not _URI.match(str(field["uri"])):
            raise Refusal(400, {"schema": [f"'{field['uri']}' is no relative path"]})


def _headers(app: App, body: bytes) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Request-ID": uuid.uuid4().hex,
        "User-Agent": AGENT,
        "Sentry-App-Signature": signed(app.client_secret, body),
    }


def _url(app: App, uri: str, *, query: str | None) -> str:
    """Return where a component is asked: the path is its own; None keeps the webhook's query."""
    parts = urlsplit(app.webhook_url)
    kept = parts.query if query is None else query
    return urlunsplit((parts.scheme, parts.netloc, uri, kept, ""))


def _told(answer: Answer) -> Json:
    """Write an answer for whoever let the question be asked."""
    try:
        said = json.loads(answer.body)
    except ValueError:
        said = answer.body.decode("utf-8", "replace")
    return {"status": answer.status, "body": said}


def check_settings(app: App, installation: Installation, settings: Any) -> None:
    """Refuse settings that the schema does not allow; then ask the integration."""
    component = app.component("alert-rule-action")
    if component is None:
        raise _no(f"Alert Rule Actions are not enabled for the {app.name} integration.")
    if not settings:
        raise _no(f"{app.name} requires settings to configure alert rules.")
    form: Json = component["settings"]
    given = {one.get("name"): one.get("value") for one in settings}
    fields = [(field, True) for field in form.get("required_fields", ())]
    fields += [(field, False) for field in form.get("optional_fields", ())]
    for field, is_required in fields:
        name, value = field["name"], given.pop(field["name"], None)
        if is_required and not value:
            raise _no(f"{app.name} is missing required settings field: '{name}'")
        allowed = [option[0] for option in field.get("options", ())]
        if value and field["type"] == "select" and "uri" not in field and value not in allowed:
            raise _no(
                f"{app.name} received {value} for {field['label']} setting. Allowed values are"
                f" {', '.join(allowed)}"
            )
    if given:
        strangers = ", ".join(map(str, given))
        raise _no(f"Unexpected setting(s) '{strangers}' configured for {app.name}")
    body = encode({"fields": list(settings), "installationId": installation.uuid})
    answer = request("POST", _url(app, form["uri"], query=None), body, _headers(app, body))
    if not 200 <= answer.status < 400:
        said = _told(answer)["body"]
        message = said.get("message") if isinstance(said, dict) else None
        raise Refusal(400, {"sentry_app": f"{app.name}: {message or 'Something went wrong!'}"})


def _no(why: str) -> Refusal:
    return Refusal(400, {"actions": [why]})


def select(app: App, installation: Installation, uri: str, asked: Json) -> Json:
    """Ask for the options of a select, as Sentry's form does."""
    query = {"installationId": installation.uuid}
    query |= {
        name: str(asked[name])
        for name in ("projectSlug", "query", "dependentData")
        if asked.get(name)
    }
    url = _url(app, uri, query=urlencode(query))
    return _told(request("GET", url, b"", _headers(app, b"")))


def link(
    app: App, installation: Installation, issue: Issue, form: str, fields: Json, by: Person
) -> Json:
    """Link an issue, or make something for it; a good answer becomes a link in its sidebar."""
    component = app.component("issue-link")
    if component is None:
        raise Refusal(400, f"{app.name} has no issue-link component")
    body = encode(
        {
            "fields": fields,
            "issueId": issue.id,
            "installationId": installation.uuid,
            "webUrl": f"https://sentry.example.com/issues/{issue.id}/",
            "project": {"slug": issue.project.slug, "id": issue.project.id},
            "actor": {"type": "user", "id": by.id, "name": by.name},
        }
    )
    url = _url(app, component[form]["uri"], query="")
    told = _told(request("POST", url, body, _headers(app, body)))
    said = told["body"]
    names = ("webUrl", "project", "identifier")
    is_good = 200 <= told["status"] < 300 and isinstance(said, dict)
    if is_good and all(isinstance(said.get(name), str) and said[name] for name in names):
        issue.links.append(
            {"serviceType": app.slug, "displayName": f"{said['project']}#{said['identifier']}",
             "webUrl": said["webUrl"]}
        )  # fmt: skip
        told["linked"] = True
    return told
