"""Readers that stall, read slowly, pause or disconnect, on real sockets. None of them affects other streams."""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conformance.parser import Message, parse
from tests.integration.chain import Chain, queue_stub, service
from tests.integration.process import DEADLINE
from tests.integration.websocket_wire import PING, PONG, TEXT, frame, opened

CUT_SECONDS = 45
"""How long a stalled reader may stay."""

SMALL_BUFFER = 4096


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    """A service with short stream queues and no limit on new streams."""
    settings = {"stream_queue_events": "5", "history_events": "1000", "opens_per_second": "0", "log_level": "info"}
    with queue_stub() as url, service(url, **settings) as running:
        yield running


class Reader:
    """A client that reads only when it is told to."""

    def __init__(self, chain: Chain, user: str, *, query: str = "", buffer: int | None = SMALL_BUFFER) -> None:
        self.raw = b""
        self._socket = socket.socket()
        if buffer is not None:
            # Set it before connecting, because the window is negotiated then.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        host, _, port = chain.url.removeprefix("http://").partition(":")
        self._socket.settimeout(DEADLINE)
        self._socket.connect((host, int(port)))
        authorization = chain.headers(user)["Authorization"]
        self._socket.sendall(
            f"GET /events{query} HTTP/1.0\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n".encode()
        )

    def read(self, size: int = 65536) -> bytes:
        """Read at most ``size`` bytes. Returns no bytes at the end."""
        data = self._socket.recv(size)
        self.raw += data
        return data

    def read_until(self, marker: str) -> None:
        while marker.encode() not in self.raw:
            assert self.read(), self.raw[-500:]

    def cut_within(self, seconds: float) -> bool:
        """Return whether the server cuts the connection within ``seconds``. It asks the kernel and reads nothing."""
        poll = select.poll()
        poll.register(self._socket, 0)  # errors and hang-ups are always reported
        return bool(poll.poll(seconds * 1000))

    @property
    def messages(self) -> list[Message]:
        return parse(self.raw.partition(b"\r\n\r\n")[2]).events

    @property
    def numbers(self) -> list[str]:
        """The numbers that ``numbered`` gave the events."""
        return [m.data.partition(" ")[0] for m in self.messages if not m.type.startswith("stream.")]

    def close(self) -> None:
        self._socket.close()


def user() -> str:
    """Return a user that no other test uses."""
    return uuid.uuid4().hex


def numbered(count: int, *, size: int) -> list[str]:
    return [f"{n} " + "x" * size for n in range(count)]


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < until, "the condition did not become true"


def descriptors(chain: Chain) -> int:
    return len(os.listdir(f"/proc/{chain.process.pid}/fd"))


def publish(chain: Chain, name: str, texts: list[str]) -> None:
    """Publish texts and wait until all are stored."""
    stored = chain.metric("sse_events_stored_total")
    for start in range(0, len(texts), 50):
        chain.put(*texts[start : start + 50], user_id=name)
    chain.wait_for_metric("sse_events_stored_total", stored + len(texts))


def crawl(reader: Reader, seconds: float) -> int:
    """Read one kilobyte a second until cut. Return the number of bytes."""
    start, taken = time.monotonic(), 0
    while (gone := time.monotonic() - start) < seconds and not reader.cut_within(0.05):
        if (due := int(gone * 1024) - taken) > 0:
            taken += len(reader.read(due))
    return taken


def test_a_stalled_reader_is_cut_and_a_slow_one_is_not(chain: Chain) -> None:
    stalling, crawling, other = user(), user(), user()
    texts = numbered(60, size=10_000)
    open_before = chain.metric("sse_streams_open")
    with (
        contextlib.closing(Reader(chain, stalling)) as stalled,
        contextlib.closing(Reader(chain, crawling)) as crawler,
        opened(chain.url, chain.headers(stalling), buffer=SMALL_BUFFER) as socket_stalled,
        chain.stream(other) as sound,
        ThreadPoolExecutor() as pool,
    ):
        for reader in (stalled, crawler):
            reader.read_until("stream.ready")
        socket_stalled.until_event("stream.ready")
        publish(chain, stalling, texts)
        publish(chain, crawling, texts)
        crawled = pool.submit(crawl, crawler, CUT_SECONDS)
        assert not stalled.cut_within(25)
        assert not socket_stalled.cut_within(0)
        assert stalled.cut_within(CUT_SECONDS - 25)
        assert socket_stalled.cut_within(CUT_SECONDS - 25)
        chain.wait_for_metric('sse_streams_closed_total{reason="slow"}', 2)
        chain.put("still here", user_id=other)
        sound.wait_for("still here")
        assert crawled.result() > 20 * 1024
        assert not crawler.cut_within(0)
        crawler.read_until(f"data: {texts[-1]}\n")
        assert crawler.numbers == [str(n) for n in range(len(texts))]
        assert "stream.gap" not in [m.type for m in crawler.messages]
        assert chain.metric('sse_streams_closed_total{reason="slow"}') == 2
        assert sound.data == ["still here"]
    chain.wait_for_metric("sse_streams_open", open_before)


def test_a_reader_that_pauses_gets_everything_from_history_once_and_in_order(chain: Chain) -> None:
    name = user()
    texts = numbered(300, size=5_000)
    with contextlib.closing(Reader(chain, name)) as reader:
        reader.read_until("stream.ready")
        publish(chain, name, texts[:-1])
        replays = chain.metric("sse_replay_events_sum")
        reader.read_until(f"data: {texts[-2]}\n")
        publish(chain, name, texts[-1:])
        reader.read_until(f"data: {texts[-1]}\n")
        assert reader.numbers == [str(n) for n in range(len(texts))]
        assert "stream.gap" not in [m.type for m in reader.messages]
        assert "stream.cursor" in [m.type for m in reader.messages]
        # Most came from History, not from the queue.
        assert chain.metric("sse_replay_events_sum") > replays + 100


def test_a_socket_that_pauses_gets_everything_from_history_and_the_answers_to_its_pings(chain: Chain) -> None:
    name = user()
    texts = numbered(300, size=5_000)
    with opened(chain.url, chain.headers(name), buffer=SMALL_BUFFER) as reader:
        reader.until_event("stream.ready")
        # While it reads nothing, its pings are read no more: their answers would fill the memory.
        reader.send(frame(PING, b"first"))
        publish(chain, name, texts[:-1])
        replays = chain.metric("sse_replay_events_sum")
        reader.send(b"".join(frame(PING, b"%d" % number) for number in range(500)))
        numbers, pongs = [], 0
        while len(numbers) < len(texts) - 1 or pongs < 501:
            found = reader.frame()
            pongs += found.opcode == PONG
            if found.opcode == TEXT and "event" not in found.message:
                numbers.append(found.message["data"].partition(" ")[0])
        assert numbers == [str(n) for n in range(len(texts) - 1)]
        assert chain.metric("sse_replay_events_sum") > replays + 100
        publish(chain, name, texts[-1:])
        while (found := reader.until(TEXT).message).get("event") == "stream.cursor":
            pass
        assert found["data"] == texts[-1]


def test_a_reader_resumes_after_the_last_event_that_it_read(chain: Chain) -> None:
    name = user()
    texts = numbered(200, size=5_000)
    with contextlib.closing(Reader(chain, name)) as reader:
        reader.read_until("stream.ready")
        publish(chain, name, texts)
        reader.read_until("data: 20 ")
    shown = reader.numbers
    with chain.stream(name, last=parse(reader.raw.partition(b"\r\n\r\n")[2]).last_id) as stream:
        stream.wait_for(texts[-1])
        assert shown + [text.partition(" ")[0] for text in stream.data] == [str(n) for n in range(len(texts))]
        assert "stream.gap" not in stream.types


def test_a_client_that_leaves_during_a_replay_leaves_no_stream_behind(chain: Chain) -> None:
    name = user()
    publish(chain, name, numbered(200, size=5_000))
    before = chain.metric("sse_streams_open")
    for _ in range(20):
        reader = Reader(chain, name, query="?since=all")
        reader.read_until("data: 3 ")
        reader.close()
    chain.wait_for_metric("sse_streams_open", before)
    assert chain.get("/readyz").status_code == 200


def test_opening_and_closing_many_streams_while_events_flow_leaves_nothing_behind(chain: Chain) -> None:
    name = user()
    # The connections of this test's own client are open by now.
    open_before, files_before = chain.metric("sse_streams_open"), descriptors(chain)
    for number in range(200):
        with contextlib.closing(Reader(chain, name, buffer=None)) as reader:
            if number % 2:
                reader.read_until("stream.ready")
            if number % 10 == 0:
                chain.put(f"event {number}", user_id=name)
    chain.wait_for_metric("sse_streams_open", open_before)
    wait_until(lambda: descriptors(chain) <= files_before)
    assert not re.search(r"ERROR|Traceback", chain.process.output)
