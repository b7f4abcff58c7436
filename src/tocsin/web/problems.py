"""Errors of the API, as RFC 9457 problems: one table from what went wrong to what is answered."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, NotFoundException, SerializationException
from sqlalchemy.exc import DataError

from tocsin.core.body import NotJson
from tocsin.core.incident import Refused
from tocsin.store.lists import BadCursor
from tocsin.web.headers import Header
from tocsin.work.accounts import WrongPassword
from tocsin.work.configfile import BadFile, explained
from tocsin.work.contacts import Mistaken
from tocsin.work.hashing import Throttled
from tocsin.work.refusals import Conflict, Forbidden, Invalid
from tocsin.work.respond import NotFound

log = structlog.get_logger("web")


class Problem(msgspec.Struct, omit_defaults=True, kw_only=True):
    """RFC 9457: what went wrong, for programs and for people."""

    title: str
    status: int
    detail: str = ""


class Denied(HTTPException):
    """Known, but not allowed."""

    status_code = 403


class Unknown(HTTPException):
    """Not known: no key, or a wrong one."""

    status_code = 401


class Wrong(HTTPException):
    """The request is wrong; the detail says how to make it right."""

    status_code = 400


class NotHere(NotFoundException):
    """There is nothing at this path."""

    detail = "there is nothing at this path"


#: What was raised to the status answered; its text is the detail. Others are 500, unexplained.
STATUS_OF: dict[type[Exception], int] = {
    NotFound: 404,
    Refused: 409,
    Conflict: 409,
    Forbidden: 403,
    Invalid: 400,
    BadFile: 400,
    BadCursor: 400,
    Mistaken: 400,
    WrongPassword: 401,
    Throttled: 429,
    NotJson: 400,
    SerializationException: 400,
    msgspec.DecodeError: 400,
    RecursionError: 400,
    UnicodeDecodeError: 400,
    # PostgreSQL refuses NUL in any text.
    DataError: 400,
}

#: Of a path that nothing answers at.
_NOWHERE = "there is nothing at this path; a thing whose name has a slash in it is found by its id"

#: Their own words would tell nothing, or too much.
_PLAIN = {
    SerializationException: "the body is not the JSON this operation takes",
    RecursionError: "the body is nested too deep",
    UnicodeDecodeError: "the request is not UTF-8",
    DataError: "the request holds characters that nothing here has",
}


def problem(_request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """Answer for an error."""
    status, detail = explain(error)
    return _answer(status, detail, error.headers if isinstance(error, HTTPException) else None)


def explain(error: Exception) -> tuple[int, str]:
    """Return the status of an error, and the sentence that tells people of it."""
    if isinstance(error, NotFoundException):
        return error.status_code, _NOWHERE
    if isinstance(error, HTTPException):
        return error.status_code, _said(error)
    for kind, status in STATUS_OF.items():
        if isinstance(error, kind):
            return status, _PLAIN.get(kind, str(error))
    log.error("request failed", error=type(error).__name__, exc_info=error)
    return 500, "something went wrong here; it is in the log"


async def refuse(send: Any, status: int, reason: str, more: Iterable[Header] = ()) -> None:
    """Answer a request that the framework never sees."""
    body = msgspec.json.encode(
        Problem(title=HTTPStatus(status).phrase, status=status, detail=reason)
    )
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _said(error: HTTPException) -> str:
    """Return the detail, with what exactly was wrong where the framework knows it."""
    if isinstance(error.__cause__, msgspec.ValidationError):
        return explained(str(error.__cause__).replace("`$.data", "`$"))[1]
    found = error.extra if isinstance(error.extra, list) else []
    exact = [
        f"{item.get('key', '')}: {item.get('message', '')}".lstrip(": ")
        for item in found
        if isinstance(item, dict)
    ]
    return "; ".join(exact) or error.detail


def _answer(status: int, detail: str, headers: dict[str, str] | None = None) -> Response[Problem]:
    return Response(
        Problem(title=HTTPStatus(status).phrase, status=status, detail=detail[:1000]),
        status_code=status,
        media_type="application/problem+json",
        headers=dict(headers or {}),
    )
