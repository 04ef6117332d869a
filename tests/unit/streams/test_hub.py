"""The Hub delivers each entry once to every subscriber of its channels."""

from collections.abc import Mapping

from sse_service.brokers.base import Entry
from sse_service.model.cursor import Cursor
from sse_service.model.events import Event
from sse_service.streams.frame import Frame
from sse_service.streams.hub import MAX_TUPLE_SIZE, Hub
from sse_service.telemetry.metrics import Metrics


class Client:
    """A subscriber that records its deliveries, and can leave during one."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.leaves: Hub | None = None

    def offer(self, frame: Frame, *, later: bool = False) -> bool:
        self.got.append(frame.subject or "")
        if self.leaves is not None:
            self.leaves.leave(self, ["user:1"])
        return False

    def prepare(self, frame: Frame) -> None:
        """Nothing to encode."""

    def flush(self) -> None:
        self.got.append("flushed")

    def fall_behind(self, complete: Mapping[str, int]) -> None:
        self.got.append("behind")


def entry(event_id: str, *channels: str, time: str | None = None) -> Entry:
    return Entry(Cursor("life", 1), Event(event_id, "x", subject=event_id, time=time), channels)


def test_an_entry_reaches_only_the_subscribers_of_its_channels() -> None:
    hub, mine, theirs = Hub(metrics=Metrics()), Client(), Client()
    hub.join(mine, ["user:1"])
    hub.join(theirs, ["user:2"])
    hub.dispatch([entry("a", "user:1")])
    hub.dispatch([entry("b", "user:3")])
    assert (mine.got, theirs.got) == (["a"], [])


def test_entries_are_offered_in_order() -> None:
    hub, one, all_ = Hub(metrics=Metrics()), Client(), Client()
    hub.join(one, ["user:1"])
    hub.join(all_, ["user:1", "broadcast"])
    hub.dispatch([entry("a", "user:1"), entry("b", "broadcast"), entry("c", "user:2"), entry("d", "user:1")])
    assert (one.got, all_.got) == (["a", "d"], ["a", "b", "d"])


def test_a_subscriber_of_two_channels_of_an_entry_gets_it_once() -> None:
    hub, client = Hub(metrics=Metrics()), Client()
    hub.join(client, ["user:1", "broadcast"])
    hub.dispatch([entry("a", "user:1", "broadcast")])
    assert client.got == ["a"]


def test_leave_returns_the_channels_that_have_no_subscribers_left() -> None:
    hub, one, two = Hub(metrics=Metrics()), Client(), Client()
    hub.join(one, ["user:1", "broadcast"])
    hub.join(two, ["broadcast"])
    assert hub.leave(one, ["user:1", "broadcast"]) == ["user:1"]
    assert hub.leave(one, ["user:1", "broadcast"]) == []
    assert hub.leave(two, ["broadcast"]) == ["broadcast"]


def test_many_subscribers_can_join_and_leave_a_channel_in_any_order() -> None:
    hub, clients = Hub(metrics=Metrics()), [Client() for _ in range(MAX_TUPLE_SIZE * 2)]
    for client in clients:
        hub.join(client, ["user:1"])
        hub.join(client, ["user:1"])
    hub.dispatch([entry("all", "user:1")])
    assert [client.got for client in clients] == [["all"]] * (MAX_TUPLE_SIZE * 2)
    left = [hub.leave(client, ["user:1"]) for client in (*clients[1::2], *clients[-2::-2])]
    assert left == [[]] * (MAX_TUPLE_SIZE * 2 - 1) + [["user:1"]]
    hub.join(clients[0], ["user:1"])
    hub.join(clients[1], ["user:1"])
    hub.dispatch([entry("a", "user:1")])
    assert [client.got[1:] for client in clients] == [["a"], ["a"]] + [[]] * (MAX_TUPLE_SIZE * 2 - 2)


def test_a_subscriber_that_leaves_during_a_delivery_does_not_affect_the_others() -> None:
    hub, leaver, stayer = Hub(metrics=Metrics()), Client(), Client()
    leaver.leaves = hub
    hub.join(leaver, ["user:1"])
    hub.join(stayer, ["user:1"])
    hub.dispatch([entry("a", "user:1")])
    hub.dispatch([entry("b", "user:1")])
    assert (leaver.got, stayer.got) == (["a"], ["a", "b"])


def test_deliveries_and_the_time_since_publishing_are_measured() -> None:
    metrics = Metrics()
    hub = Hub(metrics=metrics)
    for _ in range(2):
        hub.join(Client(), ["user:1"])
    hub.dispatch([entry("a", "user:1", time="2026-11-23T23:20:29.832Z")])
    hub.dispatch([entry("b", "user:1", time="no time")])
    hub.dispatch([entry("c", "user:2")])
    text = metrics.render().decode()
    assert "sse_events_delivered_total 4.0" in text
    assert "sse_publish_to_write_seconds_count 1.0" in text


def test_a_possible_loss_makes_each_subscriber_of_the_channels_fall_behind_once() -> None:
    hub, mine, theirs = Hub(metrics=Metrics()), Client(), Client()
    hub.join(mine, ["user:1", "broadcast"])
    hub.join(theirs, ["user:2", "broadcast"])
    hub.lost({"user:1": 5})
    hub.lost({"user:3": 5})
    assert (mine.got, theirs.got) == (["behind"], [])
    hub.lost({"user:1": 5, "user:2": 5, "broadcast": 5})
    assert (mine.got, theirs.got) == (["behind"] * 2, ["behind"])


def test_subscribers_of_several_channels_are_counted_once() -> None:
    hub, one, both = Hub(metrics=Metrics()), Client(), Client()
    hub.join(one, ["user:1"])
    hub.join(both, ["user:1", "broadcast"])
    assert [hub.count(channels) for channels in (["user:1"], ["broadcast", "user:1"], ["user:2"])] == [2, 2, 0]
