"""Whom an event is for: the users and groups that attributes, a body or overrides name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from consumers.errors import ConsumerReason, NotUnderstood
from sse_service.model.events import BROADCAST, group_channel, user_channel
from sse_service.model.reasons import RejectionReason
from sse_service.routing.fields import has_surrogate

MAX_NAMES = 100
"""Users and groups of one message."""


class Audience(NamedTuple):
    """Users and groups as found. Their values are not checked yet: an overridden one never is."""

    users: tuple[Any, ...] = ()
    groups: tuple[Any, ...] = ()
    broadcast: bool = False

    def overridden(self, found: Mapping[str, Any]) -> Audience:
        """Replace what overrides decide, and leave the rest."""
        users, groups, broadcast = self
        if "user" in found:
            users = (found["user"],)
        if "group" in found:
            groups = (found["group"],)
        if "broadcast" in found:
            broadcast = _flag(found["broadcast"])
        return Audience(users, groups, broadcast)

    def channels(self) -> tuple[str, ...]:
        """The channels of all that are named. Raises NotUnderstood for a name of another type, or for too many."""
        users, groups = _names(self.users), _names(self.groups)
        if len(users) + len(groups) > MAX_NAMES:
            raise NotUnderstood(RejectionReason.NAMES)
        channels = [*map(user_channel, users), *map(group_channel, groups)]
        if self.broadcast:
            channels.append(BROADCAST)
        return tuple(channels if len(channels) == 1 else dict.fromkeys(channels))


def of_attributes(attributes: Mapping[str, Any]) -> Audience | None:
    """Whom the message attributes name; None where they name nobody."""
    user, group = attributes.get("user_id"), attributes.get("group")
    broadcast = attributes.get("broadcast") == "true"
    if not broadcast and _is_empty(user) and _is_empty(group):
        return None
    return Audience((user,), (group,), broadcast)


def of_body(body: Any) -> Audience | None:
    """Whom a JSON body names; None where it names nobody.

    The first place that names anybody decides: the top, ``detail``, ``data``. A body never reaches everyone.
    """
    places = (body, body.get("detail"), body.get("data")) if isinstance(body, dict) else ()
    for place in places:
        if isinstance(place, dict):
            users, group = (place.get("user_id"), place.get("userId")), place.get("group")
            if not (_is_empty(users[0]) and _is_empty(users[1]) and _is_empty(group)):
                return Audience(users, (group,))
    return None


def _is_empty(value: Any) -> bool:
    """Whether a value names nobody, whatever its type is."""
    if value is None or value == "":
        return True
    return isinstance(value, list) and all(item is None or item == "" for item in value)


def _names(values: Iterable[Any]) -> list[str]:
    """The names in each value: a string, an integer, or a list of these. Null and empty name nobody."""
    found = []
    for value in values:
        for item in value if isinstance(value, list) else (value,):
            if item is None or item == "":
                continue
            if isinstance(item, str):
                if has_surrogate(item):
                    raise NotUnderstood(ConsumerReason.ENCODING)
                found.append(item)
            elif isinstance(item, int) and not isinstance(item, bool):
                found.append(str(item))
            else:
                raise NotUnderstood(RejectionReason.NAMES)
    return found


def _flag(value: Any) -> bool:
    """True for true and ``"true"``; false for any other string, false and null."""
    if value is not None and not isinstance(value, bool | str):
        raise NotUnderstood(RejectionReason.BROADCAST)
    return value in (True, "true")
