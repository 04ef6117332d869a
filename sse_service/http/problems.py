"""Errors as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

from sse_service.model.errors import MissingToken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from sse_service.model.errors import InvalidToken

MEDIA_TYPE = "application/problem+json"

UNVERIFIED = "the token is malformed, or its signature is not valid"
"""One text for both cases, so that an attacker who tries signatures learns nothing."""


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """Make an error response. ``detail`` says what is wrong and what to do."""
    return Response(
        _body(status, detail),
        status_code=status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def raw_response(status: int, detail: str) -> bytes:
    """Make the bytes of a whole HTTP/1.1 response, for input that the parser refuses before there is a request."""
    body = _body(status, detail)
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


def unauthorized(error: InvalidToken) -> Response:
    """Make a 401 with the challenge of RFC 6750 section 3."""
    challenge = "Bearer" if isinstance(error, MissingToken) else 'Bearer error="invalid_token"'
    return problem(401, str(error) or UNVERIFIED, headers={"WWW-Authenticate": challenge})


async def from_exception(_: Request, error: Exception) -> Response:
    """Make the response for errors of Starlette itself: unknown paths and methods."""
    assert isinstance(error, HTTPException)  # noqa: S101  registered for nothing else
    detail = error.detail
    if error.status_code == 404:
        detail = "nothing is served at this path"
    elif error.status_code == 405:
        detail = f"this path answers only {(error.headers or {}).get('Allow', 'other methods')}"
    return problem(error.status_code, detail, headers=error.headers)


def _body(status: int, detail: str) -> bytes:
    return orjson.dumps({"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail})
