"""Different users and groups never have the same channel, and a trace makes no other event."""

from sse_service.model.events import BROADCAST, Event, group_channel, user_channel


def test_no_user_id_gives_the_channel_of_a_group_or_of_everyone() -> None:
    names = ["broadcast", "group:ops", "", ":", "ops"]
    channels = [user_channel(n) for n in names] + [group_channel(n) for n in names] + [BROADCAST]
    assert len(set(channels)) == len(channels)


def test_the_trace_is_no_part_of_what_an_event_is() -> None:
    assert Event("a", "x", trace="t") == Event("a", "x")
    assert hash(Event("a", "x", trace="t")) == hash(Event("a", "x"))
