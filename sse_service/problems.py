"""Errors as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """Say what is wrong and what to do."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(
        orjson.dumps(body),
        status_code=status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type="application/problem+json",
    )


async def from_exception(_: Request, error: Exception) -> Response:
    """Answer for what Starlette itself refuses: unknown paths and methods."""
    assert isinstance(error, HTTPException)  # noqa: S101  registered for nothing else
    return problem(error.status_code, error.detail, headers=error.headers)
