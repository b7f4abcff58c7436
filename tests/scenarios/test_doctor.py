"""Everything that could stop a page is found before one is needed, with a remedy."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.scenarios.test_cases_b import policy
from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.core.retry import Outcome, Report
from tocsin.store import seals
from tocsin.work.doctor import Finding, Patient, examine

FALLBACK = "fallback: {user: cat@example.com}"
ROTA = """
schedules:
  - name: primary
    layers:
      - name: days
        rotation: {unit: day, start: "2026-01-05T00:00"}
        participants: [ann@example.com]
        restrictions: [{from: "08:00", to: "20:00"}]
"""
ON_CALL = "escalation_policies:\n  - {name: default, steps: [{targets: [{schedule: primary}]}]}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def found(
    world: World, folder: Path, *, smtp: bool = True, url: str = "https://tocsin.example.com"
) -> list[Finding]:
    with world.database.read() as connection:
        return examine(
            Patient(
                connection=connection,
                plans=world.plans.current(connection),
                now=world.now,
                data_dir=folder,
                public_url=url,
                has_smtp=smtp,
            )
        )


def texts(findings: list[Finding]) -> str:
    assert all(finding.remedy for finding in findings)
    return "\n".join(f"{finding.check}: {finding.text}" for finding in findings)


def test_an_installation_that_is_well_has_no_findings(blank: World, folder: Path):
    blank.configure(PEOPLE, ONE_STEP, SERVICE, FALLBACK)
    blank.sentry("issue.created")
    blank.forget()
    assert found(blank, folder) == []


def test_an_empty_one_is_told_where_to_begin(blank: World, folder: Path):
    said = texts(found(blank, folder))
    assert "set-up: there are no users" in said
    assert "set-up: there are no integrations" in said


def test_a_policy_that_reaches_nobody_and_no_fallback_are_found(blank: World, folder: Path):
    blank.configure(PEOPLE, policy(), SERVICE)
    said = texts(found(blank, folder))
    assert "paging: checkout: default has no step" in said
    assert "no fallback is set" in said


def test_a_schedule_with_gaps_is_found(blank: World, folder: Path):
    blank.configure(PEOPLE, ROTA, ON_CALL, SERVICE, FALLBACK)
    said = texts(found(blank, folder))
    assert (
        "schedules: primary: nobody can be reached from 2026-01-05 20:00 to 2026-01-06 08:00 UTC,"
        " and 13 times more within two weeks" in said
    )


def test_mail_without_a_server_and_links_to_this_machine_are_found(blank: World, folder: Path):
    blank.configure(PEOPLE, ONE_STEP, SERVICE, FALLBACK)
    said = texts(found(blank, folder, smtp=False, url="http://127.0.0.1:8080"))
    assert "contact methods: people have e-mail addresses, and no SMTP server is set" in said
    assert "machine: links in messages begin with http://127.0.0.1:8080" in said


def test_a_disabled_integration_is_found(blank: World, folder: Path):
    disabled = SERVICE.replace("service: checkout,", "service: checkout, enabled: false,")
    blank.configure(PEOPLE, ONE_STEP, disabled, FALLBACK)
    assert "set-up: the integration sentry is disabled" in texts(found(blank, folder))


def test_a_suspect_author_that_nobody_can_name_is_found(blank: World, folder: Path):
    service = SERVICE.replace("{name: checkout", "{name: checkout, page_suspect_author: true")
    assert service != SERVICE
    blank.configure(PEOPLE, ONE_STEP, service, FALLBACK)
    assert "checkout: suspect authors are to be paged, and nothing of it is connected" in texts(
        found(blank, folder)
    )


def test_pages_that_failed_and_a_receiver_that_is_gone_are_found(blank: World, folder: Path):
    blank.configure(PEOPLE, ONE_STEP, SERVICE, FALLBACK)
    blank.recorders["webhook"].answers = [Report(outcome=Outcome.GONE, detail="HTTP 410")]
    blank.sentry("issue.created")
    blank.forget()
    said = texts(found(blank, folder))
    assert "work: 1 notifications could not be delivered" in said
    assert "contact methods: Ann's hook was switched off" in said


def test_work_that_nobody_does_is_found(blank: World, folder: Path):
    blank.configure(PEOPLE, policy("ann 5m", "bob 5m"), SERVICE, FALLBACK)
    blank.sentry("issue.created")
    blank.forget()
    with blank.held():
        blank.now = blank.now.replace(hour=13)
        assert "are overdue by more than a minute" in texts(found(blank, folder))
    blank.forget()


@pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'nobody' WHERE id = {id}",
                                    "DELETE FROM audit WHERE id = {id}"])  # fmt: skip
@pytest.mark.parametrize("which", ["min", "max"])
def test_an_audit_log_that_somebody_altered_is_found(
    blank: World, folder: Path, change: str, which: str
):
    """A row in the middle or the last one, altered or taken out."""
    blank.configure(PEOPLE, ONE_STEP, SERVICE, FALLBACK)
    later = blank.now + timedelta(hours=1)
    assert blank.database.run(lambda connection: seals.seal(connection, later, 500))
    assert not blank.database.run(lambda connection: seals.seal(connection, later, 500))
    assert "audit log" not in texts(found(blank, folder))
    with blank.database.write() as connection:
        id_ = connection.exec_driver_sql(f"SELECT {which}(id) FROM audit").scalar_one()
        connection.exec_driver_sql(change.format(id=id_))
    assert "audit log: the audit log is not what it was" in texts(found(blank, folder))
