"""Checks the requests to the admin port. It has no login, so pages of other sites must not reach what it does."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from sse_service.http.problems import problem

Endpoint = Callable[[Request], Awaitable[Response]]


def by_address_only(endpoint: Endpoint) -> Endpoint:
    """Refuse requests whose Host is neither an IP address nor localhost.

    The owner of any other name could make it resolve to this address, and read the page from a page of their own (DNS
    rebinding).
    """

    async def check(request: Request) -> Response:
        if not _is_address_or_localhost(request.headers.get("host", "")):
            return problem(
                403, "open this page by IP address or as localhost: other names could belong to another site"
            )
        return await endpoint(request)

    return check


def from_own_page_or_no_browser(endpoint: Endpoint) -> Endpoint:
    """Refuse what a browser sends, unless it comes from the operator's page. Programs may use any Host.

    Browsers send ``Origin`` with every POST, and programs do not.
    """

    async def check(request: Request) -> Response:
        from_browser = "origin" in request.headers or "sec-fetch-site" in request.headers
        if from_browser and not is_same_origin(request):
            return problem(403, "pages of other sites may not send this request")
        return await (by_address_only(endpoint) if from_browser else endpoint)(request)

    return check


def _is_address_or_localhost(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def is_same_origin(request: Request) -> bool:
    """Whether the operator's page itself sent this request (CSRF), by ``Sec-Fetch-Site`` or else by ``Origin``."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    # HTTP/1.0 needs no Host.
    host = request.headers.get("host", "")
    try:
        return host != "" and urlsplit(request.headers.get("origin", "")).netloc == host
    except ValueError:
        return False


async def read_body(request: Request, *, limit: int) -> bytes:
    """Read the body. Raises HTTPException if it has more bytes than the limit."""
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > limit:
                raise HTTPException(413, f"the body has more than {limit} bytes")
    except ClientDisconnect:
        # No client reads this response. It prevents that the disconnect is logged as an error.
        raise HTTPException(400, "the client left before the end of the body") from None
    return body
