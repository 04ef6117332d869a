"""Whether a request that carries a cookie was made by a page that may."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection


def may_use_cookie(request: HTTPConnection, *, allowed: Collection[str], safe: bool) -> bool:
    """Judge by ``Sec-Fetch-Site`` (W3C Fetch Metadata) and ``Origin`` (RFC 6454).

    A browser sends the cookie whichever page asked (cross-site request forgery); these two headers no page can set.
    ``safe`` is a GET, which browsers send without ``Origin`` to the page's own host.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site == "same-origin":
        return True
    if origin is not None:
        # Compared whole: a suffix (``app.example.com.evil``) or ``null`` is another origin.
        return origin in allowed or origin == _own(request)
    return safe and site in (None, "none")


def _own(request: HTTPConnection) -> str:
    """The service's origin, as a trusted proxy forwarded it."""
    return f"{request.scope['scheme']}://{request.headers.get('host', '')}"
