"""Different users and groups never have the same channel."""

from sse_service.model.events import BROADCAST, group_channel, user_channel


def test_no_user_id_gives_the_channel_of_a_group_or_of_everyone() -> None:
    names = ["broadcast", "group:ops", "", ":", "ops"]
    channels = [user_channel(n) for n in names] + [group_channel(n) for n in names] + [BROADCAST]
    assert len(set(channels)) == len(channels)
