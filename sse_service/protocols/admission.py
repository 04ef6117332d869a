"""The checks that every protocol makes before it opens a stream: authentication, query, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import QueryParams

from sse_service.model.errors import Forbidden, InvalidToken, Overloaded
from sse_service.model.reasons import RefusalReason
from sse_service.model.values import value
from sse_service.protocols import query as queries
from sse_service.streams.start import LIVE, Start

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from sse_service.auth.authenticator import AuthenticatorChain
    from sse_service.model.principal import Principal
    from sse_service.streams.filter import Filter
    from sse_service.streams.registry import StreamRegistry
    from sse_service.telemetry.metrics import Metrics


@value
class StreamRequest:
    """An admitted request for a stream."""

    principal: Principal
    address: str | None
    """The client's IP address, as a trusted proxy reports it."""
    start: Start
    filter: Filter | None
    heartbeat_events: bool
    """Whether heartbeats are sent as ``stream.heartbeat``."""
    wait_seconds: int = 0
    """How long a poll may wait for an event."""


class Admission:
    """Authenticates a request, reads its query, and applies the limits, in this order."""

    def __init__(self, *, auth: AuthenticatorChain, streams: StreamRegistry, metrics: Metrics) -> None:
        self._auth = auth
        self._streams = streams
        self._metrics = metrics

    async def admit(self, request: HTTPConnection, *, polls: bool = False) -> StreamRequest:
        """Admit a request, and count it towards the limits. With ``polls``, ``wait`` is read too.

        Raises InvalidToken, Forbidden, ValueError for a malformed query, and Overloaded. Each refusal is counted.
        """
        try:
            return await self._admit(request, polls=polls)
        except (InvalidToken, Forbidden, ValueError, Overloaded) as error:
            self._metrics.requests_refused.labels(_reason(error)).inc()
            raise

    async def _admit(self, request: HTTPConnection, *, polls: bool) -> StreamRequest:
        scope = request.scope
        principal = await self._auth.authenticate(request)
        header = next((value for name, value in scope["headers"] if name == b"last-event-id"), b"")
        filter_, start, heartbeat_events, wait_seconds = None, LIVE, False, 0
        if header or scope["query_string"]:
            query = QueryParams(scope["query_string"])
            # Browsers send the id as UTF-8, and headers are read as Latin-1. Our ids are ASCII, where both are equal.
            start = queries.read_start(query, last_event_id=header.decode("latin-1"))
            filter_ = queries.read_filter(query)
            heartbeat_events = queries.asks_for_heartbeat_events(query)
            if polls:
                wait_seconds = queries.read_wait(query)
        address = scope["client"][0] if scope["client"] else None
        self._streams.admit(user=principal.user, address=address, resumes=start.resumes)
        return StreamRequest(principal, address, start, filter_, heartbeat_events, wait_seconds)


def _reason(error: Exception) -> RefusalReason:
    match error:
        case Overloaded():
            return error.reason
        case InvalidToken():
            return RefusalReason.UNAUTHORIZED
        case Forbidden():
            return RefusalReason.FORBIDDEN
        case _:
            return RefusalReason.INVALID
