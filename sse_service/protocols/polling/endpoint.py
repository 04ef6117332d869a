"""``GET /events/poll``: admits the request, waits for events if it may, and answers with a page of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from sse_service.http.pacer import Pacer
from sse_service.http.problems import problem
from sse_service.http.uvicorn.transport import borrow_transport
from sse_service.model.errors import Forbidden, InvalidToken, Overloaded
from sse_service.model.reasons import CloseReason, RefusalReason
from sse_service.protocols.polling.poll import Deadlines, Poll
from sse_service.protocols.polling.sink import PollSink
from sse_service.protocols.refusal import refusal

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from sse_service.protocols.admission import Admission, StreamRequest
    from sse_service.streams.registry import StreamRegistry
    from sse_service.streams.subscription import Subscription

HEADERS = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))

READ_SECONDS = 10.0
"""How long a poll may take to read what it has missed. Then it is answered with what was read so far."""


class PollEndpoint:
    """An ASGI application. It has no Response for Starlette: a poll may wait when the request has returned."""

    def __init__(self, *, admission: Admission, streams: StreamRegistry) -> None:
        self._admission = admission
        self._streams = streams
        self._pacer = Pacer()
        self._deadlines = Deadlines()
        # Bound once, because every poll that waits keeps it.
        self._send_late_answer = self._send_answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with events, or with an error."""
        await self._admission.wait_for_turn()
        answer = await self._admit(Request(scope))
        if isinstance(answer, Response):
            await answer(scope, receive, send)
        elif scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
            await send({"type": "http.response.body", "body": b""})
        elif (failure := await self._answer(scope, send, answer)) is not None:
            await failure(scope, receive, send)

    async def _admit(self, request: Request) -> StreamRequest | Response:
        """Admit a request, or return the answer that refuses it."""
        try:
            return await self._admission.admit(request, polls=True)
        except (InvalidToken, Forbidden, ValueError, Overloaded) as error:
            return refusal(error)

    async def _answer(self, scope: Scope, send: Send, request: StreamRequest) -> Response | None:
        """Answer at once, or let the connection hold the poll. Returns the answer to a poll that could not begin."""
        transport = borrow_transport(scope)
        if transport.closed:
            return None
        sink = PollSink(transport)
        stream = self._streams.open(
            protocol="polling",
            sink=sink,
            principal=request.principal,
            address=request.address,
            start=request.start,
            filter=request.filter,
        )
        with stream as subscription:
            poll = Poll(
                stream=stream,
                subscription=subscription,
                sink=sink,
                transport=transport,
                send=send,
                deadlines=self._deadlines,
                answer=self._send_late_answer,
            )
            began = asyncio.get_running_loop().time()
            await _read(poll)
            # A client without a cursor needs one first.
            if request.wait_seconds and sink.caught_up and not (request.start.live or poll.due):
                poll.wait(began + request.wait_seconds)
                return None
            return await self._send_answer(poll)

    async def _send_answer(self, poll: Poll) -> Response | None:
        # An event may wake thousands of polls. To answer one takes about 0.1 ms, and live events must not wait.
        await self._pacer.wait()
        if poll.transport.closed:
            return None
        poll.transport.close_if_draining()
        if not poll.sink.greeted:
            return _cannot_begin(poll.subscription)
        body = poll.sink.answer(poll.subscription)
        length = (b"content-length", b"%d" % len(body))
        await poll.send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, length]})
        await poll.send({"type": "http.response.body", "body": body, "more_body": True})
        del body
        # This waits for a slow reader. The timer watches it, and it counts as an open stream.
        await poll.send({"type": "http.response.body", "body": b""})
        poll.stream.answered = not poll.transport.closed
        return None


async def _read(poll: Poll) -> None:
    """Wait until the poll has read what it has missed, or must be answered without that."""
    timer = asyncio.get_running_loop().call_later(READ_SECONDS, poll.sink.expire)
    sink = poll.sink
    while not (sink.caught_up or sink.full or sink.over or poll.subscription.closed or poll.transport.closed):
        await poll.transport.wait()
    timer.cancel()


def _cannot_begin(subscription: Subscription) -> Response:
    if subscription.close_reason is CloseReason.DRAIN:
        return refusal(Overloaded(RefusalReason.DRAIN))
    return problem(503, "the events cannot be read now: try again", headers={"Retry-After": "5"})
