"""S3 and S4: a signature is the right one, or it is none; and a signed body works once."""

from __future__ import annotations

import hmac
import itertools
import json
import random
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, update

from tests.builders import NOW
from tests.security.door import IS_FULL, OURS, THEIRS, Door, Headers, door
from tests.world import ONE_STEP, PEOPLE, World
from tocsin.core.dialect import read
from tocsin.core.model import TOCSIN
from tocsin.core.plans import Integration
from tocsin.sentry.sender import Issue, webhook
from tocsin.store.audit import Change
from tocsin.store.db import Database
from tocsin.store.plans import changed
from tocsin.store.tables import integrations
from tocsin.store.vault import Vault
from tocsin.web.signature import SIGNATURE_HEADERS, is_signed

MUTATIONS = 100_000 if IS_FULL else 10_000
SEED = 20_261

HOOK = SIGNATURE_HEADERS[0]

URLS = (
    "/in/key-ours",
    "/v1/events/sentry/key-ours",
    "/functions/v1/events?token=key-ours",
    "/api/integrations/sentry?integrationId=key-ours",
)

#: What Sentry says a body is about, rightly or not: no part of what is signed.
RESOURCES = ("issue", "event_alert", "metric_alert", "error", "comment", "installation", "x" * 300)


def signed(body: bytes, secret: str = OURS) -> bytes:
    return hmac.digest(secret.encode(), body, "sha256").hex().encode()


def one_letter_off(right: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(right))
    other = chance.choice([letter for letter in b"0123456789abcdef" if letter != right[at]])
    return right[:at] + bytes([other]) + right[at + 1 :]


def not_ascii(right: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(right))
    return right[:at] + chance.choice([b"\xc3\xa9", b"\xff", b"\x80", b"\xef\xbc\x90"]) + right[at:]


def other_case(right: bytes, _chance: random.Random) -> bytes:
    return right.upper() if right.upper() != right else right[:-1]


#: A right signature to a wrong one.
WRONG: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "one letter off": one_letter_off,
    "cut short": lambda right, chance: right[: chance.randrange(len(right))],
    "its end only": lambda right, chance: right[chance.randrange(1, len(right)) :],
    "in upper case": other_case,
    "not ASCII": not_ascii,
    "too long": lambda right, chance: right + right[: chance.randrange(1, 65)],
    "with a prefix": lambda right, chance: chance.choice([b"sha256=", b"v1,", b"0x", b'"']) + right,
    "with a tail": lambda right, chance: right + chance.choice([b",", b"=", b"\x00", b"'"]),
    "backwards": lambda right, _chance: right[::-1] + b"0",
    "its bytes": lambda right, _chance: bytes.fromhex(right.decode()),
    "of nothing": lambda _right, _chance: signed(b""),
    "another hash's": lambda right, chance: bytes(chance.choices(b"0123456789abcdef", k=128)),
    "by chance": lambda _right, chance: bytes(chance.choices(b"0123456789abcdef", k=64)),
    "zeroes": lambda _right, _chance: b"0" * 64,
    "empty": lambda _right, _chance: b"",
    "words": lambda _right, chance: chance.choice([b"null", b"true", b"*", b"none", b"%s", b"{}"]),
}  # fmt: skip


def another(body: bytes, chance: random.Random) -> bytes:
    """Return a body that says the same, or nearly, in other bytes."""
    return chance.choice([
        json.dumps(json.loads(body)).encode(),
        json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":"), indent=1).encode(),
        json.dumps(json.loads(body), sort_keys=True).encode(),
        body + b"\n", b" " + body, body[:-1] + b" }", body.replace(b"created", b"resolved"),
        b"\xef\xbb\xbf" + body, body.replace(b'"', b'"', 1) + b"\x00",
    ])  # fmt: skip


def wrong_requests(chance: random.Random) -> Iterator[tuple[str, str, bytes, Headers]]:
    """Yield requests without end, each with what is wrong about its signature."""
    for number in itertools.count():
        hook = webhook("issue", "created", Issue(id=str(number), title="E: it broke"))
        body, path = hook.body, chance.choice(URLS)
        right = signed(body)
        about = [(b"sentry-hook-resource", chance.choice(RESOURCES).encode())]
        for name, make in WRONG.items():
            yield name, path, body, [*about, (HOOK, make(right, chance))]
        yield "missing", path, body, about
        yield "of another tenant", path, body, [*about, (HOOK, signed(body, THEIRS))]
        theirs = path.replace("key-ours", "key-theirs")
        yield "for another tenant", theirs, body, [*about, (HOOK, right)]
        yield "written anew", path, another(body, chance), [*about, (HOOK, right)]
        yield "of another body", path, body, [*about, (HOOK, signed(body + b" "))]
        yield "right and wrong", path, body, [*about, (HOOK, right), (HOOK, b"0" * 64)]
        yield "wrong and right", path, body, [*about, (HOOK, b"0" * 64), (HOOK, right)]
        yield "twice the same", path, body, [*about, (HOOK, right), (HOOK, right)]
        yield "right by a name that counts less", path, body, [
            *about, (HOOK, b"0" * 64), (chance.choice(SIGNATURE_HEADERS[1:]), right),
        ]  # fmt: skip
        yield "by a name that is none", path, body, [*about, (b"x-signature", right)]
        hollow = path.replace("key-ours", "key-hollow")
        yield "of an empty secret", hollow, body, [*about, (HOOK, signed(body, ""))]
        yield "of no secret", path, body, [*about, (HOOK, signed(body, ""))]


@pytest.fixture
def intake(sqlite_url: str, vault: Vault) -> Iterator[Door]:
    """Give intake with two tenants, and one of an empty secret: nothing we have would set it."""
    database = Database(sqlite_url)
    with door(database, vault) as made:

        def empty(connection: Connection) -> None:
            row = update(integrations).where(integrations.c.name == "hollow")
            connection.execute(row.values(signing_secrets_encrypted=vault.seal_all([""])))
            changed(connection, NOW, TOCSIN, Change(kind="integration.changed", subject="hollow"))

        database.run(empty)
        made.plans.refresh()
        yield made
    database.close()


def test_s3_of_10000_wrong_signatures_none_is_taken(intake: Door):
    chance = random.Random(SEED)
    cases = list(itertools.islice(wrong_requests(chance), MUTATIONS))
    answers = intake.each(iter([(path, body, headers) for _, path, body, headers in cases]))
    taken, seen = [], set()
    for case, answer in zip(cases, answers, strict=True):
        seen.add(case[0])
        if answer.status != 401:
            taken.append((case[0], case[1], answer.status, case[3]))
    assert taken == []
    assert len(cases) == MUTATIONS
    assert len(seen) == len(WRONG) + 12
    assert {one.status for one in intake.kept} == {"rejected"}


def test_s3_a_right_signature_is_taken_at_each_url(intake: Door):
    """Whatever else is in the request: what refuses ten thousand must let these in."""
    for path, header, resource in itertools.product(URLS, SIGNATURE_HEADERS, RESOURCES):
        body = webhook("issue", "created", Issue(id="1")).body
        more = [(header, signed(body)), (b"sentry-hook-resource", resource.encode())]
        assert intake.post(path, body, more).status in (200, 202)


def test_s3_a_resource_that_is_not_in_the_body_changes_nothing(intake: Door):
    """It is not signed: where it does not fit, the body says what it is about."""
    body = json.loads(webhook("issue", "created", Issue(id="1")).body)
    plain: Integration | None = None
    for dialect in intake.dialects.values():
        expected = read(dialect, body, "issue", plain)
        for resource in RESOURCES:
            assert read(dialect, body, resource, plain) == expected, (dialect.name, resource)


def test_s3_an_empty_secret_signs_nothing():
    body = b"{}"
    assert not is_signed(body, signed(body, ""), [""])
    assert not is_signed(body, signed(body, ""), ["", OURS])
    assert is_signed(body, signed(body), ["", OURS])


@pytest.mark.parametrize("secret", ["", " ", "\t"])
def test_s3_an_empty_secret_is_not_taken(blank: World, secret: str):
    blank.configure(PEOPLE, ONE_STEP, "services: [{name: checkout, escalation_policy: default}]")
    body = {"name": "s", "service": "checkout", "signing_secrets": [secret]}
    refused = blank.call("POST", "/integrations", body)
    assert refused.status_code == 400
    assert "a signing secret is not empty" in refused.json()["detail"]


# -- S4

STRICT = f"""
services:
  - {{name: checkout, escalation_policy: default}}
integrations:
  - name: sentry
    service: checkout
    routing_key: key-ours
    signing_secrets: ["{OURS}"]
    replay_protection: strict
"""


@pytest.mark.parametrize("path", URLS)
def test_s4_a_signed_body_that_is_sent_again_opens_nothing(blank: World, path: str):
    """With whatever fresh headers; they are not signed. And after a resolve, too."""
    blank.configure(PEOPLE, ONE_STEP, STRICT)
    created, resolved = (
        webhook("issue", action, Issue(id="1", title="E: it broke")).body
        for action in ("created", "resolved")
    )

    def send(body: bytes, number: int, resource: str = "issue") -> None:
        answer = blank.post(
            path, body, sentry_hook_signature=signed(body).decode(), request_id=f"{number}",
            sentry_hook_timestamp=f"{1_767_600_000 + number}", sentry_hook_resource=resource,
            idempotency_key=f"fresh-{number}",
        )  # fmt: skip
        assert answer.status_code in (200, 202)

    send(created, 0)
    blank.expect("ann")
    send(resolved, 1)
    blank.forget()
    for number, resource in enumerate(RESOURCES * 3, 2):
        send(created, number, resource)
    blank.forward(hours=1)
    send(created, 100)
    blank.expect_nothing()
    assert [(one.status, one.occurrence_count) for one in blank.incidents()] == [("resolved", 1)]
