"""A sample of what an integration takes: to send at the press of a button, or from a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tocsin.sentry.sender import Webhook, encode, headers_of

_ID = "tocsin-sample"
_TITLE = "A sample from Tocsin"
_EVENT = {
    "event_id": "5a3c1e0000000000000000000000ca11",
    "title": _TITLE,
    "level": "error",
    "tags": [["sample_event", "yes"], ["environment", "production"]],
}

#: What a sample can be: by kind of sender, then by what it says.
_BODIES: Mapping[str, Mapping[str, tuple[str | None, Any]]] = {
    "sentry": {
        "trigger": (
            "event_alert",
            {
                "action": "triggered",
                "data": {"event": {**_EVENT, "issue_id": _ID}, "triggered_rule": "Sample"},
            },
        ),
        "resolve": (
            "issue",
            {"action": "resolved", "data": {"issue": {"id": _ID, "title": _TITLE}}},
        ),
    },
    "plugin": {
        "trigger": (
            None,
            {
                "id": _ID,
                "project_name": "Sample",
                "project_slug": "sample",
                "level": "error",
                "message": _TITLE,
                "url": "https://sentry.example.com/issues/sample/",
                "triggering_rules": ["Sample"],
                "event": _EVENT,
            },
        ),
    },
    "events": {
        "trigger": (
            None,
            {
                "event_action": "trigger",
                "dedup_key": _ID,
                "payload": {"summary": _TITLE, "source": "tocsin", "severity": "error"},
            },
        ),
        "resolve": (None, {"event_action": "resolve", "dedup_key": _ID}),
    },
}


def sample(kind: str, what: str) -> Webhook:
    """Return a sample webhook; a kind that cannot say it says what it can."""
    bodies = _BODIES[kind]
    resource, body = bodies.get(what, bodies["trigger"])
    return Webhook(resource=resource, action=None, body=encode(body), signs=kind == "sentry")


def says(kind: str) -> tuple[str, ...]:
    """Return what a kind of sender can say."""
    return tuple(_BODIES[kind])


@dataclass(frozen=True, slots=True)
class Commands:
    """The same sample for a terminal."""

    curl: str
    powershell: str


#: What stands for the secret in a command: it is not shown again.
_SECRET = "paste the Client Secret here"  # noqa: S105 - it is none


def commands(url: str, kind: str, *, is_signed: bool) -> Commands:
    """Write the commands that send a sample; where a secret is set, they sign with it."""
    hook = sample(kind, "trigger")
    return Commands(_curl(url, hook, is_signed), _powershell(url, hook, is_signed))


def _curl(url: str, hook: Webhook, is_signed: bool) -> str:  # noqa: FBT001
    lines = [f"BODY='{hook.body.decode()}'"]
    sent = [f"curl -i -X POST '{url}'", "-H 'Content-Type: application/json'"]
    if hook.resource:
        sent.append(f"-H 'Sentry-Hook-Resource: {hook.resource}'")
    if is_signed:
        lines.insert(0, f"SECRET='{_SECRET}'")
        lines.append(
            'SIGNATURE=$(printf \'%s\' "$BODY" | openssl dgst -sha256 -hmac "$SECRET" -r'
            " | cut -d' ' -f1)"
        )
        sent.append('-H "Sentry-Hook-Signature: $SIGNATURE"')
    sent.append('--data-raw "$BODY"')
    return "\n".join([*lines, " \\\n  ".join(sent)])


def _powershell(url: str, hook: Webhook, is_signed: bool) -> str:  # noqa: FBT001
    lines = [f"$body = '{hook.body.decode()}'"]
    headers = []
    if hook.resource:
        headers.append(f"'Sentry-Hook-Resource' = '{hook.resource}'")
    if is_signed:
        lines = [
            f"$secret = '{_SECRET}'",
            *lines,
            "$utf8 = [Text.Encoding]::UTF8",
            "$hmac = [Security.Cryptography.HMACSHA256]::new($utf8.GetBytes($secret))",
            "$bytes = $hmac.ComputeHash($utf8.GetBytes($body))",
            "$signature = -join ($bytes | ForEach-Object { $_.ToString('x2') })",
        ]
        headers.append("'Sentry-Hook-Signature' = $signature")
    lines.append(
        f"Invoke-RestMethod -Method Post -Uri '{url}' -ContentType 'application/json'"
        f" -Headers @{{ {'; '.join(headers)} }} -Body $body"
    )
    return "\n".join(lines)


async def hand_in(intake: Any, path: str, hook: Webhook, secret: str | None) -> tuple[int, Any]:
    """Hand a webhook to the intake itself, as if it had come over the network.

    Returns the status and the JSON of the answer, which waits for what becomes of it.
    """
    named = headers_of(hook, secret) | {
        "Content-Length": str(len(hook.body)),
        "Prefer": "wait=5",
    }
    if secret is None:
        named.pop("Sentry-Hook-Signature", None)
    answer: dict[str, Any] = {"status": 0, "body": b""}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": hook.body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer["status"] = message["status"]
        else:
            answer["body"] += message.get("body", b"")

    headers = [(name.lower().encode(), value.encode()) for name, value in named.items()]
    scope = {
        "type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers,
    }  # fmt: skip
    await intake(scope, receive, send)
    return int(answer["status"]), json.loads(answer["body"])
