"""When a tail comes back, and with which token and cursor."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Sequence
from itertools import count

import aiohttp
import pytest

from sse_service.tail import run as running
from sse_service.tail.blocks import Block, Lost, Refused
from sse_service.tail.listeners import LISTENERS, Request
from sse_service.tail.printer import OutputClosed, Printer
from sse_service.tail.run import MAX_PAUSE_SECONDS, NEW_TOKEN_SECONDS, Tail

READY = Block("stream.ready", "{}", None, 2000)


class Service:
    """Plays one connection after the other. Time does not pass while a tail waits to come back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *connections: Sequence[Block | Exception]) -> None:
        self._connections = list(connections)
        self.requests: list[Request] = []
        self.pauses: list[float] = []
        self.notes: list[str] = []
        monkeypatch.setitem(LISTENERS, "sse", self._listen)  # type: ignore[arg-type]  # a listener of the test
        monkeypatch.setattr(running.asyncio, "sleep", self._pause)

    async def _listen(self, _: aiohttp.ClientSession, request: Request) -> AsyncGenerator[Block, None]:
        self.requests.append(Request(request.url, request.token, dict(request.query)))
        if not self._connections:
            raise Refused("the test is over")
        for item in self._connections.pop(0):
            if isinstance(item, Exception):
                raise item
            yield item

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def tail(self, out: io.StringIO | None = None, **query: str) -> str:
        """Follow until the service has played everything, and return what was printed."""
        out = out or io.StringIO()
        numbers = count(1)
        tail = Tail(
            url="http://127.0.0.1",
            protocol="sse",
            query=query,
            token=lambda: f"token {next(numbers)}",
            printer=Printer(out, as_json=False, environment={}),
            note=self.notes.append,
        )
        with pytest.raises(Refused):
            asyncio.run(tail.run())
        return out.getvalue()


def test_each_connection_goes_on_at_the_last_id_with_a_new_token(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(
        monkeypatch, [READY, Block("message", "1", "e.1.a")], [READY, Block("stream.cursor", "{}", "e.2.0")]
    )
    service.tail(types="message")
    assert [request.query.get("lastEventId") for request in service.requests] == [None, "e.1.a", "e.2.0"]
    assert [request.token for request in service.requests] == ["token 1", "token 2", "token 3"]
    assert {request.query["types"] for request in service.requests} == {"message"}


def test_the_pause_that_the_service_names_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    close = Block("stream.close", '{"reason":"drain","reconnect":true}', None, 700)
    service = Service(monkeypatch, [READY], [READY, close], [Lost("503", retry_seconds=7)])
    service.tail()
    assert service.pauses == [2, 0.7, 7]


def test_pauses_grow_to_a_limit_and_begin_anew_once_a_connection_works(monkeypatch: pytest.MonkeyPatch) -> None:
    # The failures of a night: 2.0 ** 1100 is no float.
    service = Service(monkeypatch, *[[aiohttp.ClientError()]] * 1100, [Block("stream.ready", "{}")], [Lost("")])
    service.tail()
    for number, seconds in enumerate(service.pauses[:1100], 1):
        longest = min(MAX_PAUSE_SECONDS, 0.5 * 2 ** min(number, 10))
        assert longest / 2 <= seconds <= longest
    assert len(set(service.pauses)) > 1000
    assert service.pauses[1100] <= 1
    assert service.pauses[1101] <= 2


def test_a_token_that_has_expired_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Block("stream.close", '{"reason":"expired","reconnect":false}')
    service = Service(monkeypatch, [READY, closed], [READY, Refused("401: the token has expired")])
    service.tail()
    assert service.pauses == [NEW_TOKEN_SECONDS, NEW_TOKEN_SECONDS]
    assert len(service.requests) == 3


def test_a_token_that_never_worked_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(monkeypatch, [Refused("401")])
    service.tail()
    assert len(service.requests) == 1


@pytest.mark.parametrize("event", ["stream.close", "stream.heartbeat", "stream.ready"])
@pytest.mark.parametrize("data", ["", "x", "[]", "null", '{"reconnect":1,"seconds":"x"}'])
def test_a_service_event_without_meaning_does_no_harm(monkeypatch: pytest.MonkeyPatch, event: str, data: str) -> None:
    service = Service(monkeypatch, [Block(event, data)], [READY])
    service.tail()
    assert len(service.requests) == 3


def test_a_person_sees_what_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [READY, Block("stream.gap", "gap"), Block("message", "1"), Block("stream.close", "close")]
    hidden = [Block("stream.heartbeat", '{"seconds":15}'), Block("stream.cursor", "{}", "e.1.0")]
    lines = Service(monkeypatch, [*hidden, *shown]).tail().splitlines()
    assert [line.split("  ")[1] for line in lines] == [block.event for block in shown]


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "No space left on device")])
def test_output_that_cannot_be_written_is_no_loss_of_the_connection(
    monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    class Full(io.StringIO):
        def write(self, text: str, /) -> int:
            raise error

    service = Service(monkeypatch, [READY, READY])
    with pytest.raises(OutputClosed):
        service.tail(Full())
    assert len(service.requests) == 1
