"""The size that routing computes is the size of what an event stream writes."""

from hypothesis import given
from hypothesis import strategies as st

from sse_service.model.cursor import Cursor
from sse_service.model.events import Event
from sse_service.protocols.sse.encoding import encode
from sse_service.routing.fields import encoded_size, exceeds
from sse_service.streams.frame import make_frame

UNICODE = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
LINES = st.lists(st.sampled_from(["\r", "\n", "\r\n", "a", "é", "😀", "\u2028", "\v"])).map("".join)


def written(data: str) -> int:
    block = encode(make_frame(Event("e", data), Cursor("life", 1)))
    return sum(len(line) + len(b"\n") for line in block.split(b"\n") if line.startswith(b"data: "))


@given(UNICODE | LINES)
def test_encoded_size_is_the_size_of_the_data_lines_that_the_protocol_writes(data: str) -> None:
    assert encoded_size(data) == written(data)


@given(UNICODE | LINES)
def test_a_text_exceeds_only_a_limit_below_its_size(data: str) -> None:
    assert not exceeds(data, written(data))
    assert exceeds(data, written(data) - 1)
