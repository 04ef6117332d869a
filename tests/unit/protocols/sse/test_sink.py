"""A sink that kept as much as it may goes on after the head, whatever the transfer coding."""

from __future__ import annotations

from typing import cast

import pytest

from sse_service.http.uvicorn.transport import StreamTransport
from sse_service.model.cursor import Cursor
from sse_service.model.events import Event
from sse_service.protocols.sse.encoding import encode, encode_service_event, unchunk
from sse_service.protocols.sse.sink import MAX_KEPT_BYTES, EventStreamSink
from sse_service.streams import service_events
from sse_service.streams.frame import make_frame


class Transport:
    """A connection that takes everything."""

    def __init__(self, *, chunked: bool) -> None:
        self.chunked = chunked
        self.on_writable = None

    def write(self, _: bytes) -> bool:
        return True

    def wake(self) -> None:
        """Nobody waits."""


@pytest.mark.parametrize("chunked", [True, False], ids=["HTTP/1.1", "HTTP/1.0"])
def test_a_sink_that_was_full_before_the_head_is_writable_after_it(chunked: bool) -> None:
    sink = EventStreamSink(cast(StreamTransport, Transport(chunked=chunked)))
    told: list[bool] = []
    sink.on_writable = lambda: told.append(True)
    size = len(encode(make_frame(Event("1", ""), Cursor("life", 1))))
    # Exactly at the limit in chunked coding, whose length field has two more digits than that of the empty event.
    frame = make_frame(Event("1", "x" * (MAX_KEPT_BYTES - size - 2)), Cursor("life", 1))
    assert len(encode(frame)) == MAX_KEPT_BYTES
    assert not sink.write(frame)
    sink.begin()
    assert told == [True]


def test_a_client_that_asks_for_heartbeat_events_gets_no_comment() -> None:
    written: list[bytes] = []

    class Recorder(Transport):
        def write(self, data: bytes) -> bool:
            written.append(data)
            return True

    heartbeat = encode_service_event(service_events.heartbeat(15))
    sink = EventStreamSink(cast(StreamTransport, Recorder(chunked=True)), heartbeat=heartbeat)
    sink.begin()
    sink.heartbeat()
    assert [unchunk(block) for block in written] == [b'event: stream.heartbeat\ndata: {"seconds":15}\n\n'] * 2
