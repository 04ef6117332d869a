"""The Hub delivers to whom it is for, once each."""

from sse_service.brokers.base import Entry
from sse_service.cursor import Cursor
from sse_service.events import Event
from sse_service.hub import Hub


class Client:
    """A subscriber that remembers, and may do something when offered to."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.leaves: Hub | None = None

    def offer(self, entry: Entry) -> None:
        self.got.append(entry.event.id)
        if self.leaves is not None:
            self.leaves.leave(self, ["user:1"])


def entry(event_id: str, *channels: str) -> Entry:
    return Entry(Cursor("life", 1), Event(event_id, "x"), channels)


def test_an_entry_reaches_only_the_members_of_its_channels() -> None:
    hub, mine, theirs = Hub(), Client(), Client()
    hub.join(mine, ["user:1"])
    hub.join(theirs, ["user:2"])
    hub.dispatch(entry("a", "user:1"))
    hub.dispatch(entry("b", "user:3"))
    assert (mine.got, theirs.got) == (["a"], [])


def test_one_who_joined_two_of_its_channels_gets_an_entry_once() -> None:
    hub, client = Hub(), Client()
    hub.join(client, ["user:1", "broadcast"])
    hub.dispatch(entry("a", "user:1", "broadcast"))
    assert client.got == ["a"]


def test_the_first_to_join_and_the_last_to_leave_are_told() -> None:
    hub, one, two = Hub(), Client(), Client()
    assert hub.join(one, ["user:1", "broadcast"]) == ["user:1", "broadcast"]
    assert hub.join(two, ["broadcast"]) == []
    assert len(hub) == 2
    assert hub.leave(one, ["user:1", "broadcast"]) == ["user:1"]
    assert hub.leave(one, ["user:1", "broadcast"]) == []
    assert hub.leave(two, ["broadcast"]) == ["broadcast"]
    assert len(hub) == 0


def test_one_who_leaves_while_offered_to_keeps_nobody_from_it() -> None:
    hub, leaver, stayer = Hub(), Client(), Client()
    leaver.leaves = hub
    hub.join(leaver, ["user:1"])
    hub.join(stayer, ["user:1"])
    hub.dispatch(entry("a", "user:1"))
    hub.dispatch(entry("b", "user:1"))
    assert (leaver.got, stayer.got) == (["a"], ["a", "b"])
