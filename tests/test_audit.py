"""``make audit`` tells what is known, or that it could not ask; it never errs towards well."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
AUDIT = runpy.run_path(str(ROOT / "scripts" / "audit.py"))

CLEAN = {"name": "rich", "version": "15.0.0", "vulns": []}
KNOWN = {
    "name": "jinja2", "version": "3.1.6",
    "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["3.1.7"], "aliases": [], "description": ""}],
}  # fmt: skip
#: What pip-audit says of what it could not ask about, with exit code 0.
UNASKED = {"name": "rich", "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Give programs that stand for the real ones; the SBOM has one part."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program(
        folder / "cyclonedx-py",
        "for a; do case $a in --output-file=*)"
        ' echo \'{"components": [1]}\' > "${a#*=}";; esac; done',
    )
    return folder


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def answering(tools: Path, *packages: object, code: int = 0) -> None:
    answer = json.dumps({"dependencies": packages})
    (tools / "answer").write_text(answer)
    program(
        tools / "pip-audit",
        f'for a; do case $a in --output=*) cp {tools}/answer "${{a#*=}}";; esac; done; exit {code}',
    )


def test_nothing_known_is_exit_code_0_and_an_sbom(
    tools: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    answering(tools, CLEAN)
    assert AUDIT["main"](tools, tmp_path / "dist" / "bom.json") == 0
    out, err = capsys.readouterr()
    assert "bom.json: 1 parts" in out
    assert "0 known vulnerabilities" in out
    assert err == ""


def test_what_is_known_is_named_with_its_remedy(
    tools: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    answering(tools, CLEAN, KNOWN, code=1)
    assert AUDIT["main"](tools, tmp_path / "bom.json") == 1
    lines = capsys.readouterr().err.splitlines()
    wanted = "requirements/run.txt: jinja2 3.1.6: PYSEC-2026-1 (fixed in 3.1.7)"
    assert lines[0] == wanted
    assert len(lines) == len(AUDIT["AUDITED"])


def test_a_service_that_does_not_answer_is_one_sentence_and_a_failure(
    tools: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    program(tools / "pip-audit", "echo Traceback >&2; echo 'ERROR: no connection' >&2; exit 1")
    assert AUDIT["main"](tools, tmp_path / "bom.json") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "the vulnerability service did not answer: ERROR: no connection" in line


@pytest.mark.parametrize("packages", [[UNASKED], [CLEAN, UNASKED], []])
def test_what_could_not_be_asked_about_is_not_taken_for_clean(
    tools: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], packages: list[object]
):
    answering(tools, *packages)
    assert AUDIT["main"](tools, tmp_path / "bom.json") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "was not audited" in line


def test_every_file_of_requirements_is_audited():
    there = {path.stem for path in (ROOT / "requirements").glob("*.txt")}
    assert there == set(AUDIT["AUDITED"])
