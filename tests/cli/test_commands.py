"""Commands, what they print and how they end."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.outside import Tocsin
from tocsin.core.dialect import read
from tocsin.core.model import Verb
from tocsin.dialects import load
from tocsin.sentry.sender import ACTIONS, Issue, webhook

FILE = """
users:
  - email: ann@example.com
    name: Ann
    contact_methods:
      - {name: mail, channel: email, address: ann@example.com}
      - {name: hook, channel: webhook, address: "https://phones.example.com/ann"}
    notification_rules:
      - {urgency: high, after: 0s, contact_method: hook}
      - {urgency: high, after: 5m, contact_method: mail}
teams:
  - {name: payments, members: [ann@example.com]}
escalation_policies:
  - name: default
    repeat: 2
    steps:
      - {targets: [{user: ann@example.com}, {team: payments}], wait: 5m}
services:
  - name: checkout
    team: payments
    escalation_policy: default
    urgency: {warning: high, priority.low: low}
    acknowledge_timeout: 30m
integrations:
  - name: sentry-checkout
    service: checkout
    routing_key: bring-your-own-key
    signing_secrets: ["client-secret-from-sentry"]
    sentry_url: https://acme.sentry.io
    replay_protection: strict
    routes:
      - {project: billing, environment: production, level: [fatal, error], service: checkout}
      - {tag.team: web, verb: none}
    overrides:
      action: {issue.archived: resolve, issue.assigned: acknowledge}
      severity: {error: critical}
fallback: {user: ann@example.com}
"""


@pytest.fixture
def tocsin(tmp_path: Path, database_url: str) -> Tocsin:
    """Give a Tocsin that is not running: commands work all the same."""
    return Tocsin(tmp_path, database_url)


def apply(tocsin: Tocsin, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    path = Path(tocsin.environment["TOCSIN_DATA_DIR"]) / "tocsin.yaml"
    path.write_text(text, "utf-8")
    return tocsin.run("apply", str(path), *options)


def test_apply_prints_a_plan_and_is_idempotent(tocsin: Tocsin):
    planned = apply(tocsin, FILE, "--dry-run")
    assert planned.returncode == 0
    assert "+ integration sentry-checkout" in planned.stdout
    assert "6 things would change" in planned.stdout
    assert tocsin.run("urls", "sentry-checkout").returncode == 1, "a dry run changes nothing"
    done = apply(tocsin, FILE)
    assert "6 things changed" in done.stdout
    assert "/in/bring-your-own-key" in done.stdout
    assert "nothing to change" in apply(tocsin, FILE).stdout


def test_apply_says_what_changes_and_masks_secrets(tocsin: Tocsin):
    apply(tocsin, FILE)
    changed = FILE.replace("repeat: 2", "repeat: 3").replace("client-secret", "other-secret")
    done = apply(tocsin, changed)
    assert "~ escalation policy default\n    repeat: 2 → 3" in done.stdout
    assert "~ integration sentry-checkout\n    signing_secrets changes" in done.stdout
    assert "other-secret" not in done.stdout
    assert "client-secret" not in done.stdout


def test_apply_takes_away_what_is_not_in_the_file(tocsin: Tocsin):
    apply(tocsin, FILE)
    done = apply(tocsin, "users: []")
    assert "- integration sentry-checkout" in done.stdout
    assert "- user ann@example.com" in done.stdout
    again = apply(tocsin, FILE)
    assert "+ integration sentry-checkout" in again.stdout, "names and keys are free again"


def test_what_is_exported_changes_nothing_when_applied(tocsin: Tocsin):
    apply(tocsin, FILE)
    exported = tocsin.run("export")
    assert exported.returncode == 0
    for secret in ("bring-your-own-key", "client-secret-from-sentry", "whsec_"):
        assert secret not in exported.stdout
    assert "nothing to change" in apply(tocsin, exported.stdout).stdout
    assert exported.stdout == tocsin.run("export").stdout


def test_made_keys_and_secrets_stay_the_same(tocsin: Tocsin):
    text = FILE.replace("    routing_key: bring-your-own-key\n", "")
    apply(tocsin, text)
    first = tocsin.run("urls", "sentry-checkout").stdout
    assert "nothing to change" in apply(tocsin, text).stdout
    assert tocsin.run("urls", "sentry-checkout").stdout == first
    assert len(first.splitlines()) == 4


def test_a_reference_to_a_secret_that_is_not_stored_is_refused(tocsin: Tocsin):
    text = FILE.replace("client-secret-from-sentry", "stored:0123456789abcdef")
    done = apply(tocsin, text)
    assert done.returncode == 1
    assert "tocsin.yaml:28: stored:0123456789abcdef is not stored here" in done.stderr


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("repeat:", "repaet:"), ":15: unknown key 'repaet'; did you mean 'repeat'?"),
        (("{team: payments}]", "{team: paymnts}]"),
         ":17: there is no team 'paymnts'; did you mean 'payments'?"),
        (("wait: 5m", "wait: 5min"), "'5min' is not a duration: write 30s, 5m, 2h or 7d"),
        (("channel: email", "channel: emial"), "did you mean email?"),
        (("after: 5m, contact_method: mail", "after: 5m, contact_method: post"),
         "contact method 'post' is not known"),
        (("service: checkout\n    routing_key", "service: chekout\n    routing_key"),
         "there is no service 'chekout'; did you mean 'checkout'?"),
        (("replay_protection: strict", "replay_protection: strikt"), "did you mean strict?"),
        (("bring-your-own-key", "short"), "at least 8 characters"),
        (("issue.archived: resolve", "issue.archived: close"), "unknown word 'close'"),
        (("project: billing", "projekt: billing"), "did you mean project?"),
        (("priority.low", "priority.lowest"), "did you mean priority.low?"),
        (("fallback: {user: ann", "fallback: {user: eve"), "there is no user 'eve@example.com'"),
        (("email: ann@example.com\n", "email: ann\n"), "'ann' is not an e-mail address"),
        (('"https://phones.example.com/ann"', "phones"), "is not an http:// or https:// URL"),
        (("repeat: 2", "repeat: two"), "repeat: expected a number"),
        (("users:", "users: ["), "not YAML"),
        (("repeat: 2", "repeat: 2\n    repeat: 3"), "'repeat' is there twice"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_with_line_and_suggestion_and_nothing_is_applied(
    tocsin: Tocsin, change: tuple[str, str], says: str
):
    assert change[0] in FILE
    done = apply(tocsin, FILE.replace(*change))
    assert done.returncode == 1
    assert says in done.stderr
    assert "tocsin.yaml:" in done.stderr
    assert "Traceback" not in done.stderr
    assert "users: []" in tocsin.run("export").stdout or tocsin.run("export").stdout == "{}\n"


def test_a_file_that_is_not_there_is_one_sentence(tocsin: Tocsin):
    done = tocsin.run("apply", "nothing.yaml")
    assert (done.returncode, done.stderr.strip()) == (
        1, "tocsin: nothing.yaml: No such file or directory",
    )  # fmt: skip


def test_lists_are_empty_with_exit_code_1(tocsin: Tocsin):
    for command in ("incidents", "deliveries"):
        done = tocsin.run(command, "--json")
        assert (done.returncode, json.loads(done.stdout)) == (1, [])


@pytest.mark.parametrize(
    "command",
    [["ack", "7"], ["resolve", "7"], ["incidents", "7"], ["deliveries", "del_none"],
     ["replay", "del_none"], ["urls", "nothing"], ["send", "nothing"]],
)  # fmt: skip
def test_what_is_not_there_is_one_sentence_and_exit_code_1(tocsin: Tocsin, command: list[str]):
    done = tocsin.run(*command)
    assert done.returncode == 1
    assert "there is no" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    [["nothing"], ["ack"], ["incidents", "--status", "open"], ["key", "create"],
     ["key", "create", "--name", "x", "--role", "king"], ["send", "x", "--resource", "y"]],
)  # fmt: skip
def test_wrong_usage_is_exit_code_2(tocsin: Tocsin, command: list[str]):
    done = tocsin.run(*command)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["sentry-checkout", "--action", "foo"], "archived"),
        (["sentry-checkout", "--resource", "event_alert", "--action", "created"], "triggered"),
        (["sentry-checkout", "--resource", "foo"], "metric_alert"),
        (["events-checkout"], "source sentry"),
    ],
)
def test_a_sample_that_sentry_would_not_send_is_wrong_usage(
    tocsin: Tocsin, options: list[str], says: str
):
    """It is told before anything is sent, with what there is."""
    apply(
        tocsin,
        FILE.replace("fallback:", "  - {name: events-checkout, service: checkout, source: events}\n"
                     "fallback:"),
    )  # fmt: skip
    done = tocsin.run("send", *options)
    assert done.returncode == 2, done
    assert says in " ".join(done.stderr.split())


def test_every_action_of_a_sample_is_one_the_dialect_knows():
    dialect = load("native")
    for resource, actions in ACTIONS.items():
        for action in actions:
            hook = webhook(resource, action, Issue(id="1"))
            signal = read(dialect, json.loads(hook.body), hook.resource)
            assert signal is not None
            assert signal.verb is not Verb.NONE, (resource, action)


def test_key_create_prints_only_the_key(tocsin: Tocsin):
    done = tocsin.run("key", "create", "--name", "ci", "--role", "viewer")
    assert done.returncode == 0
    assert done.stdout.startswith("tocsin_")
    assert len(done.stdout.splitlines()) == 1


def test_config_show_masks_secrets_and_says_where_each_value_comes_from(tocsin: Tocsin):
    tocsin.environment["TOCSIN_SMTP_URL"] = (
        "smtp://u:s3cr3t@mail.example.com:587?from=t@example.com"
    )
    tocsin.environment["TOCSIN_DATABASE_URL"] = "postgresql://u:s3cr3t@db.example.com/x"
    done = tocsin.run("config", "show", "--json")
    rows = {row["setting"]: row for row in json.loads(done.stdout)}
    assert "s3cr3t" not in done.stdout
    assert rows["TOCSIN_SMTP_URL"]["value"].startswith("smtp://u:•••@mail.example.com")
    assert rows["TOCSIN_SMTP_URL"]["from"] == "TOCSIN_SMTP_URL"
    assert rows["TOCSIN_RETENTION"] == {
        "setting": "TOCSIN_RETENTION", "value": "90d", "from": "default",
    }  # fmt: skip


def test_a_setting_may_be_a_file(tocsin: Tocsin, tmp_path: Path):
    path = tmp_path / "public-url"
    path.write_text("https://tocsin.example.com/\n")
    tocsin.environment["TOCSIN_PUBLIC_URL_FILE"] = str(path)
    rows = json.loads(tocsin.run("config", "show", "--json").stdout)
    row = next(row for row in rows if row["setting"] == "TOCSIN_PUBLIC_URL")
    assert (row["value"], row["from"]) == (
        "https://tocsin.example.com", f"TOCSIN_PUBLIC_URL_FILE ({path})",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("TOCSIN_LISTEM", "x", "did you mean TOCSIN_LISTEN?"),
        ("TOCSIN_LISTEN", "8080", "write 127.0.0.1:8080"),
        ("TOCSIN_MAX_BODY", "much", "write 2MiB"),
        ("TOCSIN_RETENTION", "long", "write 30s, 5m, 2h or 7d"),
        ("TOCSIN_OUTBOUND_ALLOW", "10.0.0.0/99", "TOCSIN_OUTBOUND_ALLOW"),
        ("TOCSIN_DATABASE_URL", "mysql://x", "postgresql://"),
        ("TOCSIN_SMTP_URL", "mail.example.com", "smtp://"),
        ("TOCSIN_PUBLIC_URL", "tocsin.example.com", "http://"),
        ("TOCSIN_LOG_FORMAT", "xml", "console, json"),
        ("TOCSIN_SECRET_KEYS", "short", "TOCSIN_SECRET_KEYS"),
        ("TOCSIN_SMTP_URL_FILE", "/nothing/there", "TOCSIN_SMTP_URL_FILE"),
    ],
)
def test_a_wrong_setting_names_itself_and_the_remedy(
    tocsin: Tocsin, name: str, value: str, says: str
):
    tocsin.environment[name] = value
    done = tocsin.run("export")
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_generated_key_is_readable_by_its_owner_only(tmp_path: Path):
    folder = tmp_path / "data"
    tocsin = Tocsin(tmp_path, f"sqlite:///{folder / 'tocsin.db'}", data_dir=str(folder))
    del tocsin.environment["TOCSIN_SECRET_KEYS"], tocsin.environment["TOCSIN_DATABASE_URL"]
    assert tocsin.run("migrate").returncode == 0
    key = folder / "secret-keys"
    assert key.stat().st_mode & 0o777 == 0o600
    key.write_text("A" * 43 + "=\n")
    other = tocsin.run("export")
    assert other.returncode == 1
    assert "do not open this database" in other.stderr


def test_every_command_has_a_help_text(tmp_path: Path):
    tocsin = Tocsin(tmp_path, "sqlite:////nothing")
    listed = tocsin.run("--help").stdout
    for command in ("serve", "demo", "migrate", "apply", "export", "urls", "send", "incidents",
                    "ack", "resolve", "deliveries", "replay", "key", "config"):  # fmt: skip
        assert command in listed
        assert tocsin.run(command, "--help").returncode == 0
