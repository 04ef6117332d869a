"""Encoded events are decoded unchanged, and anything else is a ValueError."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sse_service.brokers.valkey.entries import decode, decode_message, encode
from sse_service.model.cursor import digest
from sse_service.model.events import Event, Route, group_channel, user_channel

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
