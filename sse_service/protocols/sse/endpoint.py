"""``GET /events``."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from sse_service.http.problems import problem, unauthorized
from sse_service.model.errors import Forbidden, InvalidToken, Overloaded
from sse_service.model.reasons import CloseReason
from sse_service.protocols.pacer import Pacer
from sse_service.protocols.sse import frames
from sse_service.protocols.sse.response import HEADERS, EventStream, Opening
from sse_service.streams import filter as filters
from sse_service.streams import start as starts
from sse_service.streams.registry import EVICTED_RETRY_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from sse_service.auth.requests import RequestAuth
    from sse_service.streams.registry import Streams
    from sse_service.streams.start import Start
    from sse_service.telemetry.metrics import Metrics

_OVERLOADED = {
    "limit": "this task holds as many streams as it may: try again",
    "user": "this user has as many streams as one may: close a page",
    "address": "this address has as many streams as one may: close a page",
    "rate": "too many streams are being opened at once: try again",
    "drain": "this task is ending: try again",
}

_CURSOR_QUERIES = ("lastEventId", "last_event_id", "lastEventID")
"""What clients send that cannot set the header: Yaffle's polyfill, Mercure 1, Mercure 0."""


class Events:
    """``GET /events``.

    An ASGI application: what Starlette wraps around a function that takes a Request would stay for as long as a stream.
    """

    def __init__(self, *, auth: RequestAuth, streams: Streams, metrics: Metrics) -> None:
        self._auth = auth
        self._streams = streams
        self._stream = EventStream(streams=streams)
        self._turnstile = Pacer()
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the caller's stream, or say why there is none."""
        await self._turnstile.enter()
        answer = self._admit(Request(scope))
        if isinstance(answer, Opening):
            await self._stream.answer(scope, send, answer)
        else:
            await answer(scope, receive, send)

    def _admit(self, request: Request) -> Opening | Response:
        try:
            principal = self._auth.principal(request)
            query = request.query_params if request.scope["query_string"] else {}
            wanted = filters.read(types=query.get("types"), subject=query.get("subject"))
            start = _start(request, query)
            client = request.scope["client"]
            address = client[0] if client else None
            self._streams.admit(user=principal.user, address=address, resumes=start.resumes)
        except InvalidToken as error:
            self._metrics.requests_refused.labels("unauthorized").inc()
            return unauthorized(error)
        except Forbidden as error:
            self._metrics.requests_refused.labels("forbidden").inc()
            return problem(403, str(error))
        except ValueError as error:
            self._metrics.requests_refused.labels("invalid").inc()
            return problem(400, str(error))
        except Overloaded as error:
            self._metrics.requests_refused.labels(error.reason).inc()
            return _overloaded(request, error)
        return Opening(principal=principal, address=address, start=start, narrowing=wanted)


def _overloaded(request: Request, error: Overloaded) -> Response:
    """An EventSource gives up for good on any status but 200, so it is told within a stream when to come back."""
    # The user's other pages will not be closed within seconds.
    retry_ms = random.randint(*(EVICTED_RETRY_MS if error.reason == "user" else (1000, 10_000)))  # noqa: S311  as above
    if "text/event-stream" in request.headers.get("accept", "").lower():
        reason = CloseReason.DRAIN if error.reason == "drain" else CloseReason.LIMIT
        block = frames.close(reason.value, reconnect=True, retry_ms=retry_ms)
        return Response(block, headers=HEADERS, media_type="text/event-stream")
    headers = {"Retry-After": str(-(-retry_ms // 1000)), "Connection": "close"}
    return problem(503, _OVERLOADED[error.reason], headers=headers)


def _start(request: Request, query: Mapping[str, str]) -> Start:
    # Browsers send the id as UTF-8, Latin-1 is how headers are read: our ids are ASCII, anything else is unreadable.
    header = next((value for name, value in request.scope["headers"] if name == b"last-event-id"), b"")
    given = header.decode("latin-1") or next((query[name] for name in _CURSOR_QUERIES if query.get(name)), None)
    return starts.read(last_event_id=given, since=query.get("since"))
