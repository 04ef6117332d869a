"""One client's bounded view of its channels: live or replaying, offering Frames to its Sink."""

from __future__ import annotations

import time
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
    """Takes each of its events once, in the broker's order.

    *Live*, it writes a Frame as it is offered, or queues it while the Sink holds back. *Replaying*, it only notes the
    newest offset offered: the catch-up reads everything from History, and the stream joins live when it has reached
    that offset.
    """

    __slots__ = (
        *("_backlog", "_joined", "_lost", "_noted", "_on_behind", "_possible_losses", "_replayed", "_unwritten"),
        *("_written_to", "channels", "close_reason", "closed", "ends_at", "filter", "held", "last", "last_id"),
        *("limits", "live", "opened_at", "principal", "silent_seconds", "sink", "start"),
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
        ends_at: float,
    ) -> None:
        """``on_behind`` is called when the stream must read from History and its Sink takes more."""
        self.sink = sink
        sink.on_writable = self._writable
        self.principal = principal
        self.channels = tuple(channels)
        self.start: Start | None = start
        """Where the client wants to begin; None once it was greeted."""
        self.filter = filter
        self.limits = limits
        self._on_behind = on_behind
        self.opened_at = time.monotonic()
        self.ends_at = ends_at
        """Monotonic seconds at which the stream reaches its maximum age."""
        self.live = False
        """Whether everything offered was written or queued. A stream that is not live is replaying, or closed."""
        self.closed = False
        """Whether the stream is over: the server ended it, or the client left."""
        self.close_reason: CloseReason | None = None
        """Why the server ended the stream; None while it is open, and where the client left."""
        self.held = False
        """Whether the Sink holds back."""
        self._backlog: Backlog | None = None
        # A Frame that was offered for later and is not written yet. It comes before the backlog.
        self._unwritten: Frame | None = None
        self.last: Cursor | None = None
        """Every event of this stream at or below this position was written or queued."""
        self.last_id = 0
        """Offset of the last id written."""
        # Newest position offered while replaying.
        self._noted: Cursor | None = None
        # Whether events may have been lost since the catch-up began to read its page.
        self._lost = False
        self._possible_losses = PossibleLosses()
        # Where the stream last joined live: at or below is the overlap of replay and live.
        self._joined = 0
        self._replayed = 0
        # Whether anything was written since the timer's last tick.
        self._written_to = True
        self.silent_seconds = 0.0
        """How long nothing was written, as the timer counts it."""

    @property
    def idle(self) -> bool:
        """Live, and nothing is queued: the client may be told its position."""
        return self.live and not self.held and self._unwritten is None

    # What the Hub calls

    def offer(self, frame: Frame, *, later: bool = False) -> bool:
        """Take one live Frame; never waits, raises nothing.

        With ``later`` the Frame may be kept until ``flush``. True: it was kept, and ``flush`` must be called.
        """
        last = self.last
        if not self.live or last is None:
            self._note(frame.cursor)
            return False
        if frame.offset <= last.offset or frame.cursor.epoch != last.epoch:
            self._offered_again(frame.cursor, last)
            return False
        if self._unwritten is not None and not later:
            self.flush()
        if self.filter is not None and not self.filter.wants(frame):
            self.last = frame.cursor
        elif self.held or self._unwritten is not None:
            self._enqueue(frame)
        elif later:
            self.last = frame.cursor
            self._unwritten = frame
            return True
        else:
            # The body of _write_frame: a call for each stream of a large broadcast shows in its cost.
            self.last, self.last_id, self._written_to = frame.cursor, frame.offset, True
            if not self.sink.write(frame):
                self.held = True
        return False

    def flush(self) -> None:
        """Write what was offered for later, then what was queued behind it; never waits, raises nothing."""
        if self.held:
            return
        if (frame := self._unwritten) is not None:
            self._unwritten = None
            self._write_frame(frame)
        while self._backlog and not self.held:
            self._write_frame(self._backlog.take())
        if not self._backlog:
            # A stream that was slow for a moment does not keep a queue for hours.
            self._backlog = None

    def fall_behind(self, complete: Mapping[str, int] | None = None) -> None:
        """Go on from History. What is queued is written first, and a page that is being read is not the last one.

        ``complete`` names channels of which events may be lost, each with the offset up to which all were offered.
        """
        self.flush()
        live, last = self.live, self.last
        self._lost = not live
        if live and last is not None:
            self._possible_losses.left(last.offset)
        if complete:
            self._possible_losses.lost(self.channels, complete)
        if live:
            self.live = False
            self._noted = None
            self._ask_for_more()

    # What the catch-up calls

    def begin(self, cursor: Cursor) -> None:
        """Set where the replay begins: after the greeting, or after a gap."""
        self.start = None
        self.last = cursor

    def reading(self) -> tuple[PossibleLoss, ...]:
        """Note that a page is being read now, and give the possible losses that it must settle."""
        self._lost = False
        return self._possible_losses.take()

    def unread(self, losses: tuple[PossibleLoss, ...]) -> None:
        """Note that the page could not be read."""
        self._possible_losses.put_back(losses)

    def replayed(self, frame: Frame) -> bool:
        """Take one Frame from History; False: not taken, because the Sink holds back or the stream is over."""
        if self.held or self.closed:
            return False
        self._replayed += 1
        if self.filter is None or self.filter.wants(frame):
            self._write_frame(frame)
        self.last = frame.cursor
        return True

    def join(self, upto: Cursor) -> bool:
        """Go live if the replay has reached everything that was offered meanwhile; False: there is more to read."""
        if self.live or self.closed or self._lost:
            return False
        if self._noted is not None and self._noted.epoch != upto.epoch:
            # The two come from two lives of the store. Only another page can tell which one goes on.
            self._noted = None
            return False
        if self._noted is not None and self._noted.offset > upto.offset:
            return False
        self.last = upto
        self._joined = upto.offset
        self._possible_losses.joined(upto.offset)
        self.live = True
        return True

    def take_replayed(self) -> int:
        """Give the number of events read from History since the last call."""
        replayed, self._replayed = self._replayed, 0
        return replayed

    def tell(self, event: ServiceEvent) -> None:
        """Write a service event."""
        if self.closed:
            return
        if event.cursor is not None:
            self.last_id = event.cursor.offset
        self._written_to = True
        if not self.sink.tell(event):
            self.held = True

    # What the timer calls

    def elapse(self, seconds: float) -> bool:
        """Let time pass; True: something was written since the last call, so the silence begins anew."""
        if self._written_to:
            self._written_to = False
            self.silent_seconds = 0
            return True
        self.silent_seconds += seconds
        return False

    def tell_position(self, position: ServiceEvent) -> None:
        """Write the position up to which everything was offered. The stream must be idle."""
        self.last = position.cursor
        self.tell(position)

    def heartbeat(self, *, silent_seconds: float) -> None:
        """Write what keeps a silent stream open, and count its silence from ``silent_seconds`` on."""
        if not self.held and not self.sink.heartbeat():
            self.held = True
        self.silent_seconds = silent_seconds

    # How it ends

    def close(self, reason: CloseReason, *, reconnect: bool = True, retry_ms: int | None = None) -> None:
        """End the stream with ``stream.close``. What is queued is left to the client's resume. Idempotent."""
        if self.closed:
            return
        self.flush()
        self.tell(service_events.close(reason, reconnect=reconnect, retry_ms=retry_ms))
        self._end(reason)

    def cut(self, reason: CloseReason) -> None:
        """End the stream and cut the connection: its reader takes nothing. Idempotent."""
        if not self.closed:
            self._end(reason)
        self.sink.abort()

    def leave(self) -> None:
        """Take nothing more: the client has left, or the response has ended. Idempotent."""
        self.closed, self.live = True, False
        self._backlog = self._unwritten = None
        self.sink.on_writable = None

    def _end(self, reason: CloseReason) -> None:
        self.closed, self.live = True, False
        self._backlog = self._unwritten = None
        self.close_reason = reason
        self.sink.end()

    def _offered_again(self, cursor: Cursor, last: Cursor) -> None:
        """Read from History, unless the event came by a second channel or in the overlap of replay and live."""
        if cursor.epoch != last.epoch or cursor.offset > self._joined:
            self.fall_behind()
            self._note(cursor)

    def _enqueue(self, frame: Frame) -> None:
        if self._backlog is None:
            self._backlog = Backlog(self.limits)
        if self._backlog.put(frame, self.sink.size(frame)):
            self.last = frame.cursor
        else:
            self.fall_behind()
            self._note(frame.cursor)

    def _writable(self) -> None:
        """The Sink takes more: empty the queue, then go on."""
        self.held = False
        self.flush()
        self._ask_for_more()

    def _write_frame(self, frame: Frame) -> None:
        self.last_id = frame.offset
        self._written_to = True
        if not self.sink.write(frame):
            self.held = True

    def _note(self, cursor: Cursor) -> None:
        if self._noted is None or self._noted.epoch != cursor.epoch or self._noted.offset < cursor.offset:
            self._noted = cursor

    def _ask_for_more(self) -> None:
        if not (self.live or self.closed or self.held):
            self._on_behind(self)
