"""Finds whom an event is for: the users and groups that attributes, a body or overrides name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from consumers.errors import ConsumerReason, NotUnderstood
from consumers.text import NOT_JSON, parse
from sse_service.model.events import BROADCAST, group_channel, user_channel
from sse_service.model.reasons import RejectionReason
from sse_service.routing.fields import has_surrogate

MAX_NAMES = 100
"""Limit of users and groups in one message."""

_SERVICE_ATTRIBUTES = ("user_id", "userId", "group", "broadcast", "event_type", "subject", "event_id")
"""The attributes that the service reads."""

_FLAGS = {"true": True, "false": False, "": False}
_WHITE_SPACE = "a user or group has white space around its name; send the name without it"


class Audience(NamedTuple):
    """Users and groups as given. Only ``channels`` checks them, so values that an override replaces may be invalid."""

    users: tuple[Any, ...] = ()
    groups: tuple[Any, ...] = ()
    broadcast: bool = False
    from_body: bool = False
    """Whether the body named them. In a body, ``group`` may be a field with another meaning."""

    def overridden(self, found: Mapping[str, Any]) -> Audience:
        """Replace the fields that have an override."""
        users, groups, broadcast, from_body = self
        if "user" in found:
            users = (found["user"],)
            if from_body and not _is_empty(users[0]):
                groups = ()
        if "group" in found:
            groups = (found["group"],)
        if "broadcast" in found:
            broadcast = _flag(found["broadcast"])
        return Audience(users, groups, broadcast, from_body)

    def channels(self) -> tuple[str, ...]:
        """Return the channels of all names. Raises NotUnderstood for an invalid name, or for too many names."""
        users, groups = _names(self.users), _names(self.groups)
        if len(users) + len(groups) > MAX_NAMES:
            raise NotUnderstood(RejectionReason.NAMES, f"the message names more than {MAX_NAMES} users and groups")
        channels = [*map(user_channel, users), *map(group_channel, groups)]
        if self.broadcast:
            channels.append(BROADCAST)
        return tuple(channels if len(channels) == 1 else dict.fromkeys(channels))


def of_attributes(
    attributes: Mapping[str, Any], *, fractions: frozenset[str] = frozenset(), overrides_broadcast: bool = False
) -> Audience | None:
    """Return whom the message attributes name; None if they name nobody.

    ``fractions`` has the names of the attributes that are numbers but not integers.
    Raises NotUnderstood for a Binary value in an attribute that the service reads, and for a ``broadcast`` that is
    neither true nor false, unless an override decides the broadcast.
    """
    if not attributes:
        return None
    for name, value in attributes.items():
        if type(value) is bytes and name in _SERVICE_ATTRIBUTES:
            raise NotUnderstood(
                ConsumerReason.ATTRIBUTE, f"the message attribute {name} is Binary; send it as a String"
            )
    # A body may have userId in place of user_id, so producers write it here too.
    if fractions:
        attributes = {name: float("nan") if name in fractions else value for name, value in attributes.items()}
    get = attributes.get
    user, alias, group = get("user_id"), get("userId"), get("group")
    broadcast = False
    if (value := get("broadcast")) is not None:
        flag = _FLAGS.get(value.strip().lower()) if isinstance(value, str) else None
        if flag is None and not overrides_broadcast:
            raise NotUnderstood(RejectionReason.BROADCAST, "the attribute broadcast must be true or false")
        broadcast = flag is True
    users = (_parse_array(user),) if alias is None else (_parse_array(user), _parse_array(alias))
    groups = () if group is None else (_parse_array(group),)
    if _are_empty(users) and _are_empty(groups) and not broadcast:
        return None
    return Audience(users, groups, broadcast)


def of_body(body: Any) -> Audience | None:
    """Return whom a JSON body names; None if it names nobody.

    The first of three places that names anybody decides: the top level, ``detail``, ``data``. If it names a user, its
    ``group`` is taken for a field with another meaning, and addresses nobody. A body cannot broadcast.
    """
    places = (body, body.get("detail"), body.get("data")) if isinstance(body, dict) else ()
    for place in places:
        if isinstance(place, dict):
            users = place.get("user_id"), place.get("userId")
            if not _are_empty(users):
                return Audience(users, from_body=True)
            group = place.get("group")
            if not _is_empty(group):
                return Audience((), (group,), from_body=True)
    return None


def _parse_array(value: Any) -> Any:
    """Return a list for a text that is a JSON array, and any other value unchanged.

    Producers easily forget the type ``String.Array``, and no real id is a JSON array. A comma is no separator: names
    may contain one, such as ``CN=ann,OU=staff``.
    """
    if isinstance(value, str) and "[" in value and value.lstrip().startswith("["):
        parsed = parse(value)
        return value if parsed is NOT_JSON else parsed
    return value


def _are_empty(values: tuple[Any, ...]) -> bool:
    return all(map(_is_empty, values))


def _is_empty(value: Any) -> bool:
    """Whether a value of any type names nobody."""
    return value in (None, "") or (isinstance(value, list) and all(item in (None, "") for item in value))


def _names(values: Iterable[Any]) -> list[str]:
    """Return the names in all values. A value is a string, an integer, or a list of these. Null and empty name nobody.

    White space around a name is not trimmed: an event for the user " 42" would reach the user "42".
    """
    found = []
    for value in values:
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, str):
                if not item:
                    continue
                if item != item.strip():
                    raise NotUnderstood(RejectionReason.NAMES, _WHITE_SPACE)
                if not item.isascii() and has_surrogate(item):
                    raise NotUnderstood(ConsumerReason.ENCODING)
                found.append(item)
            elif item is None:
                continue
            elif isinstance(item, int) and not isinstance(item, bool):
                found.append(str(item))
            else:
                raise NotUnderstood(RejectionReason.NAMES, "a user or group is neither a string nor an integer")
    return found


def _flag(value: Any) -> bool:
    """Return True for true and the text true in any case, and False for false, null and any other string."""
    if value is not None and not isinstance(value, bool | str):
        raise NotUnderstood(RejectionReason.BROADCAST, "SSE_ROUTE_BROADCAST gave neither a boolean nor a string")
    return value.strip().lower() == "true" if isinstance(value, str) else value is True
