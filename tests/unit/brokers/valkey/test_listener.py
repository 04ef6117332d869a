"""The listener gets each event once and in order, and channels are subscribed to with few commands."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import pytest
from redis.exceptions import NoPermissionError

from sse_service.brokers.base import Entry
from sse_service.brokers.valkey import listener as module
from sse_service.brokers.valkey.entries import encode
from sse_service.brokers.valkey.link import Link
from sse_service.brokers.valkey.listener import BATCH, ValkeyListener
from sse_service.brokers.valkey.losses import LossDetector
from sse_service.model.errors import Unavailable
from sse_service.model.events import Event, Route
from sse_service.telemetry.metrics import Metrics
from tests.integration.until import until


class FakeLink:
    """A link to a server that confirms each subscription."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, ...]] = []
        self._over = asyncio.Event()

    def attach(self, receiver: ValkeyListener) -> None:
        self._receiver = receiver

    def send(self, *arguments: str) -> None:
        self.commands.append(arguments)
        name, *channels = arguments
        answers = [[name.lower().encode(), channel.encode(), 1] for channel in channels]
        asyncio.get_running_loop().call_soon(self._receiver.receive, answers)

    async def run(self) -> None:
        await self._over.wait()
        raise ConnectionError

    def end(self) -> None:
        self._over.set()
        self._receiver.link_ended(ConnectionError())


class Listening:
    """A listener without a server, with what it passes on: ids of events in one tuple a call, and ``lost``."""

    def __init__(self) -> None:
        self.news: list[Any] = []
        self.epochs: list[str] = []
        metrics = Metrics()
        self.losses = LossDetector(on_lost=lambda _: self.news.append("lost"), metrics=metrics)
        self.listener = ValkeyListener(prefix="live:", listener=self._take, losses=self.losses, metrics=metrics)

    def _take(self, entries: Sequence[Entry]) -> None:
        self.news.append(tuple(entry.event.id for entry in entries))
        self.epochs += [entry.cursor.epoch for entry in entries]

    def receive(self, *messages: tuple[str, bytes]) -> None:
        """Receive messages with one read."""
        self.listener.receive([[b"message", f"live:{channel}".encode(), body] for channel, body in messages])

    async def connect(self) -> FakeLink:
        """Connect, and return when all channels are subscribed to."""
        link, confirmed = FakeLink(), asyncio.Event()
        self.running = asyncio.create_task(self.listener.run(cast(Link, link), confirmed=confirmed))
        await confirmed.wait()
        return link

    async def disconnect(self, link: FakeLink) -> None:
        """Lose the connection."""
        link.end()
        with suppress(ExceptionGroup):
            await self.running


def message(epoch: str, offset: int, event_id: str, *channels: str, previous: int = 0) -> bytes:
    return f"{epoch} {offset} {previous}\n".encode() + encode(Route(Event(event_id, "x"), channels))


def test_an_event_of_two_channels_reaches_the_listener_once() -> None:
    made = Listening()
    body = message("life", 5, "a", "user:1", "user:2")
    made.receive(("user:1", body), ("user:2", body))
    made.receive(("user:2", body))
    assert made.news == ["lost", ("a",)]  # the first message always begins an epoch


def test_the_same_offset_in_another_epoch_is_another_event() -> None:
    """A store that lost its data can reuse an offset if its clock was set back."""
    made = Listening()
    made.receive(("user:1", message("life", 5, "a", "user:1")), ("user:1", message("next", 5, "b", "user:1")))
    assert made.news == ["lost", ("a",), "lost", ("b",)]
    assert made.epochs == ["life", "next"]


def test_events_that_came_with_one_read_reach_the_listener_together() -> None:
    made = Listening()
    made.losses.begin_epoch("life")
    made.news.clear()
    made.receive(*((f"user:{n}", message("life", n, f"{n}", f"user:{n}")) for n in (1, 2, 3)))
    assert made.news == [("1", "2", "3")]


def test_events_before_a_lost_one_are_passed_on_before_the_loss_is_reported() -> None:
    made = Listening()
    made.losses.begin_epoch("life")
    made.losses.watch("user:1")
    made.losses.history_read(["user:1"], [3])
    made.news.clear()
    made.receive(
        ("user:2", message("life", 4, "before", "user:2")),
        ("user:1", message("life", 9, "after", "user:1", previous=7)),
        ("user:1", message("life", 10, "later", "user:1", previous=9)),
    )
    assert made.news == [("before",), "lost", ("after", "later")]


def test_events_before_an_error_are_passed_on() -> None:
    made = Listening()
    made.losses.begin_epoch("life")
    made.news.clear()
    with pytest.raises(NoPermissionError):
        made.listener.receive(
            [[b"message", b"live:user:1", message("life", 4, "a", "user:1")], NoPermissionError("channel")]
        )
    assert made.news == [("a",)]


@pytest.mark.parametrize(("count", "commands"), [(1, 1), (300, 1), (BATCH, 1), (BATCH + 1, 2), (10_000, 10)])
def test_the_channels_of_one_turn_are_subscribed_to_with_few_commands(count: int, commands: int) -> None:
    async def test() -> None:
        made = Listening()
        link = await made.connect()
        link.commands.clear()
        # As the workers of the catch-up do, for one stream each.
        await asyncio.gather(*(made.listener.subscribe([f"user:{n}", "broadcast"]) for n in range(count - 1)))
        await made.listener.subscribe(["broadcast", "user:0"])
        assert len(link.commands) == commands
        names = [name for command in link.commands for name in command[1:]]
        assert len(names) == len(set(names)) == max(count, 2)
        await made.disconnect(link)

    asyncio.run(test())


def test_many_unused_channels_are_unsubscribed_with_few_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 0)
    monkeypatch.setattr(module, "EXPIRE_SECONDS", 0.01)

    async def test() -> None:
        made = Listening()
        link = await made.connect()
        channels = [f"user:{n}" for n in range(2 * BATCH)]
        await made.listener.subscribe(channels)
        link.commands.clear()
        for channel in channels:
            made.listener.unsubscribe(channel)
        await until(lambda: not made.listener.channels())
        assert [(command[0], len(command) - 1) for command in link.commands] == [("UNSUBSCRIBE", BATCH)] * 2
        await made.disconnect(link)

    asyncio.run(test())


def test_only_so_many_channels_linger_and_those_unused_longest_end_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LINGERING", 2)
    monkeypatch.setattr(module, "EXPIRE_SECONDS", 0.01)

    async def test() -> None:
        made = Listening()
        link = await made.connect()
        names = ["a", "b", "c", "d"]
        await made.listener.subscribe(names)
        for channel in names:
            made.listener.unsubscribe(channel)
        await made.listener.subscribe(["a"])
        await until(lambda: len(made.listener.channels()) < len(names))
        assert made.listener.channels() == ["a", "c", "d"]
        await made.disconnect(link)

    asyncio.run(test())


def test_a_channel_that_is_used_again_after_it_was_dropped_is_subscribed_to_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 0)
    monkeypatch.setattr(module, "EXPIRE_SECONDS", 0.01)

    async def test() -> None:
        made = Listening()
        link = await made.connect()
        await made.listener.subscribe(["user:1"])
        made.listener.unsubscribe("user:1")
        await until(lambda: not made.listener.channels())
        link.commands.clear()
        await made.listener.subscribe(["user:1"])
        assert link.commands == [("SUBSCRIBE", "live:user:1")]
        assert made.listener.is_confirmed("user:1")
        await made.disconnect(link)

    asyncio.run(test())


def test_all_channels_are_subscribed_to_again_after_a_reconnect() -> None:
    async def test() -> None:
        made = Listening()
        link = await made.connect()
        await made.listener.subscribe([f"user:{n}" for n in range(BATCH + 1)])
        await made.disconnect(link)
        with pytest.raises(Unavailable):
            await made.listener.subscribe(["user:new"])
        link = await made.connect()
        # The first is that of the probes.
        assert [len(command) - 1 for command in link.commands] == [1, BATCH, 2]
        assert all(map(made.listener.is_confirmed, made.listener.channels()))
        link.commands.clear()
        await made.listener.subscribe(["user:0", "user:new"])
        assert link.commands == []
        await made.disconnect(link)

    asyncio.run(test())


def test_a_subscription_that_waits_as_the_connection_ends_is_unavailable() -> None:
    async def test() -> None:
        made = Listening()
        link = await made.connect()
        waiting = asyncio.create_task(made.listener.subscribe(["user:1"]))
        await asyncio.sleep(0)
        link.end()
        with pytest.raises(Unavailable):
            await waiting
        await made.disconnect(link)

    asyncio.run(test())
