"""The application on the admin port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from sse_service.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from starlette.requests import Request

    from sse_service.metrics import Metrics


def create_admin_app(*, metrics: Metrics) -> Starlette:
    """Serve ``/metrics`` in Prometheus's text format."""

    async def show(_: Request) -> Response:
        return Response(metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    return Starlette(routes=[Route("/metrics", show)])
