"""The checks that every protocol makes before it opens a stream: authentication, query, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import QueryParams

from sse_service.http.pacer import Pacer
from sse_service.model.errors import Forbidden, InvalidToken, MissingToken, Overloaded
from sse_service.model.reasons import RefusalReason
from sse_service.model.values import value
from sse_service.protocols import query as queries
from sse_service.streams.start import LIVE, Start

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection
    from starlette.types import Scope

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
        self._pacer = Pacer()

    async def wait_for_turn(self) -> None:
        """Wait until a request may be admitted, so that a storm of requests leaves time for everything else."""
        await self._pacer.wait()

    async def admit(self, request: HTTPConnection, *, polls: bool = False) -> StreamRequest:
        """Admit a request, and count it towards the limits. With ``polls``, ``wait`` is read too.

        Raises InvalidToken, Forbidden, ValueError for a malformed query, and Overloaded. Each refusal is counted.
        """
        try:
            return await self._admit(request, polls=polls)
        except (InvalidToken, Forbidden, ValueError, Overloaded) as error:
            self.count(error)
            raise

    async def admit_or_wait(self, request: HTTPConnection) -> StreamRequest | None:
        """Do the same, or return None if the request has no credential, and its client may send one later.

        Raises the same exceptions. Each refusal is counted.
        """
        try:
            return await self._admit(request, polls=False)
        except MissingToken:
            pass
        except (InvalidToken, Forbidden, ValueError, Overloaded) as error:
            self.count(error)
            raise
        try:
            _read_query(request.scope, polls=False)
            self._streams.admit_unidentified()
        except (ValueError, Overloaded) as error:
            self.count(error)
            raise
        return None

    def count(self, error: Exception) -> None:
        """Count a refusal."""
        self._metrics.requests_refused.labels(_reason(error)).inc()

    async def _admit(self, request: HTTPConnection, *, polls: bool) -> StreamRequest:
        scope = request.scope
        principal = await self._auth.authenticate(request)
        start, filter_, heartbeat_events, wait_seconds = _read_query(scope, polls=polls)
        address = scope["client"][0] if scope["client"] else None
        self._streams.admit(user=principal.user, address=address, resumes=start.resumes)
        return StreamRequest(principal, address, start, filter_, heartbeat_events, wait_seconds)


def _read_query(scope: Scope, *, polls: bool) -> tuple[Start, Filter | None, bool, int]:
    """Read where to begin, what to filter, whether heartbeats are events, and how long to wait. Raises ValueError."""
    header = next((value for name, value in scope["headers"] if name == b"last-event-id"), b"")
    if not (header or scope["query_string"]):
        return LIVE, None, False, 0
    query = QueryParams(scope["query_string"])
    # Browsers send the id as UTF-8, and headers are read as Latin-1. Our ids are ASCII, where both are equal.
    start = queries.read_start(query, last_event_id=header.decode("latin-1"))
    filter_ = queries.read_filter(query)
    heartbeat_events = queries.asks_for_heartbeat_events(query)
    return start, filter_, heartbeat_events, queries.read_wait(query) if polls else 0


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
