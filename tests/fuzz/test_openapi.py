"""Every operation of the API, as its description has it, with what nobody expects in each place.

Bodies are made from the schemas of ``/openapi.json``: fit ones, and then each field and parameter
is given odd values in turn. No answer may be a fault of ours, and each refusal must say why.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import pytest
from litestar.datastructures import State

from tests.fuzz.mutator import VALUES
from tests.security.door import IS_FULL
from tests.web.setup_world import Api
from tests.web.two_teams import Things, set_up
from tests.world import World
from tocsin.store.db import Database
from tocsin.store.vault import Vault
from tocsin.web.app import build_framework, described

SEED = 20_261
CALLS = 20_000 if IS_FULL else 300

#: In paths and queries everything is a text.
TEXTS = ("", "0", "-1", "x" * 300, "\u202e", "a/b", "..", "%00", "null", "1e400", "9" * 400, "{}",
         "2026-13-45", "2026-01-05T09:00:00Z", "9999-12-31T23:59:59+23:59", "' OR 1=1--", "\x7f",
         "*", "%", "_", "\\", "inc_", "1", "\U0010ffff", "+", "&x=1", "[]", "true")  # fmt: skip


def document() -> Any:
    return msgspec.json.decode(described(build_framework(state=State())))


class Operations:
    """What the description says there is."""

    def __init__(self) -> None:
        self.document = document()
        self.chance = random.Random(SEED)
        self.all = [
            (method.upper(), path, operation)
            for path, methods in sorted(self.document["paths"].items())
            for method, operation in sorted(methods.items())
        ]

    def resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return schema

    def fit(self, schema: Mapping[str, Any], depth: int = 0) -> Any:
        """Return a value that a schema allows, more or less."""
        schema = self.resolved(schema)
        for several in ("oneOf", "anyOf", "allOf"):
            if several in schema:
                return self.fit(self.chance.choice(schema[several]), depth)
        if "enum" in schema:
            return self.chance.choice(schema["enum"])
        kind = schema.get("type")
        kind = self.chance.choice(kind) if isinstance(kind, list) else kind
        if kind == "object" or "properties" in schema:
            known = {} if depth > 4 else schema.get("properties", {})
            needed = schema.get("required", ())
            return {
                name: self.fit(one, depth + 1)
                for name, one in known.items()
                if name in needed or self.chance.random() < 0.5
            }
        if kind == "array":
            count = 0 if depth > 4 else self.chance.randrange(3)
            return [self.fit(schema.get("items", {}), depth + 1) for _ in range(count)]
        simple = {"string": "ann@example.com", "integer": 1, "number": 1.5, "boolean": True}
        texts = (
            "ann@example.com",
            "5m",
            "2026-01-05T09:00",
            "checkout",
            "default",
            "UTC",
            "webhook",
        )
        return self.chance.choice(texts) if kind == "string" else simple.get(str(kind))

    def calls(self, known: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
        """Yield methods, paths and bodies without end."""
        chance = self.chance
        while True:
            for method, path, operation in self.all:
                yield method, self._path(path, operation, known), self._body(operation, chance)

    def _path(self, path: str, operation: Any, known: Mapping[str, str]) -> str:
        chance, query = self.chance, {}
        for parameter in operation.get("parameters", ()):
            name = parameter["name"]
            odd = chance.choice(TEXTS)
            if parameter["in"] == "path":
                kept = known.get(path.split("/")[3], "checkout")
                value = odd if chance.random() < 0.3 else kept
                path = path.replace(f"{{{name}}}", quote(value, safe="") or "-")
            elif parameter["in"] == "query" and chance.random() < 0.5:
                query[name] = odd
        return f"{path}?{urlencode(query)}" if query else path

    def _body(self, operation: Any, chance: random.Random) -> Any:
        content = operation.get("requestBody", {}).get("content", {})
        if not content:
            return None
        body = self.fit(next(iter(content.values())).get("schema", {}))
        holder = body
        for _ in range(chance.randrange(3)):
            inner = [one for one in _values(holder) if isinstance(one, dict | list) and one]
            holder = chance.choice(inner) if inner else holder
        if isinstance(holder, dict) and holder and chance.random() < 0.8:
            holder[chance.choice(list(holder))] = chance.choice(VALUES)
        elif isinstance(holder, list) and holder:
            holder[chance.randrange(len(holder))] = chance.choice(VALUES)
        elif chance.random() < 0.3:
            body = chance.choice(VALUES)
        return body


def _values(holder: Any) -> list[Any]:
    if isinstance(holder, dict):
        return list(holder.values())
    return holder if isinstance(holder, list) else []


@pytest.fixture
def api(database: Database, vault: Vault) -> Iterator[Api]:
    with World(database, vault) as world:
        yield Api(world)


def test_s1_no_value_in_any_place_of_the_api_is_a_fault_of_ours(api: Api):
    set_up(api)
    things = Things(api, "payments", "owner", Things(api, "payments", "owner"))
    known = {
        "incidents": "1", "deliveries": things("delivery"), "services": "checkout", "users":
        "bob@example.com", "teams": "payments", "schedules": "primary", "integrations": "sentry",
        "escalation-policies": "default", "maintenance-windows": things("window"),
        "api-keys": "nobody", "calendar-feeds": things("feed"), "me": "nobody",
    }  # fmt: skip
    operations, statuses = Operations(), Counter[int]()
    faults: list[Any] = []
    with api.world.held():
        for (method, path, body), _ in zip(operations.calls(known), range(CALLS), strict=False):
            response = api.world.raw(
                method, path, json=body, headers={"authorization": f"Bearer {api.keys['root']}"}
            )
            statuses[response.status_code] += 1
            kind = response.headers.get("content-type", "")
            if response.status_code >= 500 or (
                response.status_code >= 400 and kind != "application/problem+json"
            ):
                faults.append((method, path, body, response.status_code, response.text[:200]))
    api.world.forget()
    assert faults == []
    assert statuses[200] > CALLS // 30
    assert statuses[400] > CALLS // 30
