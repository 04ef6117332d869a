"""Decide whether the page that made a request may use the session cookie."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from sse_service.model.errors import Forbidden

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

SAFE_METHODS = ("GET", "HEAD")


def check_origin(request: HTTPConnection, *, allowed: Collection[str], safe: bool) -> None:
    """Raise Forbidden if the page that made the request may not use the cookie.

    ``safe`` is explained at ``may_use_cookie``.
    """
    if not may_use_cookie(request, allowed=allowed, safe=safe):
        raise Forbidden(
            "pages of this origin may not use the session cookie: if they should, add the origin to SSE_CORS_ORIGINS"
        )


def may_use_cookie(request: HTTPConnection, *, allowed: Collection[str], safe: bool) -> bool:
    """Decide by ``Sec-Fetch-Site`` (W3C Fetch Metadata) and ``Origin`` (RFC 6454).

    A browser sends the cookie no matter which page makes the request (cross-site request forgery). No page can set
    these two headers. If ``safe`` is true, a request without ``Origin`` may pass. Set it for a GET: browsers send no
    ``Origin`` with a GET to the page's own host.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site == "same-origin":
        return True
    if origin is not None:
        # Compare the whole text: a longer one (``https://app.example.com.evil``) and ``null`` are other origins.
        return origin in allowed or origin == _own_origin(request)
    return safe and site in (None, "none")


def _own_origin(request: HTTPConnection) -> str:
    """Return the service's origin, as a trusted proxy forwarded it."""
    # The page behind a WebSocket's handshake has an HTTP origin (RFC 6455 §10.2).
    scheme = {"ws": "http", "wss": "https"}.get(request.scope["scheme"], request.scope["scheme"])
    return f"{scheme}://{request.headers.get('host', '')}"
