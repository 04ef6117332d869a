"""``GET /ws``: answers the handshake, admits the client, and holds its stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from sse_service.http.problems import UNVERIFIED
from sse_service.http.uvicorn.transport import take_transport
from sse_service.model.errors import Forbidden, InvalidToken, Overloaded
from sse_service.protocols.refusal import refusal, refusal_event
from sse_service.protocols.websocket.connection import MAX_FIRST_MESSAGE_BYTES, MAX_MESSAGE_BYTES, Connection
from sse_service.protocols.websocket.encoding import PING, encode_service_event
from sse_service.protocols.websocket.handshake import answer_to
from sse_service.protocols.websocket.sink import CLOSE_CODES, FORBIDDEN, UNAUTHORIZED, WebSocketSink
from sse_service.protocols.websocket.unidentified import WaitingRoom
from sse_service.streams import service_events

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from sse_service.http.uvicorn.transport import StreamTransport
    from sse_service.protocols.admission import Admission, StreamRequest
    from sse_service.streams.registry import StreamRegistry


class WebSocketEndpoint:
    """An ASGI application for HTTP requests, because a connection is HTTP until its handshake is accepted."""

    def __init__(self, *, admission: Admission, streams: StreamRegistry, heartbeat_seconds: int) -> None:
        self._admission = admission
        self._streams = streams
        self._waiting_room = WaitingRoom(places=streams.most_unidentified)
        self._heartbeat_event = encode_service_event(service_events.heartbeat(heartbeat_seconds))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a WebSocket, or with an error."""
        head = answer_to(scope)
        if isinstance(head, Response):
            await head(scope, receive, send)
            return
        await self._admission.wait_for_turn()
        admitted: StreamRequest | Response | Exception | None
        try:
            admitted = await self._admission.admit_or_wait(Request(scope))
        except Overloaded as error:
            # A browser does not show the status of a refused handshake to a page, but the code of a close.
            # Without its traceback, which would keep this frame.
            admitted = error.with_traceback(None)
        except (InvalidToken, Forbidden, ValueError) as error:
            await refusal(error)(scope, receive, send)
            return
        transport = take_transport(scope)
        if transport.closed:
            return
        max_bytes = MAX_FIRST_MESSAGE_BYTES if admitted is None else MAX_MESSAGE_BYTES
        connection = Connection(transport, head, max_bytes=max_bytes)
        if admitted is None:
            admitted = await self._identify(connection, scope)
        if isinstance(admitted, Exception):
            _close_refused(transport, connection, admitted)
        elif admitted is not None:
            self._begin_stream(transport, connection, admitted)
            return
        await connection.closed()

    async def _identify(self, connection: Connection, scope: Scope) -> StreamRequest | Exception | None:
        """Admit a client by its first message. Returns the refusal instead, or None if the client has left."""
        try:
            request = await self._waiting_room.request_with_token(connection, scope)
        except (InvalidToken, Overloaded) as error:
            self._admission.count(error)
            return error.with_traceback(None)
        if request is None:
            return None
        try:
            return await self._admission.admit(request)
        except (InvalidToken, Forbidden, ValueError, Overloaded) as error:
            return error.with_traceback(None)

    def _begin_stream(self, transport: StreamTransport, connection: Connection, request: StreamRequest) -> None:
        """Open the stream, and let the connection hold it. Both end together."""
        heartbeat = PING + self._heartbeat_event if request.heartbeat_events else PING
        stream = self._streams.open(
            protocol="websocket",
            sink=WebSocketSink(transport, connection, heartbeat=heartbeat),
            principal=request.principal,
            address=request.address,
            start=request.start,
            filter=request.filter,
        )
        with stream as subscription:
            if request.heartbeat_events:
                transport.write(self._heartbeat_event)
            connection.on_closing = subscription.leave
            if connection.closing:
                subscription.leave()
            connection.hold(stream.detach())


def _close_refused(transport: StreamTransport, connection: Connection, error: Exception) -> None:
    match error:
        case Overloaded(reason=refused):
            event, reason = refusal_event(refused)
            transport.write(encode_service_event(event))
            connection.close(CLOSE_CODES[reason], reason)
        case Forbidden():
            connection.close(FORBIDDEN, str(error))
        case _:
            connection.close(UNAUTHORIZED, str(error) or UNVERIFIED)
