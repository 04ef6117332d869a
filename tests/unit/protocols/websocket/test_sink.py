"""A sink writes to its transport, and resets a connection only if its peer takes nothing."""

from __future__ import annotations

from typing import cast

import pytest

from sse_service.http.uvicorn.transport import StreamTransport
from sse_service.protocols.websocket.connection import Connection
from sse_service.protocols.websocket.encoding import PING, encode_service_event
from sse_service.protocols.websocket.sink import WebSocketSink
from sse_service.streams import service_events
from sse_service.streams.sink import Progress


class Transport:
    """A connection that takes everything."""

    def __init__(self, *, pending: bool = False) -> None:
        self.written: list[bytes] = []
        self.aborted = False
        self._pending = pending

    def write(self, data: bytes) -> bool:
        self.written.append(data)
        return True

    def progress(self) -> Progress:
        return Progress(0, pending=self._pending)

    def abort(self) -> None:
        self.aborted = True


class Handshake:
    """Stands for the connection: whether its closing handshake has begun."""

    def __init__(self, *, closing: bool = False) -> None:
        self.closing = closing
        self.on_writable = None


def sink(transport: Transport, *, closing: bool = False, heartbeat: bytes = PING) -> WebSocketSink:
    connection = cast(Connection, Handshake(closing=closing))
    return WebSocketSink(cast(StreamTransport, transport), connection, heartbeat=heartbeat)


@pytest.mark.parametrize("message", [b"", encode_service_event(service_events.heartbeat(15))])
def test_a_heartbeat_is_a_ping_and_a_message_if_the_client_asked_for_it(message: bytes) -> None:
    transport = Transport()
    assert sink(transport, heartbeat=PING + message).heartbeat()
    assert transport.written == [PING + message]


@pytest.mark.parametrize(
    ("pending", "closing", "reset"),
    [(True, False, True), (False, False, False), (False, True, True)],
    ids=["a peer that takes nothing", "a peer that has taken everything", "a peer that was told already"],
)
def test_a_cut_resets_a_connection_unless_its_peer_can_be_told_why(pending: bool, closing: bool, reset: bool) -> None:
    transport = Transport(pending=pending)
    sink(transport, closing=closing).abort()
    assert transport.aborted is reset
