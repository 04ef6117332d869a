"""Whom an event is for: the users and groups that attributes, a body or overrides name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from consumers.errors import ConsumerReason, NotUnderstood
from consumers.text import NOT_JSON, parse
from sse_service.model.events import BROADCAST, group_channel, user_channel
from sse_service.model.reasons import RejectionReason
from sse_service.routing.fields import has_surrogate

MAX_NAMES = 100
"""Users and groups of one message."""

_OWN = ("user_id", "userId", "group", "broadcast", "event_type", "subject", "event_id")
"""The attributes that the service reads."""


class Audience(NamedTuple):
    """Users and groups as found. Their values are not checked yet: an overridden one never is."""

    users: tuple[Any, ...] = ()
    groups: tuple[Any, ...] = ()
    broadcast: bool = False
    from_body: bool = False
    """Whether a body named them. It may have fields of its own that happen to be called ``group``."""

    def overridden(self, found: Mapping[str, Any]) -> Audience:
        """Replace what overrides decide, and leave the rest."""
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
        """The channels of all that are named. Raises NotUnderstood for a name of another type, or for too many."""
        users, groups = _names(self.users), _names(self.groups)
        if len(users) + len(groups) > MAX_NAMES:
            raise NotUnderstood(RejectionReason.NAMES)
        channels = [*map(user_channel, users), *map(group_channel, groups)]
        if self.broadcast:
            channels.append(BROADCAST)
        return tuple(channels if len(channels) == 1 else dict.fromkeys(channels))


def of_attributes(attributes: Mapping[str, Any]) -> Audience | None:
    """Whom the message attributes name; None where they name nobody.

    Raises NotUnderstood for a Binary value in an attribute of the service's own.
    """
    if not attributes:
        return None
    for name, value in attributes.items():
        if type(value) is bytes and name in _OWN:
            raise NotUnderstood(ConsumerReason.ATTRIBUTE)
    # A body may say userId for user_id, so a producer may write it here too.
    get = attributes.get
    user, alias, group, broadcast = get("user_id"), get("userId"), get("group"), get("broadcast") == "true"
    users = (_listed(user),) if alias is None else (_listed(user), _listed(alias))
    groups = () if group is None else (_listed(group),)
    if _are_empty(users) and _are_empty(groups) and not broadcast:
        return None
    return Audience(users, groups, broadcast)


def of_body(body: Any) -> Audience | None:
    """Whom a JSON body names; None where it names nobody.

    The first place that names anybody decides: the top, ``detail``, ``data``. Where it names a user, its ``group`` is a
    field of the producer's own and addresses nobody. A body never reaches everyone.
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


def _listed(value: Any) -> Any:
    """An attribute's value; a JSON array in a text is a list.

    ``String.Array`` is easily forgotten, and no real id is a JSON array. A comma does not separate: names may contain
    it, such as ``CN=ann,OU=staff``.
    """
    if isinstance(value, str) and "[" in value and value.lstrip().startswith("["):
        parsed = parse(value)
        return value if parsed is NOT_JSON else parsed
    return value


def _are_empty(values: tuple[Any, ...]) -> bool:
    return all(map(_is_empty, values))


def _is_empty(value: Any) -> bool:
    """Whether a value names nobody, whatever its type is."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    return isinstance(value, list) and all(
        item is None or (isinstance(item, str) and not item.strip()) for item in value
    )


def _names(values: Iterable[Any]) -> list[str]:
    """The names in each value: a string, an integer, or a list of these. Null and empty name nobody.

    Blanks and line ends around a name are dropped: no id has them, and they come easily out of a shell or a form.
    """
    found = []
    for value in values:
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, str):
                if name := item.strip():
                    if not name.isascii() and has_surrogate(name):
                        raise NotUnderstood(ConsumerReason.ENCODING)
                    found.append(name)
            elif item is None:
                continue
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
