"""``GET /events``: admits the request, and answers with the caller's stream or an error."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from sse_service.http.pacer import Pacer
from sse_service.http.problems import problem, unauthorized
from sse_service.model.errors import Forbidden, InvalidToken, Overloaded
from sse_service.model.reasons import CloseReason, RefusalReason
from sse_service.protocols.sse.encoding import service_event_block
from sse_service.protocols.sse.response import HEADERS, EventStream
from sse_service.streams.registry import EVICTED_RETRY_MS
from sse_service.streams.service_events import close

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from sse_service.protocols.admission import Admission, StreamRequest
    from sse_service.streams.registry import StreamRegistry

RETRY_MS = (1000, 10_000)
"""When a client that an overloaded task has refused should try again."""

_ADVICE = {
    RefusalReason.LIMIT: "this task holds as many streams as it may: try again",
    RefusalReason.USER: "this user holds as many streams as one user may: close a page",
    RefusalReason.ADDRESS: "this address holds as many streams as one address may: close a page",
    RefusalReason.RATE: "too many streams are being opened at once: try again",
    RefusalReason.DRAIN: "this task is ending: try again",
    RefusalReason.IDENTITY: "the credential cannot be checked now: try again",
}


class EventsEndpoint:
    """An ASGI application, because Starlette's wrapper around a function would stay in memory as long as the stream."""

    def __init__(self, *, admission: Admission, streams: StreamRegistry) -> None:
        self._admission = admission
        self._stream = EventStream(streams=streams)
        self._pacer = Pacer()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the caller's stream, or with an error."""
        await self._pacer.wait()
        answer = await self._admit(Request(scope))
        if isinstance(answer, Response):
            await answer(scope, receive, send)
        else:
            await self._stream.answer(scope, send, answer)

    async def _admit(self, request: Request) -> StreamRequest | Response:
        """Admit a request, or return the answer that refuses it.

        The Request object lives only in this method, not as long as the stream.
        """
        try:
            return await self._admission.admit(request)
        except InvalidToken as error:
            return unauthorized(error)
        except Forbidden as error:
            return problem(403, str(error))
        except ValueError as error:
            return problem(400, str(error))
        except Overloaded as error:
            return _overloaded(request, error.reason)


def _overloaded(request: Request, reason: RefusalReason) -> Response:
    """Tell the client when to try again.

    An EventSource gets this as a 200 with a ``stream.close``, because it gives up for good on any other status.
    """
    # A user at the limit must close another page first, which takes longer than a few seconds.
    retry_ms = random.randint(*(EVICTED_RETRY_MS if reason is RefusalReason.USER else RETRY_MS))  # noqa: S311  spreads load
    if "text/event-stream" in request.headers.get("accept", "").lower():
        why = CloseReason.DRAIN if reason is RefusalReason.DRAIN else CloseReason.LIMIT
        return Response(
            service_event_block(close(why, reconnect=True, retry_ms=retry_ms)),
            headers=HEADERS,
            media_type="text/event-stream",
        )
    headers = {"Retry-After": str(-(-retry_ms // 1000)), "Connection": "close"}
    return problem(503, _ADVICE[reason], headers=headers)
