"""``tocsin demo`` as it is typed: what happens in the fake Sentry, and what comes of it here."""

from __future__ import annotations

import io
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from rich.console import Console

from tocsin.cli.demo.screen import drawing
from tocsin.cli.demo.show import Sent, Show, Step
from tocsin.sentry.sender import Answer

#: Long enough for the whole story on a machine that is busy; no test waits for its end.
SECONDS = "90"


@contextmanager
def demo(seconds: str) -> Iterator[subprocess.Popen[str]]:
    """Run the program, without a terminal."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tocsin", "demo", "--seconds", seconds],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@dataclass(frozen=True, slots=True)
class Told:
    """What the demo printed until the first scene after the story, and how it ended then."""

    lines: Sequence[str]
    status: int
    errors: str

    @property
    def steps(self) -> Sequence[str]:
        """The lines of the steps, without their numbers."""
        return [line[9:] for line in self.lines if re.match(r"step [0-9] ", line)]

    def after(self, number: int) -> Sequence[str]:
        """What was printed between a step and the one before it, and about that step."""
        ends = [place for place, line in enumerate(self.lines) if line.startswith("step ")]
        begins = ends[number - 2] + 1 if number > 1 else 0
        return self.lines[begins : ends[number - 1] + 1]


@pytest.fixture(scope="module")
def told() -> Told:
    """Let the demo play until the scenes begin, and press Ctrl-C."""
    lines = []
    with demo(SECONDS) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if "sentry   a new issue: Ann is paged: 202" in line:
                process.send_signal(signal.SIGINT)
                break
        rest, errors = process.communicate(timeout=180)
    return Told([*lines, *rest.splitlines()], process.returncode, errors)


def test_it_plays_until_ctrl_c_and_that_is_a_good_end(told: Told):
    assert (told.status, told.errors) == (0, "")
    assert re.search(r"[0-9]+ webhooks sent, .*, [0-9]+ pages rang", told.lines[-1])


def test_the_address_and_the_login_come_first(told: Told):
    assert re.fullmatch(
        r"Page: http://127\.0\.0\.1:[0-9]+  sign in: ann@example.com  password: demo-[0-9a-f]{8}",
        told.lines[0],
    )


#: What happened in Sentry and what here, in the order in which it happened.
STEPS = """
In Sentry: an integration and an alert rule were made. Here: the test came, Ann's phone rang: #1.
Here: Ann resolved #1. In Sentry: BACKEND-1 was resolved.
In Sentry: BACKEND-2 is new, and the alert rule fired. Here: #2 was opened, and Ann's phone rang.
Here: Ann acknowledged #2. In Sentry: BACKEND-2 was assigned to Ann.
In Sentry: Bob resolved BACKEND-2. Here: #2 was closed.
In Sentry: 10 issues are new; 3 of 10 webhooks were dropped on purpose. Here: #3 to #9 were opened.
Here: Ann acknowledged #3 to #9. In Sentry: 7 issues were assigned to Ann.
6 minutes later: Tocsin asked Sentry. Here: 3 lost webhooks were found; #10 to #12 rang Ann's phone.
In Sentry: Bob resolved all 10 issues. Here: #3 to #12 were closed.
"""


def test_each_step_says_what_happened_in_sentry_and_what_here(told: Told):
    assert list(told.steps) == STEPS.strip().splitlines()


def test_connecting_is_told_line_by_line(told: Told):
    said = [line for line in told.after(1) if line.startswith("connect  ")]
    assert said[0] == "connect  the integration acme is there, for checkout"
    assert any("alert rule “Page by Tocsin” of backend" in line for line in said)
    assert said[-1].startswith("connect  the webhook: ")
    assert said[-1].endswith(" came")


def test_the_alert_rule_brings_a_webhook_and_a_page(told: Told):
    lines = told.after(3)
    assert "sentry   webhook event_alert.triggered: 202" in lines
    assert any(line.startswith("phone    Ann: page #2 ") for line in lines)


def test_what_ann_does_here_comes_back_as_an_echo_that_changes_nothing(told: Told):
    assert "sentry   webhook issue.assigned: 202" in told.lines
    assert "delivery issue assigned became duplicate" in told.lines


def test_three_of_ten_webhooks_are_dropped_and_no_others(told: Told):
    sent = [line for line in told.after(6) if line.startswith("sentry   webhook event_alert")]
    assert len(sent) == 10
    assert sum(line.endswith(": dropped on purpose") for line in sent) == 3
    assert sum("dropped" in line for line in told.lines if line.startswith("sentry ")) == 3


def test_what_was_lost_rings_minutes_later_and_without_a_webhook(told: Told):
    lines = told.after(8)
    assert not any("webhook issue.created" in line or "event_alert" in line for line in lines)
    for number in (10, 11, 12):
        rung = [line for line in told.lines if line.startswith(f"phone    Ann: page #{number} ")]
        assert rung[0] in lines


def test_ann_is_paged_about_every_incident_of_the_story(told: Told):
    rung = {
        found[1] for line in told.lines if (found := re.match(r"phone .* Ann: page #(\d+)", line))
    }
    assert {str(number) for number in range(1, 13)} <= rung


def test_the_fake_sentry_ends_with_the_demo(told: Told):
    (asked,) = (line for line in told.lines if " is asked with the token of " in line)
    found = re.search(r"http://127\.0\.0\.1:([0-9]+)", asked)
    assert found is not None
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(found[1]))) != 0


def test_it_stops_by_itself_wherever_it_is():
    with demo("1") as process:
        said, errors = process.communicate(timeout=180)
    assert (process.returncode, errors) == (0, "")
    assert said.startswith("Page: ")


# -- what makes it exit with 1, and the table of a terminal ----------------------------------------


def show(*steps: Step, sent: Sequence[Sent] = (), answers: Sequence[bool] = ()) -> Show:
    given = [("a scene", Answer(202, b"", 0.001), right) for right in answers]
    return Show(base="http://x", password="demo-x", steps=[*steps], sent=[*sent], answers=given)


GOOD = Step("it", (("In Sentry", "this"), ("Here", "that")), state="done")


def test_all_is_right_where_what_was_dropped_was_to_be_dropped():
    sent = [Sent("issue.created", was_dropped=True, status=0), Sent("issue.created", False, 202)]
    assert show(GOOD, sent=sent, answers=[True]).is_right


@pytest.mark.parametrize(
    "wrong",
    [
        show(GOOD, Step("it", state="failed")),
        show(sent=[Sent("issue.created", was_dropped=False, status=0)]),
        show(sent=[Sent("issue.created", was_dropped=False, status=500)]),
        show(answers=[True, False]),
    ],
    ids=["a step failed", "nothing came back", "an error came back", "another answer came back"],
)
def test_all_is_not_right(wrong: Show):
    assert not wrong.is_right


def test_the_table_has_the_login_the_steps_and_what_one_does_on_its_way():
    doing = Step("Tocsin connects", details=["the token is kept"])
    done = Step("it", GOOD.told, details=["long done"], state="done")
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(drawing(show(done, doing)))
    text = console.export_text()
    assert "password: demo-x" in text
    assert "✓ In Sentry: this. Here: that." in text
    assert "… Tocsin connects" in text
    assert "the token is kept" in text
    assert "long done" not in text
