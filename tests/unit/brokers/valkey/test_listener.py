"""The listener gets each event once, even if several of its channels bring it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from redis.asyncio.connection import AbstractConnection

from sse_service.brokers.base import Entry
from sse_service.brokers.valkey.entries import encode
from sse_service.brokers.valkey.listener import ValkeyListener
from sse_service.brokers.valkey.losses import LossDetector
from sse_service.model.events import Event, Route
from sse_service.telemetry.metrics import Metrics


class FakeConnection:
    """A connection that brings prepared messages and then ends."""

    def __init__(self, *messages: tuple[str, bytes]) -> None:
        self._messages = list(messages)

    def pack_command(self, *words: str) -> list[str]:
        return list(words)

    async def send_packed_command(self, command: list[str], *, check_health: bool) -> None: ...

    async def read_response(self, **_: bool) -> list[Any]:
        if not self._messages:
            raise ConnectionError
        channel, body = self._messages.pop(0)
        return [b"message", f"live:{channel}".encode(), body]


def delivered_events(*messages: tuple[str, bytes]) -> list[tuple[str, str]]:
    """Return the epoch and id of each event that the listener gets from these messages."""
    live: list[Entry] = []
    metrics = Metrics()
    losses = LossDetector(on_lost=lambda _: None, metrics=metrics)
    listener = ValkeyListener(prefix="live:", listener=live.extend, losses=losses, metrics=metrics)

    async def test() -> None:
        with pytest.raises(ExceptionGroup):
            await listener.run(cast(AbstractConnection, FakeConnection(*messages)), confirmed=asyncio.Event())

    asyncio.run(test())
    return [(entry.cursor.epoch, entry.event.id) for entry in live]


def message(epoch: str, offset: int, event_id: str, *channels: str) -> bytes:
    return f"{epoch} {offset} 0\n".encode() + encode(Route(Event(event_id, "x"), channels))


def test_an_event_of_two_channels_reaches_the_listener_once() -> None:
    body = message("life", 5, "a", "user:1", "user:2")
    assert delivered_events(("user:1", body), ("user:2", body)) == [("life", "a")]


def test_the_same_offset_in_another_epoch_is_another_event() -> None:
    """A store that lost its data can reuse an offset if its clock was set back."""
    one, other = message("life", 5, "a", "user:1"), message("next", 5, "b", "user:1")
    assert delivered_events(("user:1", one), ("user:1", other)) == [("life", "a"), ("next", "b")]
