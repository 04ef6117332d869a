"""What becomes of one message: its events, their channels and bytes, or why there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consumers.envelope import unwrap
from consumers.errors import NotUnderstood
from sse_service.model.cursor import Cursor
from sse_service.model.text import printable
from sse_service.model.values import value
from sse_service.preview.advice import ADVICE, ASK_FOR_ATTRIBUTES, SET_KEY_PATTERN
from sse_service.preview.form import form_of
from sse_service.protocols.sse.encoding import encode, unchunk
from sse_service.routing.ingest import names_nobody
from sse_service.routing.router import Rejection
from sse_service.streams.frame import make_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sse_service.model.events import Route
    from sse_service.preview.form import Form
    from sse_service.preview.messages import QueueMessage
    from sse_service.routing.router import Router

_REDRIVE = "The service leaves it in the queue, and SQS moves it to the dead-letter queue."
_REASONS = "Reasons: sse_service/routing/README.md, “Messages that are not understood”."
_DISCARDED = "The service deletes it, because SSE_UNROUTED is discard."


@value
class Report:
    """The result for one message."""

    message_id: str
    form: str | None
    """How the message is wrapped; None if that cannot be found out."""
    routes: tuple[Route, ...]
    rejections: tuple[Rejection, ...]
    dropped: int
    """How many events name nobody and are dropped: with SSE_UNROUTED=discard, or because others of their message go to
    somebody."""
    hint: str | None = None

    @property
    def good(self) -> bool:
        """Whether everything in the message reaches somebody."""
        return not (self.rejections or self.dropped)

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {
            "message": self.message_id,
            "form": self.form,
            "events": [_event(route) for route in self.routes],
            "rejections": [
                {"reason": str(each.reason), "record": each.record, "advice": _advice(each)} for each in self.rejections
            ],
            "dropped": self.dropped,
            "hint": self.hint,
        }

    def lines(self) -> Iterator[str]:
        """Return the report for a person. A message cannot control the terminal by what it contains."""
        yield printable(f"message {self.message_id}{f' ({self.form})' if self.form else ''}")
        for event in map(_event, self.routes):
            named = f", subject {event['subject']}" if event["subject"] else ""
            yield printable(f"  event {event['id']}{named}")
            yield printable(f"    to {', '.join(event['channels'])}")
            for line in event["frame"].removesuffix("\n\n").split("\n"):
                yield printable(f"    | {line}")
        for rejection in self.rejections:
            record = "" if rejection.record is None else f"record {rejection.record} "
            yield printable(f"  {record}not understood ({rejection.reason}): {_advice(rejection)}")
        if self.hint:
            yield f"  {self.hint}"
        if self.rejections:
            yield f"  {_REDRIVE}"
            yield f"  {_REASONS}"
        elif self.dropped and not self.routes:
            yield f"  It names nobody. {_DISCARDED}"
        elif not self.routes:
            yield "  It is S3's test notification, which has no event. The service deletes it."
        if self.dropped and (self.routes or self.rejections):
            yield f"  {self.dropped} of its records name nobody, and are dropped."


def report_on(message: QueueMessage, router: Router, *, discard_unrouted: bool) -> Report:
    """Find out what the service would make of a message."""
    try:
        envelope = unwrap(message_id=message.id, body=message.body, attributes=message.attributes)
    except NotUnderstood as error:
        rejection = Rejection(error.reason, advice=error.advice)
        return Report(message.id, None, (), (rejection,), dropped=0)
    form = form_of(message, envelope)
    routing = router.route(envelope)
    alone = bool(routing.unrouted) and not (routing.routes or routing.rejections)
    hint = _hint(message, form) if routing.unrouted else None
    if alone and not discard_unrouted:
        return Report(message.id, str(form), (), (names_nobody(envelope),), dropped=0, hint=hint)
    return Report(message.id, str(form), routing.routes, routing.rejections, dropped=routing.unrouted, hint=hint)


def _event(route: Route) -> dict[str, Any]:
    frame = make_frame(route.event, Cursor("0", 0))
    block = unchunk(encode(frame)).decode()
    return {
        "id": route.event.id,
        "type": None if route.event.type is None else frame.type,
        "subject": route.event.subject,
        "channels": list(route.channels),
        # The id is the event's position, which it gets when it is stored.
        "frame": block[: block.rindex("id: ")] + "id: <cursor>\n\n",
    }


def _hint(message: QueueMessage, form: Form) -> str | None:
    """Return what may be wrong with a message in which an event names nobody."""
    if form.is_s3:
        return SET_KEY_PATTERN
    return ASK_FOR_ATTRIBUTES if message.received and not (message.attributes or form.is_sns) else None


def _advice(rejection: Rejection) -> str:
    return rejection.advice or ADVICE[rejection.reason]
