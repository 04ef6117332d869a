"""Collects what one poll will be answered with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.protocols.polling.answer import ENCODING_KEY, encode, encode_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.http.uvicorn.transport import StreamTransport
    from sse_service.model.cursor import Cursor
    from sse_service.model.reasons import CloseReason
    from sse_service.protocols.polling.poll import Poll
    from sse_service.streams.frame import Frame
    from sse_service.streams.service_events import ServiceEvent
    from sse_service.streams.sink import Progress
    from sse_service.streams.subscription import Subscription

MAX_EVENTS = 100
"""Events in one answer."""

MAX_BYTES = 256 * 1024
"""Encoded events in one answer. An empty answer takes one event of any size, or that event could never pass."""


class PollSink:
    """A Sink that keeps events until the poll is answered, and wakes its request.

    An event that does not fit is left to the next poll: the cursor moves only with what is in the answer.
    """

    __slots__ = (
        *("_answered", "_bytes", "_cursor", "_events", "_gap", "_resumed", "_transport"),
        *("caught_up", "full", "greeted", "on_writable", "over", "waiting"),
    )

    def __init__(self, transport: StreamTransport) -> None:
        self._transport = transport
        self._events: list[bytes] = []
        self._bytes = 0
        # The position after the last event or service event.
        self._cursor: Cursor | None = None
        self._gap: str | None = None
        self._resumed = False
        self._answered = False
        self.greeted = False
        """Whether the Subscription has begun to read."""
        self.caught_up = False
        """Whether everything that History held for this poll was written."""
        self.full = False
        """Whether an event did not fit any more."""
        self.over = False
        """Whether the poll may not wait any longer."""
        self.waiting: Poll | None = None
        """The poll, if its request has returned. Otherwise a change wakes the request."""
        self.on_writable: Callable[[], None] | None = None
        """See ``streams.sink.Sink``. A full answer stays full, so this is never called."""

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell at once."""
        return bool(self._events or self._gap)

    def expire(self) -> None:
        """Note that the poll may not wait any longer."""
        self.over = True
        self._changed()

    def write(self, frame: Frame) -> bool:
        """Keep an event if it fits. The first poll that keeps it encodes it for all."""
        size = self.size(frame)
        if self._events and (len(self._events) >= MAX_EVENTS or self._bytes + size > MAX_BYTES):
            self.full = True
        if not self.full:
            self._events.append(frame.encodings[ENCODING_KEY])
            self._bytes += size
            self._cursor = frame.cursor
        self._changed()
        return not self.full

    def write_service_event(self, event: ServiceEvent) -> bool:
        """Keep what a service event tells."""
        match event.type:
            case "stream.ready":
                self.greeted, self._resumed = True, bool(event.data["resumed"])
                # A stream that begins live is told its position with this event.
                self.caught_up = event.cursor is not None
            case "stream.gap":
                self._gap = self._gap or str(event.data["reason"])
            case "stream.cursor":
                self.caught_up = True
        self._cursor = event.cursor or self._cursor
        self._changed()
        return not self.full

    def heartbeat(self) -> bool:
        """Do nothing: an answer must be one whole."""
        return not self.full

    def size(self, frame: Frame) -> int:
        """Return the number of encoded bytes."""
        return len(frame.encodings.get(ENCODING_KEY) or encode(frame))

    def progress(self) -> Progress:
        """Ask the kernel how much of the answer the peer has acknowledged."""
        return self._transport.progress()

    def end(self, _: CloseReason) -> None:
        """Let the poll be answered, because the Subscription is closed."""
        self._changed()

    def abort(self) -> None:
        """Reset the connection if its peer does not take the answer. Otherwise the answer is still to be sent."""
        if self._answered:
            self._transport.abort()
        else:
            self._changed()

    def _changed(self) -> None:
        if self.waiting is None:
            self._transport.wake()
        else:
            self.waiting.look()

    def answer(self, subscription: Subscription) -> bytes:
        """Make the body of the answer, and let the Subscription go. It must have been greeted."""
        subscription.flush()
        complete = subscription.live and not self.full
        # While the Subscription is live, all events up to its position were written here, or are not for this client.
        cursor = subscription.position if complete or self._cursor is None else self._cursor
        assert cursor is not None  # noqa: S101  known since the greeting
        body = encode_answer(
            self._events,
            cursor=cursor,
            gap=self._gap,
            resumed=self._resumed,
            user=subscription.principal.user,
            more=self.full or not (complete or (subscription.closed and self.caught_up)),
        )
        self._answered, self._events = True, []
        subscription.leave()
        return body
