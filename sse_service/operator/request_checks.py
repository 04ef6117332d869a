"""Checks the requests to the operator's page. It has no login, so pages of other sites must not reach it."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.requests import Request
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
    try:
        return urlsplit(request.headers.get("origin", "")).netloc == request.headers["host"]
    except ValueError:
        return False
