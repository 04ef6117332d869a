"""The checks on every request to the demo's back end: same origin, small JSON bodies, errors as problem JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from sse_service.auth.origin import may_use_cookie
from sse_service.http.problems import problem

MAX_JSON_BYTES = 4096

Endpoint = Callable[[Request], Awaitable[Response]]


class Refused(Exception):  # noqa: N818  an answer to the client, not an error of ours
    """An endpoint raises this to respond with a problem document (RFC 9457)."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def guarded(endpoint: Endpoint) -> Endpoint:
    """Wrap an endpoint in the checks."""

    async def answer(request: Request) -> Response:
        try:
            # A browser sends the cookie with the requests of every page (CSRF).
            if not may_use_cookie(request, allowed=(), safe=request.method in ("GET", "HEAD")):
                raise Refused(403, "only the demo's own page may send this request")
            response = await endpoint(request)
        except Refused as refused:
            response = problem(refused.status, refused.detail)
        except ClientDisconnect:
            response = Response(status_code=400)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return answer


async def read_json(request: Request) -> Any:
    """Read a JSON body. Pages of other sites cannot send this content type without a preflight (CSRF)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "the Content-Type must be application/json")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise Refused(413, f"the body has more than {MAX_JSON_BYTES} bytes")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(400, "the body is not JSON") from None
