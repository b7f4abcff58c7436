"""How to connect Sentry: every command on that page works as it is printed, against the fake."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import ALL_SCOPES, FakeSentry
from tests.outside import Tocsin
from tocsin.work.connectplan import NEEDED, NEEDED_TO_DISCONNECT

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "connect-sentry.md"

CONFIGURATION = """
services:
  - {name: checkout}
  - {name: website}
"""


def commands() -> list[str]:
    """Return every line of the page that is typed into a shell."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


@pytest.fixture
def tocsin(tmp_path: Path, sqlite_url: str) -> Iterator[Tocsin]:
    made = Tocsin(tmp_path, sqlite_url)
    made.apply(CONFIGURATION)
    made.start()
    yield made
    made.end()


def test_every_command_does_what_the_page_says(tocsin: Tocsin, sentry: FakeSentry, tmp_path: Path):
    """In order, as somebody would type them; addresses and the token are those of the fake."""
    own = tmp_path / "own-token"
    token = sentry.token()
    done = []
    for line in commands():
        words = shlex.split(line)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            real = {"TOCSIN_SENTRY_TOKEN": token, "TOCSIN_OUTBOUND_ALLOW": "127.0.0.0/8"}
            assert value
            tocsin.environment[name] = real[name]
            continue
        assert words[0] == "tocsin"
        arguments = [str(own) if word == "FILE" else word for word in words[1:]]
        if "connect" in arguments:
            if "--host" in arguments:
                at = arguments.index("--host")
                del arguments[at : at + 2]
            arguments += ["--host", sentry.url]
        if str(own) in arguments:
            own.write_text(sentry.app_token(sentry.slugs()[0]), "utf-8")
        ran = tocsin.run(*arguments)
        assert ran.returncode == 0, (line, ran.stderr, ran.stdout)
        done.append(" ".join(words[1:3]))
    assert done == [
        "sentry connect", "sentry connect", "sentry status", "sentry connect", "sentry connect",
        "sentry disconnect", "sentry disconnect",
    ]  # fmt: skip
    assert (sentry.state()["apps"], sentry.state()["rules"]) == ([], [])


def test_the_page_names_the_scopes_that_are_needed():
    text = PAGE.read_text("utf-8")
    for scope in (*NEEDED, *NEEDED_TO_DISCONNECT):
        assert f"`{scope}`" in text
    assert set(NEEDED) | set(NEEDED_TO_DISCONNECT) <= set(ALL_SCOPES)


def test_a_sentry_of_ones_own_stands_behind_two_walls(tocsin: Tocsin, sentry: FakeSentry):
    """Each is named with what to set where it stands, and what the page says opens it."""
    line = next(line for line in commands() if "sentry.internal" in line)
    words = shlex.split(line)[1:]
    arguments = [sentry.url if word.startswith("http:") else word for word in words]
    tocsin.environment["TOCSIN_SENTRY_TOKEN"] = sentry.token()
    opened = tocsin.environment.pop("TOCSIN_OUTBOUND_ALLOW")
    ran = tocsin.run(*arguments, "--service", "checkout")
    assert ran.returncode != 0
    assert "TOCSIN_OUTBOUND_ALLOW" in ran.stdout + ran.stderr
    tocsin.environment["TOCSIN_OUTBOUND_ALLOW"] = opened
    sentry.do("webhooks", disallowed=["127.0.0.0/8"])
    ran = tocsin.run(*arguments, "--service", "checkout", "--wait", "2")
    assert ran.returncode != 0
    assert "SENTRY_DISALLOWED_IPS" in ran.stdout + ran.stderr
    sentry.do("webhooks", disallowed=[])
    ran = tocsin.run(*arguments, "--service", "checkout")
    assert ran.returncode == 0, (ran.stderr, ran.stdout)
    assert len(sentry.state()["apps"]) == 1
