"""The public application: routes, CORS, and how errors are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Route

from sse_service.http.problems import from_exception

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

    from sse_service.http.probes import Probes
    from sse_service.http.session import Session
    from sse_service.protocols.sse.endpoint import Events


STREAMS = "/events"


class Front:
    """Leads a request for a stream past Starlette, whose routing and error handling would stay for as long as it does.

    That is 3 kB a stream. What goes wrong there is uvicorn's to log; all other requests are Starlette's.
    """

    def __init__(self, events: Events, others: Starlette) -> None:
        self._events = events
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["path"] == STREAMS and scope["method"] in ("GET", "HEAD"):
            await self._events(scope, receive, send)
        else:
            await self._others(scope, receive, send)


def create_app(
    *,
    events: Events,
    session: Session,
    probes: Probes,
    cors_origins: Sequence[str] = (),
    extra_routes: Sequence[BaseRoute] = (),
) -> ASGIApp:
    """Make the app. Its middleware is pure ASGI: Starlette's BaseHTTPMiddleware would hide disconnects."""
    routes = [
        Route(STREAMS, events, methods=["GET"]),
        Route("/session", session.create, methods=["POST"]),
        Route("/session", session.delete, methods=["DELETE"]),
        Route("/healthz", probes.healthz),
        Route("/readyz", probes.readyz),
        *extra_routes,
    ]
    others = Starlette(routes=routes, exception_handlers={HTTPException: from_exception})
    # A redirect would repeat the request's own Host, and an EventSource would follow it.
    others.router.redirect_slashes = False
    app = Front(events, others)
    if not cors_origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=list(cors_origins),
        allow_credentials=True,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["last-event-id", "authorization", "cache-control"],
        expose_headers=["retry-after", "www-authenticate"],
        max_age=3600,
    )
