"""An independent parser gets out of every block what was put into it."""

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


def event_block(data: str, kind: str | None = None) -> bytes:
    """Encode an event without chunked coding."""
    return unchunk(encode(make_frame(Event("e", data, kind), CURSOR)))


CURSOR = Cursor("life", 12, digest("e"))
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(TEXT, st.none() | st.from_regex(r"[a-z][a-z.]{0,10}", fullmatch=True))
def test_an_event_is_parsed_as_published_with_line_ends_as_lf(data: str, kind: str | None) -> None:
    written = event_block(data, kind)
    parsed = parse(written)
    expected = re.sub("\r\n|\r", "\n", data)
    assert parsed.events == [(delivered_type(kind) or "message", expected, str(CURSOR))]


def test_a_truncated_event_does_not_change_the_last_event_id() -> None:
    written = event_block("one\ntwo", "t")
    for end in range(len(written) - 1):
        parsed = parse(written[:end])
        assert parsed.events == []
        assert parsed.last_id == ""


def test_the_fields_are_in_the_order_event_data_id() -> None:
    written = event_block("x", "t")
    assert written == f"event: t\ndata: x\nid: {CURSOR}\n\n".encode()


def test_reserved_types_of_publishers_get_a_prefix() -> None:
    for name in ("stream.close", "open", "error"):
        assert delivered_type(name) == f"event.{name}"
    assert delivered_type("opened") == "opened"


def test_ready_has_a_retry_and_has_an_id_only_if_the_stream_starts_live() -> None:
    live = parse(service_event_block(service_events.ready(resumed=False, user="42", retry_ms=1500, cursor=CURSOR)))
    assert live.retry == 1500
    assert live.last_id == str(CURSOR)
    resumed = parse(service_event_block(service_events.ready(resumed=True, user="42", retry_ms=1500, cursor=None)))
    assert json.loads(resumed.events[0][1]) == {"resumed": True, "user": "42"}
    assert resumed.last_id == ""


def test_all_service_events_have_data() -> None:
    events = [
        service_events.gap(GapReason.LOST, CURSOR),
        service_events.position(CURSOR),
        service_events.close(CloseReason.DRAIN, reconnect=True),
    ]
    written = b"".join(map(service_event_block, events))
    assert [kind for kind, _, _ in parse(written).events] == ["stream.gap", "stream.cursor", "stream.close"]


def test_a_heartbeat_does_not_change_what_is_dispatched() -> None:
    written = event_block("x")
    assert parse(HEARTBEAT + written + HEARTBEAT + written).events == parse(written + written).events
