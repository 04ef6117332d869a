"""The Starlette application on the admin port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sse_service.http.problems import from_exception
from sse_service.telemetry.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from sse_service.telemetry.metrics import Metrics


def create_admin_app(*, metrics: Metrics, others: Sequence[BaseRoute] = ()) -> Starlette:
    """Create the application: ``/metrics`` in Prometheus's text format, and other routes."""

    async def show_metrics(_: Request) -> Response:
        return Response(metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    return Starlette(
        routes=[Route("/metrics", show_metrics), *others], exception_handlers={HTTPException: from_exception}
    )
