"""Escalation policies: what each does in plain sentences, and a form that says it beforehand."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from tocsin.core.access import Action
from tocsin.core.explain import Explanation, explain
from tocsin.core.model import Priority, Severity, Urgency
from tocsin.core.notify import tabled_urgency
from tocsin.core.plans import Plans, Policy, Service, Target
from tocsin.web.pages.form import Form
from tocsin.web.pages.policy_form import PolicyForm, StepRow, TargetRow
from tocsin.web.pages.refused import REFUSALS, sentence, sentences, status_of
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.web.pages.wallclock import Wall
from tocsin.work.manage import service_named
from tocsin.work.policies import Foretold, draft_policy, foretell, policy_named, users_of
from tocsin.work.refusals import Invalid
from tocsin.work.respond import NotFound

_SEVERITIES = tuple((one.value, one.value) for one in Severity)
_PRIORITIES = (("", "none"), *((one.value, one.value) for one in Priority))


class Supposed:
    """The incident that an explanation is of, as a form asks for it: when, how bad, of what."""

    def __init__(self, visit: Visit, asked: Form, services: list[Service]) -> None:
        """Read the fields; what cannot be read is as if it were not there, and said."""
        self.wall = Wall(visit, visit.zone)
        self.wrong: list[str] = []
        self.typed_at = asked.text("at")
        self.at: datetime = visit.now
        try:
            if self.typed_at:
                self.at = self.wall.read(self.typed_at)
        except Invalid as error:
            self.wrong = sentences(error)
        severity, priority = asked.text("severity"), asked.text("priority")
        self.severity = Severity(severity) if severity in list(Severity) else Severity.ERROR
        self.priority = Priority(priority) if priority in list(Priority) else None
        named = asked.text("service")
        first = services[0] if services else None
        self.service = next((one for one in services if one.name == named), first)
        self.severities = _SEVERITIES
        self.priorities = _PRIORITIES
        self.services = [(one.name, one.name) for one in services]

    def foretell(self, plans: Plans, policy: Policy) -> Foretold:
        """Say what a policy would do for it."""
        return foretell(plans, policy, self.service, self.severity, self.priority, self.at)


@get("/policies", opt={"action": Action.READ}, sync_to_thread=True)
def list_policies(visit: Visiting) -> Response[bytes]:
    """List policies, with what uses them and how many of their steps reach nobody now."""
    rows = []
    for policy in sorted(visit.all_plans.policies.values(), key=lambda one: one.name):
        services = users_of(visit.plans, policy)
        told = foretell(visit.all_plans, policy, None, Severity.ERROR, None, visit.now)
        rows.append({
            "policy": policy, "services": services, "faults": len(told.faults),
            "first": _targets(visit, policy.steps[0].targets) if policy.steps else [],
        })  # fmt: skip
    return visit.page("policies.html", rows=rows)


@get("/policies/{reference:str}", opt={"action": Action.READ}, sync_to_thread=True)
def show_policy(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Show what a policy does: its steps, and what would happen at a moment."""
    policy = policy_named(visit.all_plans, reference)
    services = users_of(visit.plans, policy)
    supposed = Supposed(visit, visit.query, services)
    told = supposed.foretell(visit.all_plans, policy)
    return visit.page(
        "policy.html",
        policy=policy,
        services=services,
        supposed=supposed,
        told=told,
        steps=[
            (step, _targets(visit, step.targets), told.faults.get(number, ()))
            for number, step in enumerate(policy.steps, 1)
        ],
        warnings=_general(told.explanation, told),
    )


def _general(explanation: Explanation, told: Foretold) -> list[str]:
    """Return the warnings that are of no step in particular."""
    of_steps = {fault for faults in told.faults.values() for fault in faults}
    return [sentence(one) for one in explanation.warnings if one not in of_steps]


def _targets(visit: Visit, targets: tuple[Target, ...]) -> list[tuple[str, str, str]]:
    """Return each target as its kind, its name, and where it leads to, if it is seen."""
    plans, seen = visit.all_plans, visit.plans
    found = []
    for target in targets:
        names = [plans.users[id_].name for id_ in target.ids if id_ in plans.users]
        if target.kind == "schedule":
            things = [plans.schedules[id_] for id_ in target.ids if id_ in plans.schedules]
            found += [
                ("schedule", one.name, f"/schedules/{one.id}" if one.id in seen.schedules else "")
                for one in things
            ]
        elif target.kind == "team":
            found += [
                ("team", plans.teams[id_].name, "") for id_ in target.ids if id_ in plans.teams
            ]
        elif target.kind == "round_robin":
            found.append(("in turn", ", ".join(names), ""))
        else:
            found += [("person", name, "") for name in names]
    return found


# -- the form -------------------------------------------------------------------------------------


@get("/policies/new", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def new_policy(visit: Visiting) -> Response[bytes]:
    """Ask for a new policy; it begins with the first schedule there is."""
    names = sorted(schedule.name for schedule in visit.plans.schedules.values())
    first = TargetRow(what=f"schedule:{names[0]}" if names else f"user:{visit.user.email}")
    return _page(visit, None, PolicyForm(steps=[StepRow(targets=[first])]))


@get("/policies/{reference:str}/edit", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def edit_policy(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Ask for a change of a policy."""
    policy = policy_named(visit.all_plans, reference)
    shown = visit.back.collections["escalation-policies"].one(policy.id, visit.caller)
    return _page(visit, policy, PolicyForm.of(shown))


@post("/policies/new", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def make_policy(visit: Visiting) -> Response[bytes]:
    """Make a policy, or say what it would do."""
    return _answer(visit, None)


@post("/policies/{reference:str}/edit", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def change_policy(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Change a policy, or say what it would do."""
    return _answer(visit, policy_named(visit.all_plans, reference))


@post("/policies/{reference:str}/remove", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def remove_policy(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Take a policy out of use, unless a service names it."""
    policy = policy_named(visit.all_plans, reference)
    try:
        visit.back.collections["escalation-policies"].remove(policy.id, visit.caller, visit.now)
    except REFUSALS as error:
        said = " ".join(sentences(error))
        return visit.go(f"/policies/{policy.id}/edit", said, is_bad=True)
    visit.back.changed()
    return visit.go("/policies", f"The policy {policy.name} is gone.")


def _answer(visit: Visit, policy: Policy | None) -> Response[bytes]:
    """Do what the pressed button says: change the form, preview, or save."""
    typed, what = PolicyForm.read(visit.form), visit.form.text("do")
    if typed.do(what):
        return _page(visit, policy, typed)
    try:
        table = typed.table()
        if what != "save":
            # Whoever asks wants to know of a fault even where nothing can be foretold.
            draft_policy(_known(visit, policy), table, policy)
            return _page(visit, policy, typed)
        things = visit.back.collections["escalation-policies"]
        if policy is None:
            shown = things.create(table, visit.caller, visit.now)
        else:
            shown = things.replace(policy.id, table, visit.caller, visit.now)
    except REFUSALS as error:
        return _page(visit, policy, typed, status_of(error), wrong=sentences(error))
    visit.back.changed()
    return visit.go(f"/policies/{shown['id']}", f"The policy {shown['name']} is saved.")


def _page(
    visit: Visit, policy: Policy | None, typed: PolicyForm, status: int = 200, wrong: Any = ()
) -> Response[bytes]:
    """Show the form, and next to it what it would do as it stands."""
    plans = _known(visit, policy)
    supposed = Supposed(visit, visit.form, users_of(plans, policy) if policy else [])
    told = _told(plans, policy, typed, supposed)
    people = sorted(plans.users.values(), key=lambda user: user.name)
    return visit.page(
        "policy_edit.html",
        status,
        policy=policy,
        typed=typed,
        wrong=[*wrong, *supposed.wrong],
        supposed=supposed,
        told=told,
        warnings=_general(told.explanation, told) if told else (),
        people=[(user.email, user.name) for user in people],
        groups=[
            ("Schedules", [(f"schedule:{one.name}", one.name) for one in
                           sorted(plans.schedules.values(), key=lambda one: one.name)]),
            ("Teams", [(f"team:{one.name}", one.name) for one in
                       sorted(plans.teams.values(), key=lambda one: one.name)]),
            ("People", [(f"user:{user.email}", user.name) for user in people]),
        ],
    )  # fmt: skip


def _known(visit: Visit, policy: Policy | None) -> Plans:
    """Return the plans as they are seen, and the schedules that the policy names already."""
    named = {
        id_
        for step in (policy.steps if policy else ())
        for target in step.targets
        if target.kind == "schedule"
        for id_ in target.ids
    }
    every = visit.all_plans.schedules
    return replace(
        visit.plans,
        schedules={
            id_: one for id_, one in every.items() if id_ in named or id_ in visit.plans.schedules
        },
    )


def _told(
    plans: Plans, policy: Policy | None, typed: PolicyForm, supposed: Supposed
) -> Foretold | None:
    """Say what a form would do as it stands; None while it makes no policy yet."""
    try:
        table = typed.table()
        # Without a name nothing is wrong with what it does.
        table.name = table.name.strip() or "this policy"
        return supposed.foretell(plans, draft_policy(plans, table, policy))
    except REFUSALS:
        return None


# -- a service at a moment ------------------------------------------------------------------------


@get("/services/{reference:str}/explain", opt={"action": Action.READ}, sync_to_thread=True)
def explain_service(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Say who would be paged for an incident of a service, when and how."""
    service = service_named(visit.plans, reference)
    if service is None:
        raise NotFound(f"there is no service {reference}")
    supposed = Supposed(visit, visit.query, [service])
    told = explain(visit.all_plans, service, supposed.severity, supposed.priority, supposed.at)
    policy = visit.all_plans.policies.get(service.escalation_policy_id or "")
    rows: list[tuple[Severity, Urgency]] = [
        (severity, tabled_urgency(service, severity, supposed.priority)) for severity in Severity
    ]
    return visit.page(
        "explain.html",
        service=service,
        policy=policy,
        supposed=supposed,
        told=told,
        warnings=[sentence(one) for one in told.warnings],
        urgencies=rows,
    )


PAGES: tuple[Any, ...] = (
    list_policies, show_policy, new_policy, edit_policy, make_policy, change_policy, remove_policy,
    explain_service,
)  # fmt: skip
