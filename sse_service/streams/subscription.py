"""One client's bounded view of its channels. It is live or replaying, and writes Frames to its Sink."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.streams import service_events
from sse_service.streams.backlog import Backlog
from sse_service.streams.possible_losses import PossibleLosses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sse_service.brokers.base import PossibleLoss
    from sse_service.model.cursor import Cursor
    from sse_service.model.principal import Principal
    from sse_service.model.reasons import CloseReason
    from sse_service.streams.backlog import QueueLimits
    from sse_service.streams.filter import Filter
    from sse_service.streams.frame import Frame
    from sse_service.streams.service_events import ServiceEvent
    from sse_service.streams.sink import Sink
    from sse_service.streams.start import Start


class Subscription:
    """Writes each event of its channels once, in the broker's order.

    A *live* Subscription writes a Frame when it is offered, or queues it while the Sink holds back. A *replaying* one
    only notes the newest offset that was offered. The catch-up reads the events from History, and the Subscription goes
    live when the replay has reached that offset.
    """

    __slots__ = (
        *("_backlog", "_live_from", "_newest_offered", "_on_behind", "_page_stale", "_possible_losses", "_replayed"),
        *("_unwritten", "beat_at", "channels", "close_reason", "closed", "ends_at", "filter", "last_id", "limits"),
        *("live", "look_at", "opened_at", "paused", "position", "principal", "sink", "start", "wrote_at"),
    )

    def __init__(
        self,
        *,
        sink: Sink,
        principal: Principal,
        channels: Sequence[str],
        start: Start,
        filter: Filter | None,  # noqa: A002  the vocabulary's word
        limits: QueueLimits,
        on_behind: Callable[[Subscription], None],
        opened_at: float,
        ends_at: float,
    ) -> None:
        """``on_behind`` is called when the stream must read from History and its Sink accepts more."""
        self.sink = sink
        sink.on_writable = self._on_writable
        self.principal = principal
        self.channels = tuple(channels)
        self.start: Start | None = start
        """Where the client wants to begin; None after the greeting."""
        self.filter = filter
        self.limits = limits
        self._on_behind = on_behind
        self.opened_at = opened_at
        """When the stream was opened, in seconds of the timer's clock."""
        self.ends_at = ends_at
        """When the stream reaches its maximum age."""
        self.live = False
        """Whether every offered event was written or queued. If False, the stream is replaying or closed."""
        self.closed = False
        """Whether the server ended the stream or the client left."""
        self.close_reason: CloseReason | None = None
        """Why the server ended the stream; None while it is open, and if the client left."""
        self.paused = False
        """Whether the Sink holds back: nothing may be written until it is writable again."""
        self._backlog: Backlog | None = None
        # A Frame that ``offer`` kept for ``flush``. It comes before the backlog.
        self._unwritten: Frame | None = None
        self.position: Cursor | None = None
        """Every event at or below this position was written, queued or filtered out."""
        self.last_id = 0
        """Offset of the last id that was written."""
        # The newest position that was offered while replaying.
        self._newest_offered: Cursor | None = None
        # Whether events may have been lost since the catch-up began to read the present page.
        self._page_stale = False
        self._possible_losses = PossibleLosses()
        # Where the stream last went live. Live events at or below this offset came with the replay already.
        self._live_from = 0
        self._replayed = 0
        self.wrote_at = opened_at
        """When something was last written. A Frame counts from when it was made."""
        self.beat_at = opened_at
        """When the last heartbeat was written."""
        self.look_at = 0
        """The second in which the timer looks at the stream next (see ``wheel.Wheel``)."""

    @property
    def idle(self) -> bool:
        """Whether the stream is live with nothing queued, so that its position may be sent."""
        return self.live and not self.paused and self._unwritten is None

    # What the Hub calls

    def offer(self, frame: Frame, *, later: bool = False) -> bool:
        """Take one live Frame (see ``hub.Subscriber``)."""
        position = self.position
        if not self.live or position is None:
            self._note_offered(frame.cursor)
            return False
        if frame.offset <= position.offset or frame.cursor.epoch != position.epoch:
            self._offered_out_of_order(frame.cursor, position)
            return False
        if self._unwritten is not None and not later:
            self.flush()
        if self.filter is not None and not self.filter.wants(frame):
            self.position = frame.cursor
        elif self.paused or self._unwritten is not None:
            self._enqueue(frame)
        elif later:
            self.position = frame.cursor
            self._unwritten = frame
            return True
        else:
            # Same as _write_frame, inlined: the extra call per stream would slow down large broadcasts.
            self.position, self.last_id, self.wrote_at = frame.cursor, frame.offset, frame.made_at
            if not self.sink.write(frame):
                self.paused = True
        return False

    def prepare(self, frame: Frame) -> None:
        """Let the Sink encode a Frame that is about to be offered."""
        self.sink.size(frame)

    def flush(self) -> None:
        """Write the Frame that ``offer`` kept, then the backlog. Never waits and never raises."""
        if self.paused:
            return
        if (frame := self._unwritten) is not None:
            self._unwritten = None
            self._write_frame(frame)
        while self._backlog and not self.paused:
            self._write_frame(self._backlog.take())
        if not self._backlog:
            # Free the queue, or a stream that was slow for a moment would keep it for hours.
            self._backlog = None

    def fall_behind(self, complete: Mapping[str, int] | None = None) -> None:
        """Go on from History. Queued Frames are written first. If a page is being read now, another one will follow.

        ``complete`` is given if events may be lost. It maps each channel concerned to the offset up to which all its
        events were offered.
        """
        self.flush()
        live, position = self.live, self.position
        self._page_stale = not live
        if live and position is not None:
            self._possible_losses.live_ended(position.offset)
        if complete:
            self._possible_losses.add(self.channels, complete)
        if live:
            self.live = False
            self._newest_offered = None
            self._request_catchup()

    # What the catch-up and the timer call

    def replay_from(self, cursor: Cursor) -> None:
        """Set where the replay begins, after the greeting or after a gap."""
        self.start = None
        self.position = cursor

    def begin_page(self) -> tuple[PossibleLoss, ...]:
        """Note that a page is being read. Returns the possible losses that it must check."""
        self._page_stale = False
        return self._possible_losses.take()

    def page_failed(self, losses: tuple[PossibleLoss, ...]) -> None:
        """Note that the page could not be read, so its possible losses are still unchecked."""
        self._possible_losses.put_back(losses)

    def write_replayed(self, frame: Frame) -> bool:
        """Write a Frame from History. Returns False if the Sink holds back or the stream is closed."""
        if self.paused or self.closed:
            return False
        self._replayed += 1
        if self.filter is None or self.filter.wants(frame):
            self._write_frame(frame)
        self.position = frame.cursor
        return True

    def go_live(self, upto: Cursor) -> bool:
        """Go live if the replay has reached everything that was offered. Returns False if there is more to read."""
        if self.live or self.closed or self._page_stale:
            return False
        if self._newest_offered is not None and self._newest_offered.epoch != upto.epoch:
            # The page and the live event belong to different epochs. Another page tells which epoch goes on.
            self._newest_offered = None
            return False
        if self._newest_offered is not None and self._newest_offered.offset > upto.offset:
            return False
        self.position = upto
        self._live_from = upto.offset
        self._possible_losses.live_again(upto.offset)
        self.live = True
        return True

    def take_replayed(self) -> int:
        """Return the number of events read from History since the last call."""
        replayed, self._replayed = self._replayed, 0
        return replayed

    def write_service_event(self, event: ServiceEvent, *, at: float) -> None:
        """Write a service event."""
        if self.closed:
            return
        self.wrote_at = at
        if event.cursor is not None:
            self.last_id = event.cursor.offset
        if not self.sink.write_service_event(event):
            self.paused = True

    def write_position(self, position: ServiceEvent, *, at: float) -> None:
        """Write the position up to which everything was offered. The stream must be idle."""
        self.position = position.cursor
        self.write_service_event(position, at=at)

    def heartbeat(self, *, at: float) -> None:
        """Write a heartbeat, unless the Sink holds back."""
        self.wrote_at = at
        if not self.paused:
            self.beat_at = at
            self.paused = not self.sink.heartbeat()

    def close(self, reason: CloseReason, *, reconnect: bool = True, retry_ms: int | None = None) -> None:
        """End the stream with ``stream.close``. The client gets queued events when it resumes. Idempotent."""
        if self.closed:
            return
        self.flush()
        event = service_events.close(reason, reconnect=reconnect, retry_ms=retry_ms)
        self.write_service_event(event, at=self.wrote_at)
        self._end(reason)

    def cut(self, reason: CloseReason) -> None:
        """End the stream and cut the connection, without ``stream.close``: its reader takes nothing. Idempotent."""
        self.sink.abort()
        if not self.closed:
            self._end(reason)
        self.close_reason = self.close_reason or reason

    def leave(self) -> None:
        """Stop taking Frames, because the client has left or its answer is complete. Idempotent."""
        self.closed, self.live = True, False
        self._backlog = self._unwritten = None
        self.sink.on_writable = None

    def _end(self, reason: CloseReason) -> None:
        self.closed, self.live = True, False
        self._backlog = self._unwritten = None
        self.close_reason = reason
        self.sink.end(reason)

    def _offered_out_of_order(self, cursor: Cursor, position: Cursor) -> None:
        """Fall behind, unless the event also came by another channel or with the replay."""
        if cursor.epoch != position.epoch or cursor.offset > self._live_from:
            self.fall_behind()
            self._note_offered(cursor)

    def _enqueue(self, frame: Frame) -> None:
        if self._backlog is None:
            self._backlog = Backlog(self.limits)
        if self._backlog.put(frame, self.sink.size(frame)):
            self.position = frame.cursor
        else:
            self.fall_behind()
            self._note_offered(frame.cursor)

    def _on_writable(self) -> None:
        """Write the queue, then go on with the catch-up."""
        self.paused = False
        self.flush()
        self._request_catchup()

    def _write_frame(self, frame: Frame) -> None:
        self.last_id, self.wrote_at = frame.offset, frame.made_at
        if not self.sink.write(frame):
            self.paused = True

    def _note_offered(self, cursor: Cursor) -> None:
        newest = self._newest_offered
        if newest is None or newest.epoch != cursor.epoch or newest.offset < cursor.offset:
            self._newest_offered = cursor

    def _request_catchup(self) -> None:
        if not (self.live or self.closed or self.paused):
            self._on_behind(self)
