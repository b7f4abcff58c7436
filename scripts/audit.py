"""Say what is known of the pinned requirements, and write dist/tocsin.cdx.json.

make audit
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

#: Everything that is installed anywhere: to run, to develop, to build, to do this.
AUDITED = ("run", "dev", "npm", "audit")

#: What is known and stays for a while: the id, until when, and why.
EXCEPTIONS: dict[str, tuple[str, str]] = {}


class Failed(Exception):
    """The audit could not be done; the message says why."""


def audit(tools: Path, name: str) -> list[str]:
    """Return what is known of a file of requirements, a line for each vulnerability."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        done = subprocess.run(
            [
                tools / "pip-audit", "--require-hashes", "--disable-pip", "--progress-spinner=off",
                f"--requirement={ROOT / 'requirements' / name}.txt",
                "--format=json", f"--output={answer}",
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if not answer.exists():
            said = [line for line in done.stderr.splitlines() if line.strip()]
            raise Failed(
                f"requirements/{name}.txt was not audited, the vulnerability service did not"
                f" answer: {said[-1][:300] if said else f'exit code {done.returncode}'}"
            )
        packages: list[dict[str, Any]] = json.loads(answer.read_text("utf-8"))["dependencies"]
    # Of these pip-audit says that nothing is known, and means that it could not ask.
    unknown = [one["name"] for one in packages if "skip_reason" in one]
    if unknown or not packages:
        raise Failed(
            f"requirements/{name}.txt was not audited: of {len(packages)} packages the"
            f" vulnerability service does not know {len(unknown)} ({', '.join(unknown[:3])}, …); is"
            " it the real one that answers?"
        )
    return [
        f"requirements/{name}.txt: {one['name']} {one['version']}: {found['id']}"
        f" (fixed in {', '.join(found['fix_versions']) or 'no version yet'})"
        for one in packages
        for found in one.get("vulns", ())
        if found["id"] not in EXCEPTIONS
    ]


def write_bom(tools: Path, target: Path) -> int:
    """Write what an installed Tocsin is made of, as CycloneDX; return of how many parts."""
    target.parent.mkdir(exist_ok=True)
    done = subprocess.run(
        [
            tools / "cyclonedx-py", "requirements", ROOT / "requirements" / "run.txt",
            f"--pyproject={ROOT / 'pyproject.toml'}", "--mc-type=application",
            "--output-reproducible", "--output-format=JSON", f"--output-file={target}",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Failed(f"no SBOM was written: {done.stderr.strip()[-300:]}")
    return len(json.loads(target.read_text("utf-8"))["components"])


def main(tools: Path, target: Path = ROOT / "dist" / "tocsin.cdx.json") -> int:
    """Do both; return the exit code."""
    try:
        parts = write_bom(tools, target)
        print(f"{target}: {parts} parts")
        found = [line for name in AUDITED for line in audit(tools, name)]
    except Failed as error:
        print(f"audit: {error}", file=sys.stderr)
        return 1
    for line in found:
        print(line, file=sys.stderr)
    print(f"{len(found)} known vulnerabilities in requirements/")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
