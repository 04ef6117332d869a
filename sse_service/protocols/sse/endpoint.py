"""``GET /events``."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from sse_service.http.problems import problem, unauthorized
from sse_service.model.errors import Forbidden, InvalidToken, Overloaded
from sse_service.model.reasons import CloseReason, RefusalReason
from sse_service.protocols.pacer import Pacer
from sse_service.protocols.sse.encoding import block
from sse_service.protocols.sse.response import HEADERS, EventStream
from sse_service.streams.registry import EVICTED_RETRY_MS
from sse_service.streams.service_events import close

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from sse_service.protocols.admission import Admission, StreamRequest
    from sse_service.streams.registry import StreamRegistry

RETRY_MS = (1000, 10_000)
"""When a client comes back that an overloaded task has turned away."""

_ADVICE = {
    RefusalReason.LIMIT: "this task holds as many streams as it may: try again",
    RefusalReason.USER: "this user holds as many streams as one user may: close a page",
    RefusalReason.ADDRESS: "this address holds as many streams as one address may: close a page",
    RefusalReason.RATE: "too many streams are being opened at once: try again",
    RefusalReason.DRAIN: "this task is ending: try again",
}


class Events:
    """An ASGI application: Starlette's wrapper around a function would stay in memory for as long as the stream."""

    def __init__(self, *, admission: Admission, streams: StreamRegistry) -> None:
        self._admission = admission
        self._stream = EventStream(streams=streams)
        self._pacer = Pacer()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the caller's stream, or say why there is none."""
        await self._pacer.wait()
        answer = await self._admit(Request(scope))
        if isinstance(answer, Response):
            await answer(scope, receive, send)
        else:
            await self._stream.answer(scope, send, answer)

    async def _admit(self, request: Request) -> StreamRequest | Response:
        """Admit a request, or make the answer that refuses it. The Request object must not live as long as a stream."""
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
    """Say when to come back. An EventSource gives up for good on any status but 200, so it is told within a stream."""
    # A user's other pages will not be closed within seconds.
    retry_ms = random.randint(*(EVICTED_RETRY_MS if reason is RefusalReason.USER else RETRY_MS))  # noqa: S311  as there
    if "text/event-stream" in request.headers.get("accept", "").lower():
        why = CloseReason.DRAIN if reason is RefusalReason.DRAIN else CloseReason.LIMIT
        return Response(
            block(close(why, reconnect=True, retry_ms=retry_ms)), headers=HEADERS, media_type="text/event-stream"
        )
    headers = {"Retry-After": str(-(-retry_ms // 1000)), "Connection": "close"}
    return problem(503, _ADVICE[reason], headers=headers)
