"""Concurrent calls of ``publish`` share a script. Each caller gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from sse_service.brokers.valkey import publisher as room
from sse_service.brokers.valkey.connections import Connections
from sse_service.brokers.valkey.losses import LossDetector
from sse_service.brokers.valkey.publisher import ValkeyPublisher
from sse_service.model.errors import Unavailable
from sse_service.model.events import Event, Route
from sse_service.telemetry.metrics import Metrics

LIMITS = (200, 3_600_000_000, 2**26, 900_000_000, 1_000_000)


class Server:
    """Takes the place of the connections. The test answers each script."""

    run_id = "run id"

    def __init__(self) -> None:
        self.scripts: list[tuple[list[bytes], asyncio.Future[Any]]] = []
        """The events of each script, and its answer."""
        self.failures: list[str] = []
        self.metrics = Metrics()
        self.publisher = ValkeyPublisher(
            connections=cast(Connections, self),
            losses=LossDetector(on_lost=lambda _: None, metrics=self.metrics),
            metrics=self.metrics,
            prefix="live:",
            limits=LIMITS,
        )

    @property
    def storing(self) -> Server:
        return self

    async def call(self, *arguments: Any) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.scripts.append(([part for part in arguments if isinstance(part, bytes) and part[:1] == b"["], answer))
        return await answer

    def operation_succeeded(self, operation: str) -> None: ...

    def operation_failed(self, operation: str, error: Unavailable) -> None:
        self.failures.append(str(error))

    def publish(self, *names: str, data: str = "x") -> asyncio.Task[None]:
        routes = [Route(Event(name, data), ("user:1",)) for name in names]
        return asyncio.create_task(self.publisher.publish(routes))

    def names(self, number: int) -> list[str]:
        return [event.split(b'"')[1].decode() for event in self.scripts[number][0]]

    async def answer(self, number: int, *answers: bytes) -> None:
        events, answer = self.scripts[number]
        answer.set_result([*(answers or (b"5",) * len(events)), b"epoch"])
        await turns()


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def run(test: Callable[[Server], Coroutine[Any, Any, None]]) -> None:
    async def work() -> None:
        await test(Server())

    asyncio.run(work())


def test_a_call_does_not_wait_for_others_and_those_that_come_meanwhile_go_together_in_order() -> None:
    async def test(server: Server) -> None:
        first = server.publish("a")
        await turns()
        assert server.names(0) == ["a"]
        later = [server.publish("b", "c"), server.publish("d")]
        await turns()
        assert len(server.scripts) == 1
        await server.answer(0)
        await first
        assert server.names(1) == ["b", "c", "d"]
        await server.answer(1)
        await asyncio.gather(*later)
        assert "sse_events_stored_total 4.0" in server.metrics.render().decode()

    run(test)


def test_the_duplicates_of_all_callers_are_counted() -> None:
    async def test(server: Server) -> None:
        callers = [server.publish("a", "b"), server.publish("c")]
        await turns()
        await server.answer(0, b"5", b"same", b"differing")
        await asyncio.gather(*callers)
        text = server.metrics.render().decode()
        assert "sse_events_stored_total 1.0" in text
        assert 'sse_duplicates_total{kind="same"} 1.0' in text
        assert 'sse_duplicates_total{kind="differing"} 1.0' in text

    run(test)


@pytest.mark.parametrize(
    "fail", [lambda answer: answer.set_exception(RuntimeError("new")), lambda answer: answer.set_result([b"epoch"])]
)
def test_an_unexpected_error_fails_its_callers_and_leaves_no_later_one_waiting(
    fail: Callable[[asyncio.Future[Any]], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def test(server: Server) -> None:
        failing = server.publish("a")
        await turns()
        later = server.publish("b")
        await turns()
        fail(server.scripts[0][1])
        with pytest.raises(Unavailable):
            await failing
        await turns()
        assert server.names(1) == ["b"]
        await server.answer(1)
        await later

    run(test)
    assert "unexpected error when storing 1 events" in caplog.text


def test_a_failed_script_fails_its_callers_and_no_later_one() -> None:
    async def test(server: Server) -> None:
        failing = [server.publish("a"), server.publish("b")]
        await turns()
        later = server.publish("c")
        await turns()
        server.scripts[0][1].set_exception(Unavailable("the connection broke"))
        results = await asyncio.gather(*failing, return_exceptions=True)
        assert [str(result) for result in results] == ["the connection broke"] * 2
        assert server.failures == ["the connection broke"]
        await turns()
        assert server.names(1) == ["c"]
        await server.answer(1)
        await later

    run(test)


def test_a_cancelled_caller_disturbs_no_other() -> None:
    async def test(server: Server) -> None:
        under_way = [server.publish("a"), server.publish("b")]
        await turns()
        waiting = [server.publish("c"), server.publish("d")]
        await turns()
        for cancelled in (under_way[0], waiting[0]):
            cancelled.cancel()
        await server.answer(0)
        await under_way[1]
        assert server.names(1) == ["d"]
        await server.answer(1)
        await waiting[1]

    run(test)


@pytest.mark.parametrize(("most_events", "most_bytes"), [(2, 1_000_000), (1_000, 90)])
def test_a_script_has_a_limit_but_a_call_is_never_divided(
    monkeypatch: pytest.MonkeyPatch, most_events: int, most_bytes: int
) -> None:
    monkeypatch.setattr(room, "MAX_EVENTS", most_events)
    monkeypatch.setattr(room, "MAX_BYTES", most_bytes)

    async def test(server: Server) -> None:
        callers = [server.publish(*names) for names in ("a", "b", "c", "defg", "h")]
        sent = []
        for number in range(4):
            await turns()
            sent.append("".join(server.names(number)))
            await server.answer(number)
        await asyncio.gather(*callers)
        assert sent == ["ab", "c", "defg", "h"]

    run(test)
