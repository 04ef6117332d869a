"""The listener gets each event once, even if several of its channels bring it."""

from __future__ import annotations

from sse_service.brokers.base import Entry
from sse_service.brokers.valkey.entries import encode
from sse_service.brokers.valkey.listener import ValkeyListener
from sse_service.brokers.valkey.losses import LossDetector
from sse_service.model.events import Event, Route
from sse_service.telemetry.metrics import Metrics


def delivered_events(*messages: tuple[str, bytes]) -> list[tuple[str, str]]:
    """Return the epoch and id of each event that the listener gets from these messages."""
    live: list[Entry] = []
    metrics = Metrics()
    losses = LossDetector(on_lost=lambda _: None, metrics=metrics)
    listener = ValkeyListener(prefix="live:", listener=live.extend, losses=losses, metrics=metrics)
    listener.receive([[b"message", f"live:{channel}".encode(), body] for channel, body in messages])
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
