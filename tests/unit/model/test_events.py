"""Channels of different owners never meet."""

from sse_service.model.events import BROADCAST, group_channel, user_channel


def test_no_user_id_names_a_group_or_everyone() -> None:
    names = ["broadcast", "group:ops", "", ":", "ops"]
    channels = [user_channel(n) for n in names] + [group_channel(n) for n in names] + [BROADCAST]
    assert len(set(channels)) == len(channels)
