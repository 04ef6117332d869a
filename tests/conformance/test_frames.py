"""Every block we write, parsed by an independent parser, is what was meant."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from sse_service.model.cursor import Cursor, digest
from sse_service.model.events import Event
from sse_service.model.reasons import GapReason
from sse_service.protocols.sse import frames
from tests.conformance.parser import parse

CURSOR = Cursor("life", 12, digest("e"))
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(TEXT, st.none() | st.from_regex(r"[a-z][a-z.]{0,10}", fullmatch=True))
def test_an_event_arrives_as_published_with_line_ends_made_lf(data: str, kind: str | None) -> None:
    block = frames.event(Event("e", data, kind), CURSOR)
    parsed = parse(block)
    meant = re.sub("\r\n|\r", "\n", data)
    assert parsed.events == [(frames.delivered_type(kind) or "message", meant, str(CURSOR))]


def test_an_event_cut_anywhere_moves_no_id() -> None:
    block = frames.event(Event("e", "one\ntwo", "t"), CURSOR)
    for end in range(len(block) - 1):
        parsed = parse(block[:end])
        assert parsed.events == []
        assert parsed.last_id == ""


def test_fields_come_as_event_data_id() -> None:
    block = frames.event(Event("e", "x", "t"), CURSOR)
    assert block == f"event: t\ndata: x\nid: {CURSOR}\n\n".encode()


def test_a_publisher_cannot_speak_for_the_stream_or_fire_open_and_error() -> None:
    for name in ("stream.close", "open", "error"):
        assert frames.delivered_type(name) == f"event.{name}"
    assert frames.delivered_type("opened") == "opened"


def test_ready_carries_retry_and_an_id_only_when_it_starts_live() -> None:
    live = parse(frames.ready(resumed=False, user="42", retry_ms=1500, cursor=CURSOR))
    assert live.retry == 1500
    assert live.last_id == str(CURSOR)
    resumed = parse(frames.ready(resumed=True, user="42", retry_ms=1500))
    assert json.loads(resumed.events[0][1]) == {"resumed": True, "user": "42"}
    assert resumed.last_id == ""


def test_service_events_all_have_data() -> None:
    blocks = [frames.gap(GapReason.LOST, CURSOR), frames.position(CURSOR), frames.close("drain", reconnect=True)]
    assert [kind for kind, _, _ in parse(b"".join(blocks)).events] == ["stream.gap", "stream.cursor", "stream.close"]


def test_a_heartbeat_dispatches_nothing_and_splits_nothing() -> None:
    event = frames.event(Event("e", "x"), CURSOR)
    assert parse(frames.HEARTBEAT + event + frames.HEARTBEAT + event).events == parse(event + event).events


def test_size_counts_the_encoded_lines() -> None:
    assert frames.data_size("é\nx") == len("data: é\ndata: x\n".encode())
