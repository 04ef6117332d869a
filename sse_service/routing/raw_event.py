"""An event before its fields are checked, and its conversion into a Route."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from consumers.errors import NotUnderstood
from sse_service.model.events import Event, Route
from sse_service.model.reasons import RejectionReason
from sse_service.routing.audience import Audience
from sse_service.routing.fields import data_text, event_id, event_type, exceeds, one_line

# The lookup in the enum takes longer than the check.
_SUBJECT = RejectionReason.SUBJECT


class RawEvent(NamedTuple):
    """An event as the default rules read it. Only ``route`` checks it, so overridden values may be invalid before."""

    audience: Audience
    type: Any
    subject: Any
    data: Any
    id: Any
    time: str | None
    suffix: str = ""
    """Tells the records of one message apart: the second has ``#1``."""

    def overridden(self, found: Mapping[str, Any]) -> RawEvent:
        """Replace the fields that have an override."""
        fields = {name: found[name] for name in ("type", "subject", "data", "id") if name in found}
        return self._replace(audience=self.audience.overridden(found), **fields)

    def route(self, max_event_bytes: int) -> Route:
        """Check all fields, and make the Route. Raises NotUnderstood."""
        event = Event(
            event_id(self.id) + self.suffix,
            data_text(self.data),
            event_type(self.type),
            one_line(self.subject, _SUBJECT),
            self.time,
        )
        if exceeds(event.data, max_event_bytes):
            raise NotUnderstood(RejectionReason.SIZE)
        return Route(event, self.audience.channels())
