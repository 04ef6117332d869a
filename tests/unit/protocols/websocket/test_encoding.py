"""Messages are read by the package ``websockets``, which did not make them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode
from websockets.protocol import CLIENT, Protocol

from sse_service.model.cursor import Cursor
from sse_service.model.events import Event
from sse_service.model.reasons import CloseReason, GapReason
from sse_service.protocols.websocket.encoding import PING, encode, encode_service_event, text_message
from sse_service.streams import service_events
from sse_service.streams.frame import make_frame

CURSOR = Cursor("life", 7)


def read(data: bytes) -> list[WireFrame]:
    """Parse a server's bytes as a client does."""
    client = Protocol(CLIENT, max_size=None)
    client.receive_data(data)
    assert client.parser_exc is None
    return [event for event in client.events_received() if isinstance(event, WireFrame)]


def message(data: bytes) -> dict[str, Any]:
    [found] = read(data)
    assert (found.opcode, found.fin) == (Opcode.TEXT, True)
    decoded: dict[str, Any] = json.loads(bytes(found.data))
    return decoded


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 262_144])
def test_a_text_of_any_length_is_one_message(size: int) -> None:
    [found] = read(text_message(b"x" * size))
    assert (found.opcode, found.fin, len(found.data)) == (Opcode.TEXT, True, size)


@pytest.mark.parametrize("data", ["", "a\r\nb\rc\n", '{"a": 1}', "é 🚀 \u2028", "\\", "\x01"])
def test_an_event_keeps_its_data_to_the_letter(data: str) -> None:
    found = message(encode(make_frame(Event("1", data, type="upload.done"), CURSOR)))
    assert found == {"event": "upload.done", "data": data, "id": str(CURSOR)}


def test_an_event_without_a_type_has_no_event_field() -> None:
    assert message(encode(make_frame(Event("1", "x"), CURSOR))) == {"data": "x", "id": str(CURSOR)}


def test_a_publishers_type_cannot_look_like_a_service_event() -> None:
    assert message(encode(make_frame(Event("1", "x", type="stream.close"), CURSOR)))["event"] == "event.stream.close"


def test_all_sockets_share_the_bytes_of_an_event_and_of_a_service_event() -> None:
    frame = make_frame(Event("1", "x"), CURSOR)
    assert encode(frame) is frame.encodings["websocket"]
    position = service_events.position(CURSOR)
    assert encode_service_event(position) is encode_service_event(position)


def test_service_events_have_id_and_retry_only_where_a_block_has_them() -> None:
    close = service_events.close(CloseReason.DRAIN, reconnect=True, retry_ms=1500)
    assert message(encode_service_event(close)) == {
        "event": "stream.close",
        "data": '{"reason":"drain","reconnect":true}',
        "retry": 1500,
    }
    gap = service_events.gap(GapReason.EPOCH, CURSOR)
    assert message(encode_service_event(gap)) == {
        "event": "stream.gap",
        "data": '{"reason":"epoch"}',
        "id": str(CURSOR),
    }


def test_a_ping_is_a_control_frame_without_payload() -> None:
    [found] = read(PING)
    assert (found.opcode, found.fin, bytes(found.data)) == (Opcode.PING, True, b"")
