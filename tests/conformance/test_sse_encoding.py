"""Every block we write, parsed by an independent parser, is what was meant."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from sse_service.model.cursor import Cursor, digest
from sse_service.model.events import Event
from sse_service.model.reasons import CloseReason, GapReason
from sse_service.protocols.sse.encoding import HEARTBEAT, encode, service_event_block, unchunk
from sse_service.streams import service_events
from sse_service.streams.frame import delivered_type, make_frame
from tests.conformance.parser import parse


def event(data: str, kind: str | None = None) -> bytes:
    """The block of an event."""
    return unchunk(encode(make_frame(Event("e", data, kind), CURSOR)))


CURSOR = Cursor("life", 12, digest("e"))
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(TEXT, st.none() | st.from_regex(r"[a-z][a-z.]{0,10}", fullmatch=True))
def test_an_event_arrives_as_published_with_line_ends_made_lf(data: str, kind: str | None) -> None:
    written = event(data, kind)
    parsed = parse(written)
    meant = re.sub("\r\n|\r", "\n", data)
    assert parsed.events == [(delivered_type(kind) or "message", meant, str(CURSOR))]


def test_an_event_cut_anywhere_moves_no_id() -> None:
    written = event("one\ntwo", "t")
    for end in range(len(written) - 1):
        parsed = parse(written[:end])
        assert parsed.events == []
        assert parsed.last_id == ""


def test_fields_come_as_event_data_id() -> None:
    written = event("x", "t")
    assert written == f"event: t\ndata: x\nid: {CURSOR}\n\n".encode()


def test_a_publisher_cannot_speak_for_the_stream_or_fire_open_and_error() -> None:
    for name in ("stream.close", "open", "error"):
        assert delivered_type(name) == f"event.{name}"
    assert delivered_type("opened") == "opened"


def test_ready_carries_retry_and_an_id_only_when_it_starts_live() -> None:
    live = parse(service_event_block(service_events.ready(resumed=False, user="42", retry_ms=1500, cursor=CURSOR)))
    assert live.retry == 1500
    assert live.last_id == str(CURSOR)
    resumed = parse(service_event_block(service_events.ready(resumed=True, user="42", retry_ms=1500, cursor=None)))
    assert json.loads(resumed.events[0][1]) == {"resumed": True, "user": "42"}
    assert resumed.last_id == ""


def test_service_events_all_have_data() -> None:
    told = [
        service_events.gap(GapReason.LOST, CURSOR),
        service_events.position(CURSOR),
        service_events.close(CloseReason.DRAIN, reconnect=True),
    ]
    written = b"".join(map(service_event_block, told))
    assert [kind for kind, _, _ in parse(written).events] == ["stream.gap", "stream.cursor", "stream.close"]


def test_a_heartbeat_dispatches_nothing_and_splits_nothing() -> None:
    written = event("x")
    assert parse(HEARTBEAT + written + HEARTBEAT + written).events == parse(written + written).events
