"""A world with a rota, and keys of every role and of some people."""

from __future__ import annotations

from typing import Any

from tests.world import PEOPLE, SERVICE, World
from tocsin.core.model import (
    Role,
)
from tocsin.work.configfile import dump
from tocsin.work.configure import Configurator
from tocsin.work.manage import Office

ROTA = """
schedules:
  - name: primary
    time_zone: Europe/Berlin
    layers:
      - name: weekly
        rotation: {unit: week, start: "2026-01-05T09:00"}
        participants: [ann@example.com, bob@example.com]
escalation_policies:
  - name: default
    steps:
      - {targets: [{schedule: primary}, {user: ann@example.com}], wait: 5m}
"""


class Api:
    """The API of a world, as anybody calls it."""

    def __init__(self, world: World) -> None:
        """Set up people, a rota and keys."""
        world.configure(PEOPLE, ROTA, SERVICE)
        self.world = world
        office = Office(world.database, world.plans, world.vault)
        self.keys = {
            role.value: office.create_api_key(role.value, role, world.now) for role in Role
        }
        #: Who may do anything, whatever other keys are called.
        self.keys["root"] = self.keys["owner"]
        for name in ("ann", "bob", "cat"):
            self.keys[name] = self.person_key(name)

    def person_key(self, who: str, role: Role | None = None) -> str:
        """Return an API key of a person, in their role or a lesser one."""
        world = self.world
        office = Office(world.database, world.plans, world.vault)
        return office.create_key_of(f"{who}@example.com", who, role, world.now)

    def nobodys_key(self, role: Role) -> str:
        """Return an API key that stands for no person."""
        world = self.world
        office = Office(world.database, world.plans, world.vault)
        return office.create_api_key("nobody", role, world.now)

    def call(self, method: str, path: str, body: Any = None, *, who: str = "owner") -> Any:
        """Call; return the response."""
        response = self.world.raw(
            method,
            f"/api/v1{path}",
            json=body,
            headers={"authorization": f"Bearer {self.keys[who]}"},
        )
        assert response.status_code < 500, response.text
        return response

    def ok(self, method: str, path: str, body: Any = None, *, who: str = "owner") -> Any:
        """Call, and return the JSON of an answer that must be good."""
        response = self.call(method, path, body, who=who)
        assert response.status_code < 300, response.text
        return response.json() if response.content else None

    def no(self, status: int, method: str, path: str, body: Any = None, **by: str) -> str:
        """Call, and return the sentence of a refusal; nothing may have changed."""
        before = self.export(), self.revision()
        response = self.call(method, path, body, **by)
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
        assert (self.export(), self.revision()) == before, "something was half saved"
        said: str = response.json()["detail"]
        assert said
        return said

    def export(self) -> str:
        """Return the configuration as a file."""
        world = self.world
        return dump(Configurator(world.database, world.plans, world.vault).export())

    def revision(self) -> int:
        """Return how often the configuration was changed."""
        return self.world.plans.refresh().revision
