"""Make the generated pages of docs/reference anew; a test fails if they are not.

make docs
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
NOTE = "<!-- Made by `make docs` from {}; change it there. -->"

COMMANDS = (
    "serve", "demo", "migrate", "doctor", "backup", "restore", "move",
    "secrets rotate", "apply", "export", "urls", "send",
    "incidents", "ack", "resolve", "snooze", "escalate", "reassign", "add-responder", "priority",
    "note", "merge", "unmerge", "oncall", "explain", "page", "deliveries", "replay",
    "key create", "key list", "key revoke", "user add", "user link",
    "sentry connect", "sentry status", "sentry switch", "sentry disconnect",
    "config show", "config new-key",
)  # fmt: skip


SCOPE = """\
## Who sees what

Admins, owners, and API keys that stand for no person see everything. A viewer, responder or
manager, and whoever uses an API key of theirs, sees and changes what is of no team, and what is
of the teams they are a member of. For a key of an admin in a lesser role, the key's role counts.

| What | is of the team of |
|---|---|
| a service | its `team` |
| a schedule, with its shifts, overrides, swaps and feeds | its `team` |
| an integration | its service; its routes do not matter |
| an incident, with its timeline | its service |
| a delivery, with its body | its integration; one that an incident is made of opens with that too |
| a notification | the service of its incident; what tells of a schedule, that schedule |
| a maintenance window | any of its services, to see it; all of them, to change it |

- Users, teams, absences and escalation policies are everybody's.
- Whoever has an incident, or was paged for it, sees it and may answer it, whatever its team.
- A maintenance window of all services is seen by everybody, and made by whoever sees all of them.
- What is not seen is not there: it is answered with 404 in the same words, is in no list, matches
  no filter, and its name is unknown. Only that a name is taken is told, for names are unique over
  all teams.
- What is seen is seen whole. A policy, or the route of an integration, may name what is of
  another team: it may go on naming it, and what `explain` says of a service follows it.
- Nobody gives a thing to a team they are no member of; to no team they may.
- The feed of a person has their shifts in schedules of any team: others than that person make it
  only if they see every schedule.
- Webhooks come in by their routing keys, and commands are typed by whoever has the database:
  neither has a team.

Two things to know. Managers may change who is in a team, themselves included: teams keep out of
each other's way, they are no walls between managers. And whoever takes turns in a schedule of a
team should be a member of it: they are paged either way, but would not see the schedule.
"""


def commands() -> str:
    """Return the page of commands, from their own help."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TOCSIN_")}
    environment |= {"COLUMNS": "90", "NO_COLOR": "1", "TERM": "dumb"}
    parts = [
        "# Commands",
        NOTE.format("the commands' help"),
        (
            "Exit codes: 0 done, 1 a check failed or nothing matched, 2 wrong usage. Errors are one"
            " sentence on standard error. Settings come from the environment:"
            " [settings](settings.md)."
        ),
    ]
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "tocsin", *command.split(), "--help"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        text = done.stdout.replace("python -m tocsin", "tocsin")
        lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
        parts.append(f"## tocsin {command}\n\n```\n{lines}\n```")
    return "\n\n".join(parts) + "\n"


def access() -> str:
    """Return the page of roles, from the table."""
    from tocsin.core.access import Action, may
    from tocsin.core.model import (
        Role,
    )

    what = {
        Action.READ: "see incidents, deliveries, notifications and configuration",
        Action.RESPOND: (
            "acknowledge, resolve, snooze, escalate, reassign, note, open; send events; set one's"
            " own overrides, swaps and absences"
        ),
        Action.REPLAY: "feed a stored delivery in again",
        Action.CONFIGURE: (
            "change services, integrations, policies, schedules, teams, maintenance windows; set"
            " overrides, swaps and absences of others"
        ),
        Action.ADMINISTER: "change people and API keys; see what is of any team",
        Action.OWN: "change owners",
    }
    roles = list(reversed(Role))
    head = "| Action | | " + " | ".join(roles) + " |"
    rows = [
        f"| `{action}` | {what[action]} | "
        + " | ".join("yes" if may(role, action) else "" for role in roles)
        + " |"
        for action in Action
    ]
    line = "|---|---|" + "---|" * len(roles)
    note = NOTE.format("src/tocsin/core/access.py")
    return "\n".join(["# Who may do what", "", note, "", head, line, *rows, "", SCOPE])


def dialects() -> str:
    """Return the page of dialects, from their files and examples."""
    from tocsin.dialects import NAMES, table

    parts = [
        "# Dialects",
        NOTE.format("src/tocsin/dialects/*.toml"),
        (
            "How a source's words are read. Every example is a test. `note`: on the timeline of"
            " the open incident, if there is one. `none` (all that is not listed): stored and"
            " shown. `regress`: triggers if the alert is resolved and the event more than a minute"
            " newer. A table can be overridden per integration (`overrides`). Sentry sends"
            " `ignored` where its pages say *archived*; both are one action."
        ),
    ]
    for name in NAMES:
        raw = table(name)
        verbs = "\n".join(f"| `{event}` | {verb} |" for event, verb in raw.action.items())
        status = "\n".join(
            f"| `{event}` in the body's status | {verb} |" for event, verb in raw.status.items()
        )
        levels = ", ".join(f"{word} → {severity}" for word, severity in raw.severity.items())
        keys = ", ".join(f"`{key}`" for key in raw.dedup.values())
        parts.append(
            f"## {name}\n\n| What is said | Verb |\n|---|---|\n"
            + "\n".join(part for part in (status, verbs) if part)
            + f"\n\nSeverity: {levels}; otherwise {raw.default_severity}.\nDedup keys: {keys}."
        )
        says = "\n".join(f"- {example.says}" for example in raw.examples)
        parts.append(f"<details><summary>Its examples</summary>\n\n{says}\n\n</details>")
    return "\n\n".join(parts) + "\n"


def openapi() -> str:
    """Return the description of the API."""
    from litestar.datastructures import State

    from tocsin.web.app import build_framework, described

    return described(build_framework(state=State())).decode() + "\n"


def settings() -> str:
    """Return the page of settings."""
    from tocsin.config import reference

    return reference()


PAGES = {
    "settings.md": settings,
    "commands.md": commands,
    "access.md": access,
    "dialects.md": dialects,
    "openapi.json": openapi,
}


def main() -> None:
    """Write every page."""
    for name, make in PAGES.items():
        (REFERENCE / name).write_text(make(), "utf-8")
        print(f"docs/reference/{name}")


if __name__ == "__main__":
    main()
