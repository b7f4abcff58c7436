"""Twenty requests recorded from a running Sentry 23.7.1, replayed byte for byte."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.store.db import Database
from tocsin.store.vault import Vault
from tocsin.web.signature import is_signed, signature_of

RECORDED = {
    path.stem: json.loads(path.read_text("utf-8"))
    for path in sorted((Path(__file__).parent / "genuine-23.7").glob("*.json"))
}
SIGNED = [name for name, one in RECORDED.items() if one["signature_header"]]

#: Verb, severity, dedup key and link in the native dialect, by the recording's number; worked out
#: by hand from the contract. This Sentry sent no address of an issue at all.
TITLE = 'PaymentDeclined: Karte abgelehnt — déjà vu 💥 <b>&amp; "quoted" \\ '
TITLES = {
    "008": "Sentry issue 1",
    "024": "TypeError: Cannot read properties of undefined (reading 'total') 994366de",
}
READ: dict[str, tuple[str, str, str | None, str | None]] = {
    "002": ("trigger", "error", "sentry:issue:1", None),
    "004": ("note", "error", "sentry:issue:1", None),
    "008": ("note", "error", "sentry:issue:1", None),
    "012": ("resolve", "error", "sentry:issue:1", None),
    "015": ("resolve", "error", "sentry:issue:1", None),
    "020": ("trigger", "critical", "sentry:issue:3", None),
    "024": ("resolve", "error", "sentry:issue:4", None),
}


def request(name: str) -> tuple[tuple[tuple[bytes, bytes], ...], bytes]:
    """Return the headers and the body as they were on the wire."""
    one = RECORDED[name]
    headers = tuple((key.lower().encode(), value.encode()) for key, value in one["headers"])
    return headers, base64.b64decode(one["body_base64"])


def test_there_are_twenty():
    assert len(RECORDED) == 20
    assert len(SIGNED) == 19


@pytest.mark.parametrize("name", SIGNED)
def test_a_genuine_signature_verifies(name: str):
    headers, body = request(name)
    assert is_signed(body, signature_of(dict(headers), headers), [RECORDED[name]["client_secret"]])


@pytest.mark.parametrize("name", SIGNED)
def test_one_flipped_bit_anywhere_is_refused(name: str):
    headers, body = request(name)
    secret, signature = RECORDED[name]["client_secret"], signature_of(dict(headers), headers)
    assert signature is not None
    for at in range(0, len(body), 97):
        flipped = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        assert not is_signed(flipped, signature, [secret])
    assert not is_signed(body + b" ", signature, [secret])
    assert not is_signed(body, signature, [secret[::-1]])
    turned = b"0" if signature[:1] != b"0" else b"1"
    assert not is_signed(body, turned + signature[1:], [secret])


def config(secret: str | None) -> str:
    signing = f'signing_secrets: ["{secret}"]' if secret else ""
    return SERVICE.replace(
        "routing_key:", f"{signing}, routing_key:" if signing else "routing_key:"
    )


@pytest.mark.parametrize("name", [n for n, one in RECORDED.items() if one["method"] == "POST"])
def test_a_genuine_request_is_taken_with_its_headers_and_refused_with_a_flipped_byte(
    database: Database, vault: Vault, name: str
):
    one = RECORDED[name]
    headers, body = request(name)
    with World(database, vault) as world:
        world.configure(PEOPLE, ONE_STEP, config(one["client_secret"]))
        sent = [(key, value) for key, value in headers if key != b"host"]
        path = "/in/routing-key-of-the-world"
        response = world.raw("POST", path, content=body, headers=sent)
        assert response.status_code == 202
        world.settle()
        delivery = world.deliveries()[0]
        assert delivery.status in ("processed", "unrecognised")
        if one["signature_header"]:
            flipped = body[:-1] + bytes([body[-1] ^ 1])
            assert world.raw("POST", path, content=flipped, headers=sent).status_code == 401
        world.forget()


@pytest.mark.parametrize("number", READ)
def test_a_genuine_body_is_read_as_the_contract_says(number: str):
    from tocsin.core.body import read_body
    from tocsin.core.dialect import read
    from tocsin.dialects import load

    name = next(one for one in RECORDED if one.startswith(number))
    _, body = request(name)
    signal = read(load("native"), read_body(body), RECORDED[name]["resource"])
    assert signal is not None
    verb, severity, key, link = READ[number]
    assert (signal.verb, signal.severity, signal.dedup_key, signal.link) == (
        verb, severity, key, link,
    )  # fmt: skip
    assert signal.title == TITLES.get(number, TITLE)
    assert signal.source == ("Sentry - backend" if number == "008" else "Sentry - Backend")


def other(number: str) -> Any:
    from tocsin.core.body import read_body
    from tocsin.core.dialect import read
    from tocsin.dialects import load

    name = next(one for one in RECORDED if one.startswith(number))
    _, body = request(name)
    return read(load("native"), read_body(body), RECORDED[name]["resource"])


def test_a_cron_monitor_is_called_by_its_name():
    """Its title is <untitled> and its metadata empty."""
    assert other("068").title == "nightly-backup c84f9469"


def test_sentrys_test_notification_is_marked_as_a_test():
    assert other("044").is_test


def test_a_metric_alert_takes_its_severity_from_the_action():
    assert [other(n).severity for n in ("050", "051")] == ["warning", "critical"]
    assert [other(n).verb for n in ("050", "051", "053")] == ["trigger", "trigger", "resolve"]
    assert {other(n).dedup_key for n in ("050", "051", "053")} == {"sentry:metric:1"}


def test_the_legacy_plugin_meets_the_platforms_issue_on_one_key():
    legacy = other("060")
    assert legacy.dedup_key == "sentry:issue:14"
    assert legacy.link.startswith("http://sentry.example.test/organizations/acme/issues/14/")


def test_a_service_hook_is_understood():
    assert (other("079").dedup_key, other("079").verb) == ("sentry:issue:22", "trigger")
