"""The parser of event streams agrees with the independent one, wherever the bytes are cut."""

from __future__ import annotations

import pytest

from sse_service.tail.blocks import Block, StreamParser

STREAM = (
    "\ufeff:\nevent: stream.ready\nretry: 2000\ndata: {}\nid: 1\n\n"
    "data: ä\r\ndata:b\r\n\r\nevent: named\rdata\r\rid: x\0\ndata: c\n\n: comment\n\nevent: no data\n\ndata: cut"
).encode()
BLOCKS = [
    Block("stream.ready", "{}", "1", 2000),
    Block("message", "ä\nb", "1"),
    Block("named", "", "1"),
    Block("message", "c", "1"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_stream_is_parsed_in_parts_of_any_size(size: int) -> None:
    parser = StreamParser()
    found = [block for at in range(0, len(STREAM), size) for block in parser.feed(STREAM[at : at + size])]
    assert found == BLOCKS
