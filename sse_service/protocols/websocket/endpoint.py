"""``GET /ws``: admits the handshake, or takes the token from the first message, and sends the caller's events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from starlette.requests import Request
from starlette.responses import Response

from sse_service.http.pacer import Pacer
from sse_service.http.problems import problem
from sse_service.http.uvicorn.transport import take_transport
from sse_service.model.errors import Forbidden, InvalidToken, MissingToken, Overloaded
from sse_service.model.reasons import CloseReason, RefusalReason
from sse_service.protocols.refusal import refusal, retry_ms
from sse_service.protocols.websocket.connection import SUBPROTOCOL, WebSocketConnection, answer_handshake
from sse_service.protocols.websocket.encoding import encode_service_event
from sse_service.protocols.websocket.sink import WebSocketSink
from sse_service.streams import service_events

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from sse_service.http.uvicorn.transport import StreamTransport
    from sse_service.protocols.admission import Admission, StreamRequest
    from sse_service.streams.registry import StreamRegistry

TOKEN_SECONDS = 10.0
"""How long a client that sent no credential with its handshake may take to send its token."""

MAX_WAITING = 1000
"""Sockets of this task that may wait for a token at once. Anybody can open one."""

NO_CREDENTIAL = 4401
FORBIDDEN = 4403
TRY_LATER = 1013
"""Close codes from RFC 6455's private range, and one registered with IANA."""

CLOSE_CODES = {
    CloseReason.DRAIN: 1012,
    CloseReason.SLOW: TRY_LATER,
    CloseReason.EXPIRED: NO_CREDENTIAL,
    CloseReason.LIMIT: TRY_LATER,
    CloseReason.MAX_AGE: 1000,
    CloseReason.ERROR: 1011,
    CloseReason.REVOKED: NO_CREDENTIAL,
}
"""How a socket is closed after ``stream.close``."""


class WebSocketEndpoint:
    """An ASGI application for HTTP requests: until it is accepted, a handshake is one."""

    def __init__(self, *, admission: Admission, streams: StreamRegistry, heartbeat_seconds: int) -> None:
        self._admission = admission
        self._streams = streams
        self._heartbeat_event = encode_service_event(service_events.heartbeat(heartbeat_seconds))
        self._pacer = Pacer()
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a WebSocket, or with an error."""
        await self._pacer.wait()
        answer = answer_handshake(scope)
        if answer.status_code != 101:
            await _not_a_handshake(answer.status_code)(scope, receive, send)
            return
        if answer.headers.get("Sec-WebSocket-Protocol") is None and _offers_subprotocols(scope):
            await problem(400, f"the only subprotocol is {SUBPROTOCOL}")(scope, receive, send)
            return
        admitted = await self._admit(scope)
        if isinstance(admitted, Response):
            await admitted(scope, receive, send)
            return
        transport = take_transport(scope)
        if transport.closed:
            return
        connection = WebSocketConnection(transport, answer)
        del answer
        if isinstance(admitted, MissingToken):
            decided = await self._admit_by_message(scope, connection)
        else:
            decided = admitted
        transport.release_request()
        connection.ignore_messages()
        match decided:
            case int(code):
                await connection.close(code)
            case Overloaded(reason=reason):
                await self._turn_away(transport, connection, reason)
            case _:
                await self._stream(transport, connection, decided)

    async def _admit(self, scope: Scope) -> StreamRequest | Overloaded | MissingToken | Response:
        """Admit a handshake. Code in a page cannot see how it was refused, so an overloaded task accepts it first."""
        try:
            return await self._admission.admit(Request(scope), token_may_follow=True)
        except (Overloaded, MissingToken) as error:
            # Only what is caught here is kept, without its traceback, which would keep this frame.
            return error.with_traceback(None)
        except (InvalidToken, Forbidden, ValueError) as error:
            return refusal(error)

    async def _admit_by_message(
        self, scope: Scope, connection: WebSocketConnection
    ) -> StreamRequest | Overloaded | int:
        """Admit by the token of the first message, or return the code to close with."""
        if self._waiting >= MAX_WAITING:
            return Overloaded(RefusalReason.RATE)
        self._waiting += 1
        try:
            message = await connection.first_message(TOKEN_SECONDS)
        finally:
            self._waiting -= 1
        try:
            token = orjson.loads(message or "")["token"].encode("ascii")
        except (ValueError, TypeError, KeyError, AttributeError):
            return NO_CREDENTIAL
        headers = [*scope["headers"], (b"authorization", b"Bearer " + token)]
        try:
            return await self._admission.admit(Request({**scope, "headers": headers}))
        except Overloaded as error:
            return error.with_traceback(None)
        except InvalidToken:
            return NO_CREDENTIAL
        except (Forbidden, ValueError):
            return FORBIDDEN

    async def _turn_away(
        self, transport: StreamTransport, connection: WebSocketConnection, reason: RefusalReason
    ) -> None:
        why = CloseReason.DRAIN if reason is RefusalReason.DRAIN else CloseReason.LIMIT
        event = service_events.close(why, reconnect=True, retry_ms=retry_ms(reason))
        transport.write(encode_service_event(event))
        await connection.close(CLOSE_CODES[why])

    async def _stream(
        self, transport: StreamTransport, connection: WebSocketConnection, request: StreamRequest
    ) -> None:
        """Send events. The Subscription is opened around the connection's life, so that both end together."""
        heartbeat = self._heartbeat_event if request.heartbeat_events else None
        sink = WebSocketSink(transport, connection, heartbeat=heartbeat)
        with self._streams.open(
            protocol="websocket",
            sink=sink,
            principal=request.principal,
            address=request.address,
            start=request.start,
            filter=request.filter,
        ) as subscription:
            if heartbeat is not None:
                sink.heartbeat()
            while connection.open and not (subscription.closed or transport.closed):
                await transport.wait()
            reason = subscription.close_reason
            # Inside the with block, so that the timer still watches a client that stalls on the last bytes.
            await connection.close(CLOSE_CODES[reason] if reason is not None else 1000)


def _offers_subprotocols(scope: Scope) -> bool:
    return any(name == b"sec-websocket-protocol" for name, _ in scope["headers"])


def _not_a_handshake(status: int) -> Response:
    """Make the answer to a request that is no WebSocket handshake of version 13."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade, close"} if status == 426 else {}
    if status == 400:
        # RFC 6455 §4.4: tell which version is spoken.
        headers = {"Sec-WebSocket-Version": "13"}
    return problem(status, "this path answers only WebSocket handshakes (RFC 6455)", headers=headers)
