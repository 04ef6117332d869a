"""``GET /events``: admits the request, and answers with the caller's stream or an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from sse_service.model.errors import Forbidden, InvalidToken, Overloaded
from sse_service.protocols.refusal import refusal, refusal_event
from sse_service.protocols.sse.encoding import service_event_block
from sse_service.protocols.sse.response import HEADERS, EventStream

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from sse_service.protocols.admission import Admission, StreamRequest
    from sse_service.streams.registry import StreamRegistry


class EventsEndpoint:
    """An ASGI application. It has no Response for Starlette: the stream goes on when the request has returned."""

    def __init__(self, *, admission: Admission, streams: StreamRegistry, heartbeat_seconds: int) -> None:
        self._admission = admission
        self._stream = EventStream(streams=streams, heartbeat_seconds=heartbeat_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the caller's stream, or with an error."""
        await self._admission.wait_for_turn()
        answer = await self._admit(Request(scope))
        if isinstance(answer, Response):
            await answer(scope, receive, send)
        else:
            await self._stream.answer(scope, send, answer)

    async def _admit(self, request: Request) -> StreamRequest | Response:
        """Admit a request, or return the answer that refuses it."""
        try:
            return await self._admission.admit(request)
        except (InvalidToken, Forbidden, ValueError) as error:
            return refusal(error)
        except Overloaded as error:
            return _overloaded(request, error)


def _overloaded(request: Request, error: Overloaded) -> Response:
    """Tell the client when to try again.

    An EventSource gets this as a 200 with a ``stream.close``, because it gives up for good on any other status.
    """
    if "text/event-stream" not in request.headers.get("accept", "").lower():
        return refusal(error)
    event, _ = refusal_event(error.reason)
    return Response(service_event_block(event), headers=HEADERS, media_type="text/event-stream")
