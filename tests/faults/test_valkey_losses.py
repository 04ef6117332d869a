"""What is lost between Valkey and a task, and by which means it is noticed; each means alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
import uvloop

from sse_service.brokers.base import Entry
from sse_service.brokers.valkey import link, listener, prober
from sse_service.brokers.valkey.broker import ValkeyBroker
from sse_service.brokers.valkey.link import Link, connection
from sse_service.model.errors import Unavailable
from sse_service.model.events import Event, Route
from sse_service.telemetry.metrics import Metrics
from tests.faults.proxy import Proxy
from tests.integration.until import until
from tests.integration.valkey import Valkey


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


class Store:
    """A broker behind a proxy, and one that publishes past it."""

    def __init__(self, proxy: Proxy, server: Valkey) -> None:
        self.proxy = proxy
        self.news: list[str | None] = []
        """Ids of events that were handed over, and ``lost`` with the channels where something was lost."""
        self.complete: dict[str, int] = {}
        """Up to where all had come then."""
        self.metrics = Metrics()
        self.broker = ValkeyBroker(
            url=f"redis://127.0.0.1:{proxy.port}/0", listener=self._take, on_lost=self._lost, metrics=self.metrics
        )
        self.other = ValkeyBroker(url=server.url, listener=lambda _: None, on_lost=lambda _: None, metrics=Metrics())

    def _take(self, entries: Sequence[Entry]) -> None:
        self.news += [entry.event.id for entry in entries]

    def _lost(self, complete: Mapping[str, int]) -> None:
        self.news.append(f"lost {', '.join(complete)}")
        self.complete = dict(complete)

    async def publish(self, *names: str, channel: str = "user:1") -> None:
        await self.other.publish([Route(Event(name, "x"), (channel,)) for name in names])


@asynccontextmanager
async def store(server: Valkey) -> AsyncIterator[Store]:
    with server.client() as client:
        client.flushall()
    async with Proxy(server.port) as proxy:
        made = Store(proxy, server)
        running = [asyncio.create_task(broker.run()) for broker in (made.broker, made.other)]
        try:
            await until(lambda: made.broker.trouble is None and made.other.trouble is None)
            await made.broker.subscribe(["user:1"])
            # A stream that opens reads history: from then on it is known what has to come.
            await made.broker.replay(["user:1"], None, 10)
            await made.publish("first")
            await until(lambda: "first" in made.news)
            made.news.clear()
            yield made
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def swallow(made: Store, *names: str) -> None:
    """Publish, and lose the messages on the way."""
    made.proxy.swallow = True
    passed = made.proxy.swallowed
    await made.publish(*names)
    await until(lambda: made.proxy.swallowed > passed)
    made.proxy.swallow = False


def test_a_lost_message_is_noticed_by_the_next_one_of_its_channel(
    server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prober, "PROBE_SECONDS", 60)

    async def test() -> None:
        async with store(server) as made:
            await swallow(made, "gone")
            await made.publish("next")
            await until(lambda: "next" in made.news)
            assert made.news == ["lost user:1", "next"]

    asyncio.run(test())


def test_a_lost_message_that_nothing_follows_is_noticed_by_a_probe(server: Valkey) -> None:
    async def test() -> None:
        async with store(server) as made:
            before = made.broker.delivered()
            # Right after a probe, so that the next is not lost with it.
            await until(lambda: made.broker.delivered() != before)
            await swallow(made, "gone")
            await until(lambda: made.news)
            assert made.news == ["lost user:1"]
            assert "sse_broker_jumps_total 1.0" in made.metrics.render().decode()

    asyncio.run(test())


def test_a_probe_that_was_lost_sends_all_to_history_and_moves_no_position(
    server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prober, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(prober, "ARRIVAL_SECONDS", 0.1)
    monkeypatch.setattr(prober, "MAX_SILENT_PROBES", 1000)
    monkeypatch.setattr(prober, "MAX_LATE_PROBES", 1000)

    async def test() -> None:
        async with store(server) as made:
            made.proxy.swallow = True
            passed = made.proxy.swallowed
            await until(lambda: made.proxy.swallowed > passed)
            position = made.broker.delivered()
            passed = made.proxy.swallowed
            await until(lambda: made.proxy.swallowed > passed + 100)
            assert made.broker.delivered() == position
            made.proxy.swallow = False
            await until(lambda: made.news)
            assert made.news == ["lost user:1"]
            await until(lambda: made.broker.delivered().offset > position.offset)

    asyncio.run(test())


def test_a_connection_that_brings_nothing_is_made_anew(server: Valkey) -> None:
    async def test() -> None:
        async with store(server) as made:
            made.proxy.swallow = True
            await until(lambda: made.broker.trouble == "messages do not come")
            assert made.news == ["lost user:1"]
            with pytest.raises(Unavailable):
                await made.broker.replay(["user:1"], None, 10)
            made.proxy.swallow = False
            await until(lambda: made.broker.trouble is None)
            await made.publish("later")
            await until(lambda: "later" in made.news)

    asyncio.run(test())


def test_a_subscription_that_is_not_confirmed_makes_the_connection_anew(
    server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "CONFIRM_SECONDS", 0.2)

    async def test() -> None:
        async with store(server) as made:
            made.proxy.swallow = True
            passed = made.proxy.swallowed
            waiting = asyncio.create_task(made.broker.subscribe(["user:2"]))
            await until(lambda: made.proxy.swallowed > passed)
            made.proxy.swallow = False
            with pytest.raises(Unavailable):
                await waiting
            await until(lambda: "sse_broker_connections_total 2.0" in made.metrics.render().decode())
            await made.broker.subscribe(["user:2"])
            await made.publish("later", channel="user:2")
            await until(lambda: "later" in made.news)

    asyncio.run(test())


@pytest.mark.parametrize("message", [b"", b"junk", b"abc 5 0\n5", b"abc 5 0\n[1,2,3,4,5,6]", b"\xff \xff \xff\n"])
def test_what_anybody_else_publishes_ends_nothing(server: Valkey, message: bytes) -> None:
    async def test() -> None:
        async with store(server) as made:
            with server.client() as client:
                client.publish("{sse}:0:live:user:1", message)
            await made.publish("later")
            await until(lambda: "later" in made.news)
            assert made.broker.trouble is None
            assert 'sse_events_dropped_total{reason="foreign"} 1.0' in made.metrics.render().decode()

    asyncio.run(test())


def test_a_connection_that_was_cut_sends_all_to_history_before_anything_later_comes(server: Valkey) -> None:
    async def test() -> None:
        async with store(server) as made:
            made.proxy.cut_pushes()
            await until(lambda: "sse_broker_connections_total 2.0" in made.metrics.render().decode())
            await made.publish("later")
            await until(lambda: "later" in made.news)
            assert made.news[0] == "lost user:1"
            assert made.news[-1] == "later"

    asyncio.run(test())


def test_a_channel_is_let_go_some_time_after_its_last_stream_and_not_if_one_comes_back(
    server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "LINGER_SECONDS", 0.5)

    def listeners(name: str) -> int:
        with server.client() as client:
            return int(client.pubsub_numsub("{sse}:0:live:" + name)[0][1])

    async def test() -> None:
        async with store(server) as made:
            await made.broker.subscribe(["user:2", "user:3"])
            made.broker.unsubscribe("user:2")
            made.broker.unsubscribe("user:3")
            await made.broker.subscribe(["user:3"])
            await until(lambda: not listeners("user:2"))
            assert (listeners("user:1"), listeners("user:3")) == (1, 1)
            await made.broker.subscribe(["user:2"])
            await made.publish("back", channel="user:2")
            await until(lambda: "back" in made.news)

    asyncio.run(test())


def test_a_fault_that_nobody_thought_of_is_logged_and_the_connection_made_anew(
    server: Valkey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with store(server) as made:
            session = made.broker._session

            async def fail() -> None:
                monkeypatch.setattr(made.broker, "_session", session)
                raise ExceptionGroup("tasks", [LookupError("a bug")])

            monkeypatch.setattr(made.broker, "_session", fail)
            made.proxy.cut()
            await until(lambda: "a bug" in caplog.text)
            await until(lambda: "sse_broker_connections_total 2.0" in made.metrics.render().decode())

    asyncio.run(test())


def test_a_broker_that_is_cancelled_while_its_connection_fails_ends(
    server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with asyncio.timeout(10), store(server) as made:

            async def fail() -> None:
                # A group of tasks that is cancelled while one of them fails tells only of the failure.
                try:
                    await asyncio.Event().wait()
                finally:
                    raise ExceptionGroup("tasks", [Unavailable("the connection broke")])

            monkeypatch.setattr(made.broker, "_session", fail)
            running = asyncio.create_task(made.broker.run())
            await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled()

    asyncio.run(test())


def test_an_answer_that_nobody_waits_for_any_more_is_nobody_elses(server: Valkey) -> None:
    async def test() -> None:
        async with Proxy(server.port) as proxy, connection(f"redis://127.0.0.1:{proxy.port}/0") as raw:
            link = Link(raw)
            running = asyncio.create_task(link.run())
            proxy.delay = 0.05
            calls = [asyncio.create_task(link.call("ECHO", str(number))) for number in range(20)]
            await asyncio.sleep(0)
            for call in calls[::2]:
                call.cancel()
            kept = calls[1::2]
            assert await asyncio.gather(*kept) == [str(number).encode() for number in range(1, 20, 2)]
            running.cancel()
            await asyncio.gather(running, *calls, return_exceptions=True)

    asyncio.run(test())


def test_a_call_without_an_answer_ends_its_connection_and_all_calls_on_it(
    server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "CALL_SECONDS", 0.3)

    async def test() -> None:
        async with Proxy(server.port) as proxy, connection(f"redis://127.0.0.1:{proxy.port}/0") as raw:
            link = Link(raw)
            running = asyncio.create_task(link.run())
            assert await link.call("ECHO", "a") == b"a"
            proxy.mode = "black hole"
            results = await asyncio.gather(*(link.call("ECHO", "b") for _ in range(3)), return_exceptions=True)
            assert all(isinstance(result, Unavailable) for result in results)
            with pytest.raises(Unavailable):
                await running
            with pytest.raises(Unavailable):
                await link.call("ECHO", "c")

    asyncio.run(test())


def test_a_call_on_a_connection_that_has_just_closed_finds_the_store_unavailable(server: Valkey) -> None:
    async def test() -> None:
        async with connection(f"redis://127.0.0.1:{server.port}/0") as raw:
            link = Link(raw)
            # uvloop, as in production: asyncio's own transport takes such a write without a word.
            raw._writer.transport.abort()
            await raw._writer.wait_closed()
            with pytest.raises(Unavailable):
                await link.call("ECHO", "a")

    uvloop.run(test())
