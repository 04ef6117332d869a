"""The public application: its routes, CORS, and the form of its errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Route

from sse_service.http.problems import from_exception

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

    from sse_service.http.probes import Probes
    from sse_service.http.session import Session


ALLOWED_HEADERS = ("last-event-id", "authorization", "cache-control")
"""Request headers that clients of a stream set."""

TRACING_HEADERS = ("traceparent", "tracestate", "baggage", "sentry-trace", "x-requested-with")
"""Request headers that tracing and HTTP libraries add to a page's requests by themselves."""


class DirectRoutes:
    """Routes requests for streams directly, and all others to Starlette.

    Starlette's routing and error handling cost CPU for each opening. What they wrap around ``send`` would also stay in
    memory while a poll waits.
    """

    def __init__(self, streams: Mapping[str, ASGIApp], others: Starlette) -> None:
        self._streams = streams
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        app = self._streams.get(scope["path"]) if scope["method"] in ("GET", "HEAD") else None
        await (app or self._others)(scope, receive, send)


def create_app(
    *,
    streams: Mapping[str, ASGIApp],
    session: Session,
    probes: Probes,
    cors_origins: Sequence[str] = (),
    extra_routes: Sequence[BaseRoute] = (),
) -> ASGIApp:
    """Make the application. ``streams`` maps a path to the application that answers it with a stream.

    All middleware is pure ASGI, because Starlette's BaseHTTPMiddleware hides disconnects.
    """
    routes = [
        *(Route(path, app, methods=["GET"]) for path, app in streams.items()),
        Route("/session", session.create, methods=["POST"]),
        Route("/session", session.delete, methods=["DELETE"]),
        Route("/healthz", probes.healthz),
        Route("/readyz", probes.readyz),
        *extra_routes,
    ]
    others = Starlette(routes=routes, exception_handlers={HTTPException: from_exception})
    # A redirect would contain the Host header, which the client chooses, and an EventSource would follow it.
    others.router.redirect_slashes = False
    app = DirectRoutes(streams, others)
    if not cors_origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=list(cors_origins),
        allow_credentials=True,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=[*ALLOWED_HEADERS, *TRACING_HEADERS],
        expose_headers=["retry-after", "www-authenticate"],
        max_age=3600,
    )
