"""The public application: routes, CORS, and how errors are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Route

from sse_service.problems import from_exception

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sse_service.endpoints import Events, Probes, Session


def create_app(
    *,
    events: Events,
    session: Session,
    probes: Probes,
    cors_origins: Sequence[str] = (),
    extra_routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """Make the app. Its middleware is pure ASGI: Starlette's BaseHTTPMiddleware would hide disconnects."""
    middleware = [
        Middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_credentials=True,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["last-event-id", "authorization", "cache-control"],
            expose_headers=["retry-after", "www-authenticate"],
            max_age=3600,
        )
    ]
    routes = [
        Route("/events", events, methods=["GET"]),
        Route("/session", session.create, methods=["POST"]),
        Route("/session", session.delete, methods=["DELETE"]),
        Route("/healthz", probes.healthz),
        Route("/readyz", probes.readyz),
        *extra_routes,
    ]
    app = Starlette(
        routes=routes,
        middleware=middleware if cors_origins else [],
        exception_handlers={HTTPException: from_exception},
    )
    # A redirect would repeat the request's own Host, and an EventSource would follow it.
    app.router.redirect_slashes = False
    return app
