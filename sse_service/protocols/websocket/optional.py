"""Whether WebSocket is installed: the package ``websockets`` is an extra, and the service starts without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.http.problems import problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from sse_service.protocols.admission import Admission
    from sse_service.streams.registry import StreamRegistry


def websocket_endpoint(*, admission: Admission, streams: StreamRegistry, heartbeat_seconds: int) -> ASGIApp:
    """Make the endpoint, or one that says what to install."""
    try:
        from sse_service.protocols.websocket.endpoint import WebSocketEndpoint
    except ImportError:
        return problem(501, "this service has no WebSocket: it needs pip install 'sse-service[websocket]'")
    return WebSocketEndpoint(admission=admission, streams=streams, heartbeat_seconds=heartbeat_seconds)
