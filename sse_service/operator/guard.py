"""Who may ask for the operator's page, and send from it."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from sse_service.http.problems import problem

Endpoint = Callable[[Request], Awaitable[Response]]


def guarded(answer: Endpoint) -> Endpoint:
    """Refuse a name that any page could have led here (DNS rebinding): who is asked for by address or as localhost."""

    async def ask(request: Request) -> Response:
        if not _is_here(request.headers.get("host", "")):
            return problem(403, "ask by address or as localhost, so that no foreign page can read this one")
        return await answer(request)

    return ask


def _is_here(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def from_this_page(request: Request) -> bool:
    """Whether the browser says so (Fetch Metadata, or an Origin that is the host asked for)."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    try:
        return urlsplit(request.headers.get("origin", "")).netloc == request.headers["host"]
    except ValueError:
        return False
