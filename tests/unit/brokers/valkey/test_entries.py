"""Encoded events are decoded unchanged, and anything else is a ValueError."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sse_service.brokers.valkey.entries import decode, decode_message, encode
from sse_service.model.cursor import digest
from sse_service.model.events import BROADCAST, Event, Route, group_channel, user_channel

# Texts with a special meaning in keys, patterns or messages of the server.
SPECIAL = st.sampled_from(
    [":", "{}", "{sse}:book", "*", " ", "\n", "\r\n", "\u2028", "é", "\U0001f600", '"', "\\", "["]
)
TEXT = st.one_of(st.text(), st.lists(st.one_of(SPECIAL, st.text(max_size=3)), max_size=5).map("".join))
CHANNEL = st.one_of(TEXT.map(user_channel), TEXT.map(group_channel), TEXT)
EVENT = st.builds(
    Event, id=TEXT, data=TEXT, type=st.none() | TEXT, subject=st.none() | TEXT, time=st.none() | st.just("2026-01-01")
)
ROUTE = st.builds(Route, EVENT, st.lists(CHANNEL, max_size=5).map(tuple))
OFFSET = st.integers(1, 10**18 - 1)
EPOCH = "6123456789abc-0123abcd"


@settings(deadline=None)
@given(route=ROUTE, offset=OFFSET)
def test_an_entry_is_decoded_as_it_was_encoded(route: Route, offset: int) -> None:
    entry = decode(encode(route), epoch=EPOCH, offset=offset)
    assert (entry.event, entry.channels) == (route.event, route.channels)
    assert (entry.cursor.epoch, entry.cursor.offset) == (EPOCH, offset)
    assert entry.cursor.digest == digest(route.event.id)


@settings(deadline=None)
@given(one=ROUTE, other=ROUTE)
def test_different_routes_are_encoded_differently(one: Route, other: Route) -> None:
    assert (encode(one) == encode(other)) == (one == other)


@settings(deadline=None)
@given(route=ROUTE, offset=OFFSET, previous=st.integers(0, 10**18 - 1))
def test_a_message_is_split_at_its_first_line_end_only(route: Route, offset: int, previous: int) -> None:
    event = encode(route)
    message = f"{EPOCH} {offset} {previous}\n".encode() + event
    assert decode_message(message) == (EPOCH, offset, previous, event)


@settings(deadline=None)
@given(route=ROUTE)
def test_an_encoded_event_has_no_line_end(route: Route) -> None:
    assert b"\n" not in encode(route)


@pytest.mark.parametrize(
    "message",
    [b"", b"\n", b"e", b"e 1\n", b"e 1 2 3\n", b"e x 0\n", b"e 1 y\n", b"e 1.5 0\n", b"\xff 1 0\n", b"\n" + b"e 1 0"],
)
def test_a_malformed_message_is_a_value_error(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_message(message)


@settings(deadline=None)
@given(message=st.binary())
def test_arbitrary_bytes_are_a_message_or_a_value_error(message: bytes) -> None:
    try:
        decode_message(message)
    except ValueError:
        return
    assert len(message.partition(b"\n")[0].split()) == 3


@pytest.mark.parametrize(
    "raw", [b"", b"junk", b"\xff", b"{}", b"[]", b'["a",null,null,null,"x"]', b'["a",null,null,null,"x",[],1]']
)
def test_a_malformed_entry_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(raw, epoch=EPOCH, offset=1)


@pytest.mark.parametrize("raw", [b"5", b"null", b"[1,2,3,4,5,6]", b'["a",null,null,null,"x",null]'])
def test_an_entry_with_wrong_field_types_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(raw, epoch=EPOCH, offset=1)


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@settings(deadline=None)
@given(route=ROUTE.filter(lambda route: route.channels))
def test_an_event_is_decoded_with_its_trace(route: Route) -> None:
    event = replace(route.event, trace=TRACE)
    entry = decode(encode(Route(event, route.channels)), epoch=EPOCH, offset=1)
    assert (entry.event, entry.event.trace, entry.channels) == (event, TRACE, route.channels)


def test_version_0_1_reads_an_event_with_a_trace_as_one_with_a_channel_that_nobody_can_have() -> None:
    encoded = encode(Route(Event("a", "x", trace=TRACE), ("user:1", "broadcast")))
    # All that its decoder did with the result.
    event_id, kind, subject, time, data, channels = orjson.loads(encoded)
    assert (event_id, kind, subject, time, data) == ("a", None, None, None, "x")
    assert tuple(channels) == ("user:1", "broadcast", f"trace:{TRACE}")
    possible = (user_channel("trace:"), group_channel("trace:"), BROADCAST)
    assert not any(channel.startswith("trace:") for channel in possible)


def test_the_trace_costs_an_event_without_one_no_byte() -> None:
    assert encode(Route(Event("a", "x"), ("user:1",))) == b'["a",null,null,null,"x",["user:1"]]'
