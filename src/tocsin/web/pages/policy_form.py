"""The form of an escalation policy: what was typed, changed by its buttons, and its table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from tocsin.web.pages.form import Form
from tocsin.web.pages.schedule_form import converted, indices, moved, number
from tocsin.work.configfile import PolicyTable

#: More steps or targets in one form are a mistake.
_MOST = 100


@dataclass(slots=True, kw_only=True)
class TargetRow:
    """Whom a step names, as typed."""

    #: ``schedule:primary``, ``user:ann@example.com``, ``team:payments``; empty: not chosen yet.
    what: str = ""
    #: Addresses of people who take turns; None: it is one thing, ``what``.
    people: list[str] | None = None

    def table(self) -> dict[str, Any]:
        """Write it as the configuration file has it."""
        if self.people is not None:
            return {"round_robin": [email for email in self.people if email]}
        kind, _, name = self.what.partition(":")
        return {kind: name} if kind else {}


@dataclass(slots=True, kw_only=True)
class StepRow:
    """A step, as typed."""

    targets: list[TargetRow] = field(default_factory=list)
    wait: str = "5m"
    everybody: bool = False


@dataclass(slots=True, kw_only=True)
class PolicyForm:
    """An escalation policy, as typed."""

    name: str = ""
    repeat: str = "1"
    steps: list[StepRow] = field(default_factory=list)

    @classmethod
    def of(cls, shown: Mapping[str, Any]) -> Self:
        """Read a policy as the API shows it."""
        return cls(
            name=shown["name"],
            repeat=str(shown["repeat"]),
            steps=[
                StepRow(
                    targets=[_target_of(target) for target in step.get("targets", ())],
                    wait=step.get("wait", "5m"),
                    everybody=step.get("everybody", False),
                )
                for step in shown["steps"]
            ],
        )

    @classmethod
    def read(cls, form: Form) -> Self:
        """Read what was typed."""
        return cls(
            name=form.text("name"),
            repeat=form.text("repeat"),
            steps=[_step(form, f"steps.{at}") for at in indices(form, "steps")],
        )

    def table(self) -> PolicyTable:
        """Return the table it makes. Raises BadFile."""
        return converted(
            {
                "name": self.name,
                "repeat": number(self.repeat, "number of repeats"),
                "steps": [
                    {
                        "targets": [target.table() for target in step.targets],
                        "wait": step.wait,
                        "everybody": step.everybody,
                    }
                    for step in self.steps
                ],
            },
            PolicyTable,
        )

    def do(self, what: str) -> bool:
        """Do what a button of the form says; return whether it was one of these."""
        verb, *path = what.split(":")
        act = _BUTTONS.get(verb)
        if act is None or not all(part.isdigit() for part in path):
            return False
        try:
            act(self, [int(part) for part in path])
        except (IndexError, TypeError, AttributeError):
            # A second press of a button whose row is gone already.
            return True
        return True


def _target_of(table: Mapping[str, Any]) -> TargetRow:
    if table.get("round_robin") is not None:
        return TargetRow(people=list(table["round_robin"]))
    kind = next((kind for kind in ("schedule", "user", "team") if table.get(kind)), "")
    return TargetRow(what=f"{kind}:{table[kind]}" if kind else "")


def _step(form: Form, at: str) -> StepRow:
    targets = []
    for nth in indices(form, f"{at}.targets"):
        place = f"{at}.targets.{nth}"
        people = form.fields.get(f"{place}.people")
        targets.append(
            TargetRow(
                what=form.text(f"{place}.what"),
                people=None if people is None else [one.strip() for one in people][:_MOST],
            )
        )
    return StepRow(
        targets=targets, wait=form.text(f"{at}.wait"), everybody=form.has(f"{at}.everybody")
    )


def _add_step(form: PolicyForm, _path: list[int]) -> None:
    if len(form.steps) < _MOST:
        form.steps.append(StepRow(targets=[TargetRow()]))


def _person(form: PolicyForm, path: list[int]) -> None:
    people = form.steps[path[0]].targets[path[1]].people
    if people is not None:
        people.append("")


def _gone(rows: list[Any], at: int) -> None:
    del rows[at]


_BUTTONS: Mapping[str, Callable[[PolicyForm, list[int]], None]] = {
    "add-step": _add_step,
    "remove-step": lambda form, path: _gone(form.steps, path[0]),
    "up-step": lambda form, path: moved(form.steps, path[0], -1),
    "down-step": lambda form, path: moved(form.steps, path[0], 1),
    "add-target": lambda form, path: form.steps[path[0]].targets.append(TargetRow()),
    "add-turns": lambda form, path: form.steps[path[0]].targets.append(TargetRow(people=["", ""])),
    "remove-target": lambda form, path: _gone(form.steps[path[0]].targets, path[1]),
    "add-person": _person,
}
