"""The page's own files, from memory: read once, packed once, kept by browsers for a year."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from litestar import Request, Response, get
from litestar.params import FromPath

from tocsin.web.problems import NotHere

_FOLDER = Path(__file__).parent.parent / "static"

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}

#: Its address names its content, so that it never changes.
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class File:
    """One file, plain and packed."""

    plain: bytes
    packed: bytes
    type: str
    version: str


@cache
def files() -> Mapping[str, File]:
    """Return every file by its path below ``static``."""
    return {
        path.relative_to(_FOLDER).as_posix(): _read(path)
        for path in sorted(_FOLDER.rglob("*"))
        if path.suffix in _TYPES
    }


def _read(path: Path) -> File:
    plain = path.read_bytes()
    version = hashlib.sha256(plain).hexdigest()[:12]
    return File(plain, gzip.compress(plain, 9, mtime=0), _TYPES[path.suffix], version)


@cache
def address_of(name: str) -> str:
    """Return the address of a file, which changes when it does.

    The version is a folder, so that modules that import each other by relative paths stay together.
    """
    return f"/static/{release()}/{name}"


@cache
def release() -> str:
    """Return a name of all files as they are."""
    versions = "".join(file.version for file in files().values())
    return hashlib.sha256(versions.encode()).hexdigest()[:12]


@get("/static/{version:str}/{name:path}", sync_to_thread=False, include_in_schema=False)
def static_file(
    request: Request[Any, Any, Any], version: FromPath[str], name: FromPath[str]
) -> Response[bytes]:
    """Give a file."""
    file = files().get(str(name).lstrip("/"))
    if file is None:
        raise NotHere
    takes_gzip = "gzip" in request.headers.get("accept-encoding", "")
    headers = {
        "cache-control": _FOR_EVER if version == release() else "no-cache",
        "vary": "accept-encoding",
    }
    if takes_gzip:
        headers["content-encoding"] = "gzip"
    return Response(
        file.packed if takes_gzip else file.plain, media_type=file.type, headers=headers
    )
