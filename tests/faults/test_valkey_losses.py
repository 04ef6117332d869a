"""Messages that are lost between Valkey and a task are noticed. Each mechanism is tested alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from sse_service.brokers.base import Entry
from sse_service.brokers.valkey import listener, prober
from sse_service.brokers.valkey.broker import ValkeyBroker
from sse_service.model.errors import Unavailable
from sse_service.model.events import Event, Route
from sse_service.telemetry.metrics import Metrics
from tests.faults.proxy import Proxy
from tests.integration.process import DEADLINE
from tests.integration.until import until
from tests.integration.valkey import Valkey
from tests.unit.task import no_revocations


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


class Store:
    """A broker behind a proxy, and a second broker that publishes without one."""

    def __init__(self, proxy: Proxy, server: Valkey) -> None:
        self.proxy = proxy
        self.news: list[str | None] = []
        """The ids of received events, and ``lost`` with the channels that were reported as incomplete."""
        self.metrics = Metrics()
        self.broker = ValkeyBroker(
            url=f"redis://127.0.0.1:{proxy.port}/0",
            listener=self._take,
            on_lost=self._lost,
            metrics=self.metrics,
            **no_revocations(),
        )
        self.other = ValkeyBroker(
            url=server.url, listener=lambda _: None, on_lost=lambda _: None, metrics=Metrics(), **no_revocations()
        )

    def _take(self, entries: Sequence[Entry]) -> None:
        self.news += [entry.event.id for entry in entries]

    def _lost(self, complete: Mapping[str, int]) -> None:
        self.news.append(f"lost {', '.join(complete)}")

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
            # As a stream does when it opens. From then on, the broker knows which events must come.
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
    """Publish, and let the proxy drop the messages."""
    made.proxy.swallow = True
    passed = made.proxy.swallowed
    await made.publish(*names)
    await until(lambda: made.proxy.swallowed > passed)
    made.proxy.swallow = False


def test_a_lost_message_is_noticed_when_the_next_one_of_its_channel_comes(
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


def test_a_lost_message_that_no_other_follows_is_noticed_by_a_probe(server: Valkey) -> None:
    async def test() -> None:
        async with store(server) as made:
            before = made.broker.delivered()
            # Publish right after a probe, so that the next probe is not dropped too.
            await until(lambda: made.broker.delivered() != before)
            await swallow(made, "gone")
            await until(lambda: made.news)
            assert made.news == ["lost user:1"]
            assert "sse_broker_jumps_total 1.0" in made.metrics.render().decode()

    asyncio.run(test())


def test_a_lost_probe_reports_all_channels_and_does_not_move_delivered(
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


def test_a_connection_without_messages_is_replaced(server: Valkey) -> None:
    async def test() -> None:
        async with store(server) as made:
            made.proxy.swallow = True
            await until(lambda: made.broker.trouble == "messages do not arrive")
            assert made.news == ["lost user:1"]
            with pytest.raises(Unavailable):
                await made.broker.replay(["user:1"], None, 10)
            made.proxy.swallow = False
            await until(lambda: made.broker.trouble is None)
            await made.publish("later")
            await until(lambda: "later" in made.news)

    asyncio.run(test())


def test_after_an_unconfirmed_subscription_the_connection_is_replaced(
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
def test_a_message_from_another_publisher_is_dropped(server: Valkey, message: bytes) -> None:
    async def test() -> None:
        async with store(server) as made:
            with server.client() as client:
                client.publish("{sse}:0:live:user:1", message)
            await made.publish("later")
            await until(lambda: "later" in made.news)
            assert made.broker.trouble is None
            assert 'sse_events_dropped_total{reason="misdirected"} 1.0' in made.metrics.render().decode()

    asyncio.run(test())


def test_a_cut_connection_reports_all_channels_before_a_later_event_comes(server: Valkey) -> None:
    async def test() -> None:
        async with store(server) as made:
            made.proxy.cut_pushes()
            await until(lambda: "sse_broker_connections_total 2.0" in made.metrics.render().decode())
            await made.publish("later")
            await until(lambda: "later" in made.news)
            assert made.news[0] == "lost user:1"
            assert made.news[-1] == "later"

    asyncio.run(test())


def test_a_channel_is_unsubscribed_some_time_after_its_last_stream_unless_one_comes_back(
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


def test_an_unexpected_error_is_logged_and_the_connections_are_replaced(
    server: Valkey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with store(server) as made:
            connections = made.broker._connections
            hold = connections._connect_and_run

            async def fail() -> None:
                monkeypatch.setattr(connections, "_connect_and_run", hold)
                raise ExceptionGroup("tasks", [LookupError("a bug")])

            monkeypatch.setattr(connections, "_connect_and_run", fail)
            made.proxy.cut()
            await until(lambda: "a bug" in caplog.text)
            await until(lambda: "sse_broker_connections_total 2.0" in made.metrics.render().decode())

    asyncio.run(test())


def test_a_broker_that_is_cancelled_while_a_connection_fails_ends(
    server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with asyncio.timeout(DEADLINE), store(server) as made:

            async def fail() -> None:
                # A TaskGroup that is cancelled while one of its tasks fails raises only the failure.
                try:
                    await asyncio.Event().wait()
                finally:
                    raise ExceptionGroup("tasks", [Unavailable("the connection broke")])

            monkeypatch.setattr(made.broker._connections, "_connect_and_run", fail)
            running = asyncio.create_task(made.broker.run())
            await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled()

    asyncio.run(test())
