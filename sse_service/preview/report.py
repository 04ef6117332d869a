"""What becomes of one message: its events, their channels and bytes, or why there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consumers.envelope import unwrap
from consumers.errors import NotUnderstood
from sse_service.model.cursor import Cursor
from sse_service.model.values import value
from sse_service.protocols.sse.encoding import encode, unchunk
from sse_service.routing.ingest import names_nobody
from sse_service.routing.router import Rejection
from sse_service.streams.frame import make_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consumers.envelope import Envelope
    from sse_service.model.events import Route
    from sse_service.preview.messages import QueueMessage
    from sse_service.routing.router import Router

_REDRIVE = "The service leaves it in the queue, and SQS moves it to the dead-letter queue."
_DISCARDED = "The service deletes it, because SSE_UNROUTED is discard."


@value
class Report:
    """The result for one message."""

    message_id: str
    form: str
    """How the message is wrapped."""
    routes: tuple[Route, ...]
    rejections: tuple[Rejection, ...]
    discarded: bool
    """Whether the message names nobody, and the settings say that such messages are deleted."""

    @property
    def good(self) -> bool:
        """Whether everything in the message reaches somebody."""
        return not (self.rejections or self.discarded)

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {
            "message": self.message_id,
            "form": self.form,
            "events": [
                {
                    "id": route.event.id,
                    "type": route.event.type,
                    "subject": route.event.subject,
                    "channels": list(route.channels),
                    "frame": _frame(route),
                }
                for route in self.routes
            ],
            "rejections": [
                {"reason": str(each.reason), "record": each.record, "advice": each.advice} for each in self.rejections
            ],
            "discarded": self.discarded,
        }

    def lines(self) -> Iterator[str]:
        """Return the report for a person."""
        yield f"message {self.message_id} ({self.form})"
        for route in self.routes:
            event = route.event
            named = f", subject {event.subject}" if event.subject else ""
            yield f"  event {event.id}{named}"
            yield f"    to {', '.join(route.channels)}"
            for line in _frame(route).splitlines():
                yield f"    | {line}"
        for rejection in self.rejections:
            record = "" if rejection.record is None else f"record {rejection.record} "
            yield f"  {record}not understood ({rejection.reason}){f': {rejection.advice}' if rejection.advice else ''}"
        if self.rejections:
            yield f"  {_REDRIVE}"
        elif self.discarded:
            yield f"  It names nobody. {_DISCARDED}"
        elif not self.routes:
            yield "  It is S3's test notification, which has no event. The service deletes it."


def report_on(message: QueueMessage, router: Router, *, discard_unrouted: bool) -> Report:
    """Find out what the service would make of a message."""
    try:
        envelope = unwrap(message_id=message.id, body=message.body, attributes=message.attributes)
    except NotUnderstood as error:
        rejection = Rejection(error.reason, advice=error.advice)
        return Report(message.id, "broken", (), (rejection,), discarded=False)
    routing = router.route(envelope)
    alone = bool(routing.unrouted) and not (routing.routes or routing.rejections)
    rejections = routing.rejections
    if alone and not discard_unrouted:
        rejections = (names_nobody(envelope),)
    return Report(
        message.id, _form(message, envelope), routing.routes, rejections, discarded=alone and discard_unrouted
    )


def _form(message: QueueMessage, envelope: Envelope) -> str:
    inner = "a plain message"
    if envelope.wrapper is not None:
        inner = "a CloudEvent" if "specversion" in envelope.wrapper else "an EventBridge event"
    elif isinstance(envelope.body, dict) and isinstance(envelope.body.get("Records"), list):
        inner = "an S3 notification"
    return f"SNS notification of {inner}" if envelope.text != message.body and _is_sns(message) else inner


def _is_sns(message: QueueMessage) -> bool:
    return '"TopicArn"' in message.body


def _frame(route: Route) -> str:
    block = unchunk(encode(make_frame(route.event, Cursor("0", 0)))).decode()
    # The id is the event's position, which it gets when it is stored.
    return block[: block.rindex("id: ")] + "id: <cursor>\n"
